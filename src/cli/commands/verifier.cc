#include "cli/commands/verifier.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "cli/encoding.h"
#include "cli/failure.h"

namespace annulus::cli {
namespace {

uint64_t ItemHash(const Record& record) {
  std::string id;
  PutSized(&id, record.key);
  id += record.sort_key;
  return Hash64(id);
}

// Empty where the answer holds exactly these values; else what is wrong.
std::string Difference(const Record& record, const kv::v1::GetResponse& response) {
  const int64_t now = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  std::vector<std::string> expected, found;
  for (const auto& value : record.values) {
    if (value.expires_us == 0 || value.expires_us > now) expected.push_back(value.bytes);
  }
  for (const auto& sibling : response.siblings()) found.push_back(sibling.value());
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  if (response.more() || found.size() != expected.size()) {
    return absl::StrCat(found.size(), response.more() ? " or more" : "", " values, not ",
                        expected.size());
  }
  if (found != expected) {
    return absl::StrCat("another value: \"", PrintableShort(found.front(), 40), "\", not \"",
                        PrintableShort(expected.front(), 40), "\"");
  }
  return "";
}

}  // namespace

Verifier::Verifier(Pipeline* pipeline, Options options,
                   std::function<void(const std::string&)> complain)
    : pipeline_(pipeline), options_(std::move(options)), complain_(std::move(complain)) {}

void Verifier::Note(const Record& record) {
  last_line_[ItemHash(record)] = record.line;
  std::lock_guard lock(mutex_);
  ++counts_.read;
}

void Verifier::Compare(Record record) {
  if (last_line_[ItemHash(record)] != record.line) {
    std::lock_guard lock(mutex_);
    ++counts_.repeated;
    ++ended_;
    return;
  }
  kv::v1::Operation operation;
  kv::v1::GetRequest* get = operation.mutable_get();
  get->set_bucket(options_.bucket);
  get->set_key(record.key);
  get->set_sort_key(record.sort_key);
  get->mutable_options()->set_consistency(options_.consistency);
  get->mutable_options()->set_r(options_.r);
  auto expected = std::make_shared<const Record>(std::move(record));
  pipeline_->Start(std::move(operation),
                   [this, expected](absl::StatusOr<kv::v1::OperationResult> result) {
                     const std::string name = absl::StrCat("line ", expected->line, ", key \"",
                                                           PrintableShort(expected->key, 60), "\"");
                     std::string complaint;
                     const bool failed = !result.ok();
                     bool missing = false, different = false;
                     if (failed) {
                       complaint = DescribeShort(name, result.status());
                     } else if (const std::string difference = Difference(*expected, result->get());
                                !difference.empty()) {
                       missing = result->get().siblings().empty();
                       different = !missing;
                       complaint = absl::StrCat(name, ": ", missing ? "missing" : difference);
                     }
                     if (!complaint.empty()) complain_(complaint);
                     std::lock_guard lock(mutex_);
                     counts_.failed += failed;
                     counts_.compared += !failed;
                     counts_.missing += missing;
                     counts_.different += different;
                     ++ended_;
                   });
}

Verifier::Counts Verifier::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace annulus::cli
