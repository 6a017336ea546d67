#include "adapters/rocksdb/xor_operator.h"

#include <cstdint>

namespace annulus {

bool XorOperator::Merge(const rocksdb::Slice& /*key*/, const rocksdb::Slice* existing,
                        const rocksdb::Slice& value, std::string* result,
                        rocksdb::Logger* /*logger*/) const {
  constexpr size_t kSize = sizeof(uint64_t);
  if (value.size() != kSize || (existing != nullptr && existing->size() != kSize)) return false;
  result->assign(value.data(), kSize);
  if (existing == nullptr) return true;
  for (size_t i = 0; i < kSize; ++i) {
    (*result)[i] = static_cast<char>((*result)[i] ^ (*existing)[i]);
  }
  return true;
}

}  // namespace annulus
