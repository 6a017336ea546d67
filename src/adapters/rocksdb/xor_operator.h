#pragma once

#include <string>

#include "rocksdb/merge_operator.h"

namespace annulus {

// How RocksDB mixes values of 8 bytes (StorageWrite::mixes): XOR, an absent value being zeros. Its
// name is on disk.
class XorOperator final : public rocksdb::AssociativeMergeOperator {
 public:
  const char* Name() const override { return "annulus.Xor64"; }

  // False, which RocksDB reports as corruption, where a value is not 8 bytes.
  bool Merge(const rocksdb::Slice& key, const rocksdb::Slice* existing, const rocksdb::Slice& value,
             std::string* result, rocksdb::Logger* logger) const override;
};

}  // namespace annulus
