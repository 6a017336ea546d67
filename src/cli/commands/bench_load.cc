#include "cli/commands/bench_load.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace annulus::cli {
namespace {

using std::chrono::microseconds;

}  // namespace

void BenchRecord::Window::Add(const Window& other) {
  ok += other.ok;
  failed += other.failed;
  latency.Add(other.latency);
  for (const auto& [what, count] : other.failures) failures[what] += count;
}

void BenchRecord::Add(microseconds latency, const absl::Status& status) {
  std::lock_guard lock(mutex_);
  if (status.ok()) {
    ++window_.ok;
    window_.latency.Add(static_cast<uint64_t>(latency.count()));
  } else {
    ++window_.failed;
    ++window_.failures[absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                                    DetailsOf(status).reason)];
  }
}

BenchRecord::Window BenchRecord::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(window_, {});
}

BenchLoad::BenchLoad(Pipeline* pipeline, BenchRecord* record, BenchOptions options)
    : pipeline_(pipeline),
      record_(record),
      options_(std::move(options)),
      random_(options_.seed),
      contexts_(options_.keys) {}

bool BenchLoad::Fill() {
  std::atomic<bool> good{true};
  for (uint64_t key = 0; key < options_.keys; ++key) {
    pipeline_->Start(Put(key), [this, key, &good](absl::StatusOr<kv::v1::OperationResult> result) {
      if (result.ok()) {
        Remember(key, result->put().context());
      } else {
        good = false;
      }
    });
  }
  pipeline_->Drain();
  return good;
}

std::chrono::nanoseconds BenchLoad::DueAfter(uint64_t number) const {
  return std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<double>(number) * 1e9 / options_.rate));
}

// Wakes at most a thousand times a second: what is due by then begins together.
void BenchLoad::SleepUntil(Clock::time_point due) {
  const auto wait = due - Clock::now();
  if (wait > std::chrono::nanoseconds(0)) {
    std::this_thread::sleep_for(std::max<std::chrono::nanoseconds>(wait, microseconds(1000)));
  }
}

void BenchLoad::Begin(Clock::time_point due) {
  const uint64_t key = random_.Below(options_.keys);
  const bool read = random_.Chance(options_.reads);
  pipeline_->Start(read ? Get(key) : Put(key), [this, key, read, due](
                                                   absl::StatusOr<kv::v1::OperationResult> result) {
    record_->Add(std::chrono::duration_cast<microseconds>(Clock::now() - due), result.status());
    if (!read && result.ok()) Remember(key, result->put().context());
  });
}

kv::v1::Operation BenchLoad::Get(uint64_t key) {
  kv::v1::Operation operation;
  operation.mutable_get()->set_bucket(options_.bucket);
  operation.mutable_get()->set_key(KeyOf(key));
  return operation;
}

kv::v1::Operation BenchLoad::Put(uint64_t key) {
  kv::v1::Operation operation;
  kv::v1::PutRequest* put = operation.mutable_put();
  put->set_bucket(options_.bucket);
  put->set_key(KeyOf(key));
  // Nothing that compresses well.
  std::string* value = put->mutable_value();
  value->resize(options_.value_bytes);
  for (char& byte : *value) byte = static_cast<char>(random_.Next());
  std::lock_guard lock(mutex_);
  put->set_context(contexts_[key]);
  return operation;
}

std::string BenchLoad::KeyOf(uint64_t key) const { return absl::StrCat(options_.prefix, key); }

void BenchLoad::Remember(uint64_t key, const std::string& context) {
  std::lock_guard lock(mutex_);
  contexts_[key] = context;
}

}  // namespace annulus::cli
