#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/progress.h"
#include "cli/record_file.h"

namespace annulus::cli {
namespace {

struct ExportFlags {
  std::string file = "-";
  std::string bucket = "default";
  ConsistencyFlags consistency;
};

struct Totals {
  std::atomic<uint64_t> items{0}, bytes{0}, siblings{0}, partial{0};
};

absl::Status WriteAll(const ClientOptions& options, const ExportFlags& flags, std::FILE* out,
                      Totals& totals) {
  kv::v1::ScanRequest request;
  request.set_bucket(flags.bucket);
  request.set_values(true);
  request.mutable_options()->set_consistency(flags.consistency.value());
  request.mutable_options()->set_r(flags.consistency.number);
  InterruptGuard interrupt;
  bool write_failed = false;
  Progress progress("export", 0, [&] { return ProgressSnapshot{totals.items, totals.bytes}; });
  absl::Status status = Client(options).Scan(request, [&](const kv::v1::ScanResponse& page) {
    for (const auto& item : page.items()) {
      if (item.siblings().empty()) continue;
      const std::string line =
          ToJson(item, /*values=*/true, /*details=*/false)
              .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
          "\n";
      write_failed = write_failed || std::fwrite(line.data(), 1, line.size(), out) != line.size();
      ++totals.items;
      totals.bytes += line.size();
      totals.siblings += item.siblings_size() > 1;
      totals.partial += item.more();
    }
    return !write_failed && !interrupt.interrupted();
  });
  write_failed = write_failed || std::fflush(out) != 0;
  if (status.ok() && write_failed) {
    return absl::DataLossError(absl::StrCat("cannot write the file: ", std::strerror(errno)));
  }
  if (status.ok() && interrupt.interrupted()) return absl::CancelledError("interrupted");
  return status;
}

int RunExport(Invocation& invocation, const ExportFlags& flags) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  const bool to_stdout = flags.file == "-";
  // Under another name until it is whole: half an export looks just like a whole one.
  const std::string unfinished = flags.file + ".part";
  std::FILE* out = to_stdout ? stdout : std::fopen(unfinished.c_str(), "we");
  if (out == nullptr) {
    return UsageError(absl::InvalidArgumentError(
        absl::StrCat("cannot write ", unfinished, ": ", std::strerror(errno))));
  }
  Totals totals;
  const auto start = std::chrono::steady_clock::now();
  absl::Status status = WriteAll(*options, flags, out, totals);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!to_stdout) {
    const bool synced = fsync(fileno(out)) == 0;
    const bool closed = std::fclose(out) == 0;
    if (status.ok() &&
        !(synced && closed && std::rename(unfinished.c_str(), flags.file.c_str()) == 0)) {
      status = absl::DataLossError(
          absl::StrCat("cannot write ", flags.file, ": ", std::strerror(errno)));
    }
    if (!status.ok()) std::remove(unfinished.c_str());
  }
  if (absl::IsCancelled(status)) {
    std::fputs("annulus: interrupted; the export is not complete\n", stderr);
    return kExitInterrupted;
  }
  if (!status.ok()) {
    std::fputs("annulus: the export is not complete\n", stderr);
    return Fail(invocation, absl::StrCat("export of bucket ", flags.bucket), status);
  }
  if (totals.partial > 0) {
    std::fprintf(stderr,
                 "annulus: %s items were larger than one answer; of these only the first values "
                 "are in the file (\"more\": true)\n",
                 Grouped(totals.partial).c_str());
  }
  // Standard output is the export itself, or has the summary.
  std::FILE* summary = to_stdout ? stderr : stdout;
  if (invocation.json() && !to_stdout) {
    PrintJson({{"exported", totals.items.load()},
               {"with_siblings", totals.siblings.load()},
               {"partial", totals.partial.load()},
               {"bytes", totals.bytes.load()},
               {"seconds", static_cast<int64_t>(seconds * 1000) / 1000.0}});
  } else {
    std::fprintf(summary, "exported %s items (%s with siblings), %s, %s\n",
                 Grouped(totals.items).c_str(), Grouped(totals.siblings).c_str(),
                 HumanBytes(totals.bytes).c_str(), HumanDuration(seconds).c_str());
  }
  return totals.partial > 0 ? kExitFailed : kExitOk;
}

}  // namespace

void AddExport(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "export", "Write all items of a bucket as JSON Lines",
      "  annulus export backup.jsonl\n"
      "  annulus export --bucket users | gzip > users.jsonl.gz\n"
      "  annulus export | annulus import - --endpoints other:50051\n"
      "One item a line, as `annulus import` reads it; concurrent values are an array under\n"
      "\"siblings\", and stay concurrent when imported. Write times are not kept, expiries are.\n"
      "The file gets its name only once it is complete.",
      [&invocation, flags] { return RunExport(invocation, *flags); });
  command->add_option("FILE", flags->file, "the file; - or nothing writes standard output")
      ->type_name("");
  command->add_option("-b,--bucket", flags->bucket, "the bucket (default: default)")
      ->type_name("NAME");
  flags->consistency.AddTo(command, 'r');
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
