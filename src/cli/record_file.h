#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "annulus/kv/v1/kv.pb.h"
#include "nlohmann/json.hpp"

namespace annulus::cli {

// One line of an import or export file.
struct Record {
  struct Value {
    std::string bytes;
    int64_t expires_us = 0;  // Microseconds since 1970; 0: never.
  };
  std::string key;
  std::string sort_key;
  std::vector<Value> values;  // More than one: siblings. None: a tombstone.
  uint64_t line = 0;          // From 1.
};

enum class FileFormat { kJsonLines, kTsv };

// By the name given with --format ("", "jsonl", "tsv"), else by the file's extension, else JSON
// Lines.
absl::StatusOr<FileFormat> FormatOf(absl::string_view name, absl::string_view path);

// JSON Lines: {"key": "...", "value": "..."}; "key_base64", "value_base64" and "sort_key_base64"
// stand for bytes that are no text; "sort_key" and "expires_us" may be there; siblings are an array
// of objects under "siblings". What else a scan prints ("context", ...) is accepted and ignored;
// any other field is an error, since it is more likely a misspelt one.
absl::Status ParseJsonRecord(absl::string_view line, Record* record);
// TSV: key, tab, value; bytes as they are, without escapes. A carriage return at the end is
// dropped.
absl::Status ParseTsvRecord(absl::string_view line, Record* record);

// Sets json[name], or json[name + "_base64"] where the bytes are no UTF-8.
void SetBytes(nlohmann::ordered_json* json, const std::string& name, const std::string& bytes);

// A line of an export or a scan. `details` adds contexts and write times. Items without a value
// (tombstones, or without `values`) show none.
nlohmann::ordered_json ToJson(const kv::v1::ScanItem& item, bool values, bool details);
nlohmann::ordered_json ToJson(const kv::v1::Sibling& sibling, bool details);

// Reads a file or standard input ("-") line by line; empty lines are skipped.
class RecordReader {
 public:
  static absl::StatusOr<std::unique_ptr<RecordReader>> Open(const std::string& path,
                                                            FileFormat format);
  ~RecordReader();

  // False at the end. An error names the line; the next call goes on behind it, unless it is not
  // INVALID_ARGUMENT: then the file itself cannot be read.
  absl::StatusOr<bool> Next(Record* record);

  // From the start again. Only of what is not a pipe.
  absl::Status Rewind();
  bool can_rewind() const { return can_rewind_; }

  uint64_t line_number() const { return line_number_; }
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t bytes_total() const { return bytes_total_; }  // 0: unknown.

 private:
  RecordReader(std::FILE* file, std::string name, FileFormat format)
      : file_(file), name_(std::move(name)), format_(format) {}

  std::FILE* file_;
  const std::string name_;
  const FileFormat format_;
  char* line_ = nullptr;  // getline's buffer.
  size_t capacity_ = 0;
  uint64_t line_number_ = 0;
  uint64_t bytes_read_ = 0, bytes_total_ = 0;
  bool can_rewind_ = false;
};

}  // namespace annulus::cli
