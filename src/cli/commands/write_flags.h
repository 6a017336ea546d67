#pragma once

#include <string>

#include "cli/invocation.h"

namespace annulus::cli {

// What put and del share.
struct WriteFlags {
  ConsistencyFlags consistency;
  std::string context;
  std::string request_id;
  std::string ttl;
  bool replace = false;
  bool explain = false;

  void AddTo(CLI::App* command);
  // Into the request's options and context.
  absl::Status Resolve(kv::v1::WriteOptions* options, std::string* context) const;
};

// The context of what is there now, for --replace.
absl::StatusOr<kv::v1::GetResponse> ReadForReplace(Client& client, const ItemFlags& item);

// What people should know about a write that was applied, on standard error.
void WarnAboutWrite(bool durable, uint32_t siblings);

}  // namespace annulus::cli
