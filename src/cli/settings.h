#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/time.h"

namespace annulus::cli {

// Everything that `annulus serve` is told, checked and with its defaults filled in.
struct ServeSettings {
  struct Member {
    std::string name;
    std::string peer_address;
    std::string zone;
  };

  std::string name;
  bool coordinator = false;  // role = "coordinator"
  std::string data_dir;      // Empty for a coordinator.
  std::string zone;
  std::string listen_client;
  std::string listen_peer;
  std::string listen_http;
  std::string advertise_peer;
  std::string advertise_client;
  std::string cluster;
  std::vector<Bytes> secrets;  // The first signs; the others are still accepted.
  std::vector<Member> members;
  uint32_t partitions = 256;
  uint32_t replicas = 3;
  bool sync = true;
  std::string log_level;   // "debug", "info", "warn", "error"
  std::string log_format;  // "text", "json"
  Duration drain{0};
  uint64_t operations_max = 0;
  uint64_t operations_mb = 0;
  uint64_t cache_mb = 0;  // 0: by the memory there is.
  Duration repair_interval{0};
  Duration reap_interval{0};
  Duration clock_skew_max{0};
  uint64_t repair_mb_per_second = 0;  // 0: no limit.
  uint64_t scrub_days = 0;
  uint64_t hint_mb = 1024;
  bool enable_faults = false;
};

// One setting has one name in three spellings: `data_dir` in the file, ANNULUS_DATA_DIR in the
// environment, --data-dir as a flag.
struct SettingInfo {
  std::string name;
  std::string help;          // One line.
  std::string default_text;  // Empty: none.
};
// In the order in which help shows them.
const std::vector<SettingInfo>& AllSettings();

// Flags beat the environment, which beats the file.
//   config       path of a TOML file; empty: none
//   flags        by setting name, as typed
//   environment  by variable name; only ANNULUS_* are looked at, and those of clients, deployment
//                and tests are passed over
// INVALID_ARGUMENT, with the place (file and line, variable, or flag), what is wrong, and the
// nearest valid name where one is unknown. NOT_FOUND where the file does not exist.
absl::StatusOr<ServeSettings> LoadSettings(const std::string& config,
                                           const std::map<std::string, std::string>& flags,
                                           const std::map<std::string, std::string>& environment);

}  // namespace annulus::cli
