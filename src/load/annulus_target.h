#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "annulus/kv/v1/kv.pb.h"
#include "base/random.h"
#include "client/session.h"
#include "load/target.h"

namespace annulus::load {

// The last context of each of very many keys: 64 bytes a key, of memory that is touched only where
// it is used.
class ContextTable {
 public:
  explicit ContextTable(uint64_t keys);
  void Set(uint64_t key, std::string_view context);
  std::string_view Get(uint64_t key) const;

 private:
  struct Slot {
    uint8_t size;
    char bytes[63];
  };
  struct Free {
    void operator()(Slot* slots) const;
  };
  const uint64_t keys_;
  std::unique_ptr<Slot[], Free> slots_;
  absl::flat_hash_map<uint64_t, std::string> others_;  // Longer ones, and keys that came later.
};

struct AnnulusTargetOptions {
  std::string bucket = "bench";
  std::string prefix;  // Of the keys.
  size_t value_bytes = 100;
  uint64_t keys = 100'000;  // That are expected; more are possible.
  // So many neighbouring numbers are items of one key, told apart by their sort keys. Scans list
  // the items of a key.
  uint64_t items_per_key = 1;
  uint32_t scan_items = 50;  // At most.
  uint64_t seed = 1;         // Of the values, which do not compress.
};

// An Annulus cluster. Each key's last context is remembered and goes with the next write, so that
// values replace one another instead of standing side by side.
class AnnulusTarget final : public Target {
 public:
  AnnulusTarget(Session* session, AnnulusTargetOptions options);

  void Read(uint64_t key, Done done) override;
  void Write(uint64_t key, Done done) override;
  void Scan(uint64_t key, Done done) override;

 private:
  template <class Request>
  void Name(uint64_t key, Request* request) const;

  Session* const session_;
  const AnnulusTargetOptions options_;
  Random random_;
  ContextTable contexts_;
};

}  // namespace annulus::load
