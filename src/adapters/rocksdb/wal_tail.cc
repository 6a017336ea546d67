#include "adapters/rocksdb/wal_tail.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"

namespace annulus {

namespace {

// The format of the log (RocksDB wiki, "Write Ahead Log File Format"): blocks of 32 KiB, in them
// fragments of a masked CRC-32C over type and payload, length, type, payload. No fragment crosses a
// block, and an end of block too short for a header is padding.
constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;
enum FragmentType : uint8_t { kZero = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}

uint32_t MaskedCrc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

class Finder {
 public:
  // Logs in the order of their numbers.
  void Log(std::string_view log) {
    in_record_ = false;
    // Zeros that no record has overwritten yet (guarded_disk.h).
    const size_t written = log.find_last_not_of('\0') + 1;
    for (size_t at = 0; at < written; at += kBlockBytes) {
      Block(log.substr(at, kBlockBytes), written - at, at + kBlockBytes >= log.size());
    }
    if (in_record_ && written < log.size()) Damaged();
  }

  LogDamage found() const { return found_; }

 private:
  // Nothing but zeros follows the first `written` bytes.
  void Block(std::string_view block, size_t written, bool last) {
    const size_t size = block.size();
    while (block.size() >= kHeaderBytes && size - block.size() < written) {
      const uint32_t crc = LittleEndian(block.substr(0, 4));
      const size_t length = LittleEndian(block.substr(4, 2));
      const auto type = static_cast<uint8_t>(block[6]);
      if (kHeaderBytes + length > block.size()) {
        if (!last) Damaged();  // Else it is cut off.
        return;
      }
      if (crc != MaskedCrc32c(block.substr(6, 1 + length)) || type == kZero || type > kLast) {
        Damaged();
        return;  // The length may be what is damaged: look again at the next block.
      }
      const bool starts = type == kFull || type == kFirst;
      if (starts && in_record_) Damaged();
      if (starts && found_ == LogDamage::kTail) found_ = LogDamage::kInside;
      in_record_ = type == kFirst || type == kMiddle;
      block.remove_prefix(kHeaderBytes + length);
    }
  }

  void Damaged() {
    in_record_ = false;
    if (found_ == LogDamage::kNone) found_ = LogDamage::kTail;
  }

  LogDamage found_ = LogDamage::kNone;
  bool in_record_ = false;
};

}  // namespace

LogDamage FindLogDamage(const std::string& path) {
  std::vector<std::pair<uint64_t, std::filesystem::path>> logs;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(path, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    uint64_t number = 0;
    if (entry->path().extension() == ".log" &&
        absl::SimpleAtoi(entry->path().stem().string(), &number)) {
      logs.emplace_back(number, entry->path());
    }
  }
  std::sort(logs.begin(), logs.end());

  Finder finder;
  for (const auto& [number, file] : logs) {
    std::ifstream input(file, std::ios::binary);
    const std::string log((std::istreambuf_iterator<char>(input)),
                          std::istreambuf_iterator<char>());
    // One that the disk does not give back whole is damaged in an unknown place.
    if (log.size() != std::filesystem::file_size(file, error) || error) return LogDamage::kInside;
    finder.Log(log);
  }
  return finder.found();
}

}  // namespace annulus
