#include <cstdio>

#include "cli/commands/commands.h"
#include "google/protobuf/stubs/common.h"
#include "grpcpp/grpcpp.h"

namespace annulus::cli {
namespace {

int RunVersion(const Invocation& invocation) {
  if (invocation.json()) {
    PrintJson({{"version", ANNULUS_VERSION},
               {"grpc", grpc::Version()},
               {"compiler", __VERSION__},
               {"contract", "annulus.kv.v1"}});
  } else {
    std::printf("annulus %s (contract annulus.kv.v1, gRPC %s, compiler %s)\n", ANNULUS_VERSION,
                grpc::Version().c_str(), __VERSION__);
  }
  return kExitOk;
}

}  // namespace

void AddVersion(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      AddCommand(app, invocation, "version", "Print the version", "  annulus version -o json",
                 [&invocation] { return RunVersion(invocation); });
  AddOutputFlag(command, invocation);
}

}  // namespace annulus::cli
