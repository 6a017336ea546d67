#include "cli/record_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/encoding.h"

namespace annulus::cli {
namespace {

using nlohmann::json;

absl::Status Malformed(const std::string& why) { return absl::InvalidArgumentError(why); }

// Takes NAME or NAME_base64. False where neither is there.
absl::StatusOr<bool> TakeBytes(const json& object, const std::string& name, std::string* bytes) {
  const auto plain = object.find(name), encoded = object.find(name + "_base64");
  if (plain != object.end() && encoded != object.end()) {
    return Malformed(absl::StrCat("both \"", name, "\" and \"", name, "_base64\" are given"));
  }
  if (plain != object.end()) {
    if (!plain->is_string()) {
      return Malformed(absl::StrCat("\"", name,
                                    "\" is not a string (write other JSON as a string, "
                                    "with its quotes escaped)"));
    }
    *bytes = plain->get_ref<const std::string&>();
    return true;
  }
  if (encoded == object.end()) return false;
  if (!encoded->is_string()) {
    return Malformed(absl::StrCat("\"", name, "_base64\" is not a string"));
  }
  auto decoded =
      FromBase64(encoded->get_ref<const std::string&>(), absl::StrCat("\"", name, "_base64\""));
  if (!decoded.ok()) return decoded.status();
  *bytes = *std::move(decoded);
  return true;
}

absl::Status TakeValue(const json& object, bool* found, Record::Value* value) {
  auto taken = TakeBytes(object, "value", &value->bytes);
  if (!taken.ok()) return taken.status();
  *found = *taken;
  if (const auto it = object.find("expires_us"); it != object.end()) {
    if (!it->is_number_integer() || it->get<int64_t>() < 0) {
      return Malformed("\"expires_us\" is not a number of microseconds since 1970");
    }
    value->expires_us = it->get<int64_t>();
  }
  return absl::OkStatus();
}

absl::Status RefuseUnknownFields(const json& object) {
  static constexpr const char* kKnown[] = {
      "key",      "key_base64", "sort_key",      "sort_key_base64", "value", "value_base64",
      "siblings", "expires_us", "write_time_us", "context",         "more",  "tombstone"};
  for (const auto& [name, ignored] : object.items()) {
    bool known = false;
    for (const char* candidate : kKnown) known = known || name == candidate;
    if (!known) return Malformed(absl::StrCat("unknown field \"", PrintableShort(name, 40), "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileFormat> FormatOf(absl::string_view name, absl::string_view path) {
  if (name == "tsv") return FileFormat::kTsv;
  if (name == "jsonl" || name == "json") return FileFormat::kJsonLines;
  if (!name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--format should be jsonl or tsv, not \"", name, "\""));
  }
  return absl::EndsWithIgnoreCase(path, ".tsv") ? FileFormat::kTsv : FileFormat::kJsonLines;
}

absl::Status ParseJsonRecord(absl::string_view line, Record* record) {
  const json object = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) {
    return Malformed(absl::StrCat("not valid JSON (in UTF-8): ", PrintableShort(line, 60)));
  }
  if (!object.is_object()) return Malformed("not a JSON object");
  if (absl::Status status = RefuseUnknownFields(object); !status.ok()) return status;

  record->sort_key.clear();
  record->values.clear();
  auto found = TakeBytes(object, "key", &record->key);
  if (!found.ok()) return found.status();
  if (!*found) return Malformed("it has no \"key\"");
  if (record->key.empty()) return Malformed("its \"key\" is empty");
  found = TakeBytes(object, "sort_key", &record->sort_key);
  if (!found.ok()) return found.status();

  bool has_value = false;
  Record::Value value;
  if (absl::Status status = TakeValue(object, &has_value, &value); !status.ok()) return status;
  const auto siblings = object.find("siblings");
  if (siblings == object.end()) {
    if (has_value) {
      record->values.push_back(std::move(value));
    } else if (!object.value("tombstone", json(false)).is_boolean() ||
               !object.value("tombstone", json(false)).get<bool>()) {
      return Malformed("it has no \"value\"");
    }
    return absl::OkStatus();
  }
  if (has_value) return Malformed("both \"value\" and \"siblings\" are given");
  if (!siblings->is_array() || siblings->empty()) {
    return Malformed("\"siblings\" is not an array of objects with a \"value\"");
  }
  for (const json& sibling : *siblings) {
    bool sibling_has_value = false;
    Record::Value sibling_value;
    if (!sibling.is_object()) return Malformed("a sibling is not a JSON object");
    if (absl::Status status = TakeValue(sibling, &sibling_has_value, &sibling_value);
        !status.ok()) {
      return status;
    }
    if (!sibling_has_value) return Malformed("a sibling has no \"value\"");
    record->values.push_back(std::move(sibling_value));
  }
  return absl::OkStatus();
}

absl::Status ParseTsvRecord(absl::string_view line, Record* record) {
  absl::ConsumeSuffix(&line, "\r");
  const size_t tab = line.find('\t');
  if (tab == absl::string_view::npos) {
    return Malformed(absl::StrCat("no tab between key and value: ", PrintableShort(line, 60)));
  }
  const absl::string_view value = line.substr(tab + 1);
  if (tab == 0) return Malformed("its key is empty");
  if (value.find('\t') != absl::string_view::npos) {
    return Malformed("more than two columns (JSON Lines can hold tabs and sort keys)");
  }
  record->key = std::string(line.substr(0, tab));
  record->sort_key.clear();
  record->values.clear();
  record->values.push_back({std::string(value), 0});
  return absl::OkStatus();
}

void SetBytes(nlohmann::ordered_json* json, const std::string& name, const std::string& bytes) {
  if (IsUtf8(bytes)) {
    (*json)[name] = bytes;
  } else {
    (*json)[name + "_base64"] = Base64(bytes);
  }
}

nlohmann::ordered_json ToJson(const kv::v1::Sibling& sibling, bool details) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  SetBytes(&json, "value", sibling.value());
  if (sibling.expires_us() != 0) json["expires_us"] = sibling.expires_us();
  if (details) json["write_time_us"] = sibling.write_time_us();
  return json;
}

nlohmann::ordered_json ToJson(const kv::v1::ScanItem& item, bool values, bool details) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  SetBytes(&json, "key", item.key());
  if (!item.sort_key().empty()) SetBytes(&json, "sort_key", item.sort_key());
  if (values && item.siblings_size() == 1) {
    json.update(ToJson(item.siblings(0), details));
  } else if (values && item.siblings_size() > 1) {
    json["siblings"] = nlohmann::ordered_json::array();
    for (const auto& sibling : item.siblings()) {
      json["siblings"].push_back(ToJson(sibling, details));
    }
  }
  if (item.tombstone() && item.siblings_size() == 0) json["tombstone"] = true;
  if (item.more()) json["more"] = true;
  if (details) json["context"] = Base64(item.context());
  return json;
}

// -------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<RecordReader>> RecordReader::Open(const std::string& path,
                                                                 FileFormat format) {
  const bool standard_input = path == "-";
  std::FILE* file = standard_input ? stdin : std::fopen(path.c_str(), "re");
  const std::string name = standard_input ? "standard input" : path;
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot open ", name, ": ", std::strerror(errno)));
  }
  auto reader = std::unique_ptr<RecordReader>(new RecordReader(file, name, format));
  struct stat info {};
  if (fstat(fileno(file), &info) == 0) {
    if (S_ISDIR(info.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is a directory, not a file"));
    }
    if (S_ISREG(info.st_mode)) {
      reader->can_rewind_ = true;
      reader->bytes_total_ = info.st_size;
    }
  }
  return reader;
}

RecordReader::~RecordReader() {
  if (file_ != stdin) std::fclose(file_);
  std::free(line_);
}

absl::StatusOr<bool> RecordReader::Next(Record* record) {
  for (;;) {
    const ssize_t length = getline(&line_, &capacity_, file_);
    if (length < 0) {
      if (std::ferror(file_)) {
        return absl::DataLossError(absl::StrCat("cannot read ", name_, ": ", std::strerror(errno)));
      }
      return false;
    }
    ++line_number_;
    bytes_read_ += length;
    absl::string_view line(line_, length);
    absl::ConsumeSuffix(&line, "\n");
    if (line_number_ == 1) absl::ConsumePrefix(&line, "\xef\xbb\xbf");  // A byte order mark.
    if (line.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    const absl::Status status =
        format_ == FileFormat::kTsv ? ParseTsvRecord(line, record) : ParseJsonRecord(line, record);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ", line ", line_number_, ": ", status.message()));
    }
    record->line = line_number_;
    return true;
  }
}

absl::Status RecordReader::Rewind() {
  if (std::fseek(file_, 0, SEEK_SET) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot read ", name_, " a second time"));
  }
  line_number_ = 0;
  bytes_read_ = 0;
  return absl::OkStatus();
}

}  // namespace annulus::cli
