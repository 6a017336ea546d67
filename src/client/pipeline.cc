#include "client/pipeline.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace annulus {
namespace {

using std::chrono::milliseconds;

// How long Connect() waits for the other endpoints once one has accepted.
constexpr milliseconds kOthersMax(200);

SessionOptions ForSession(const PipelineOptions& options) {
  return {.client = options.client,
          .operations_max = options.operations_max,
          .finds_owners = options.finds_owners};
}

}  // namespace

Pipeline::Pipeline(PipelineOptions options) : options_(std::move(options)) {
  loop_.Post([this] {
    session_ = std::make_unique<Session>(&loop_, ForSession(options_));
    session_->set_on_change([this] { NoteLanes(); });
    NoteLanes();
  });
  thread_ = std::thread([this] { loop_.Run(); });
}

Pipeline::~Pipeline() {
  loop_.Post([this] {
    TakeOver();  // So that what has just been asked for is answered too,
    session_.reset();
    TakeOver();  // and what those answers have asked for.
    loop_.Stop();
  });
  thread_.join();
}

absl::Status Pipeline::Connect() {
  std::unique_lock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + options_.client.timeout;
  changed_.wait_until(lock, deadline, [&] { return lanes_up_ > 0 || decided_; });
  if (lanes_up_ > 0) changed_.wait_for(lock, kOthersMax, [&] { return decided_; });
  if (lanes_up_ > 0) return absl::OkStatus();
  return UnreachableError(
      absl::StrCat("no connection to ", absl::StrJoin(options_.client.endpoints, ", ")),
      CallKind::kWrite);
}

void Pipeline::Start(kv::v1::Operation operation, Callback done) {
  {
    std::unique_lock lock(mutex_);
    const auto below = [&](double share) {
      return operations_ == 0 ||
             (operations_ < share * static_cast<double>(options_.operations_max) &&
              bytes_ < share * static_cast<double>(options_.bytes_max));
    };
    if (!below(1)) changed_.wait(lock, [&] { return below(0.8); });
  }
  Enqueue(std::move(operation), std::move(done));
}

void Pipeline::StartChained(kv::v1::Operation operation, Callback done) {
  Enqueue(std::move(operation), std::move(done));
}

void Pipeline::Enqueue(kv::v1::Operation operation, Callback done) {
  const size_t bytes = operation.ByteSizeLong();
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    ++operations_;
    bytes_ += bytes;
    first = requests_.empty();
    requests_.push_back({std::move(operation), std::move(done)});
  }
  if (first) loop_.Post([this] { TakeOver(); });
}

void Pipeline::TakeOver() {
  std::vector<Request> requests;
  {
    std::lock_guard lock(mutex_);
    requests.swap(requests_);
  }
  for (Request& request : requests) Run(std::move(request));
}

void Pipeline::Run(Request request) {
  const size_t bytes = request.operation.ByteSizeLong();
  const CallKind kind = request.operation.has_get() ? CallKind::kRead : CallKind::kWrite;
  auto ended = [this, bytes,
                done = std::move(request.done)](absl::StatusOr<kv::v1::OperationResult> result) {
    done(std::move(result));
    {
      std::lock_guard lock(mutex_);
      --operations_;
      bytes_ -= bytes;
      if (session_ != nullptr) retried_ = session_->retried();
    }
    changed_.notify_all();
  };
  if (session_ == nullptr) return ended(UnreachableError("the pipeline is being closed", kind));
  session_->Start(std::move(request.operation), std::move(ended));
}

void Pipeline::Drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return operations_ == 0; });
}

void Pipeline::NoteLanes() {
  {
    std::lock_guard lock(mutex_);
    lanes_up_ = session_->lanes_up();
    decided_ = session_->decided();
    unreachable_ = session_->Unreachable();
  }
  changed_.notify_all();
}

uint64_t Pipeline::retried() const {
  std::lock_guard lock(mutex_);
  return retried_;
}

std::vector<std::string> Pipeline::Unreachable() const {
  std::lock_guard lock(mutex_);
  return unreachable_;
}

}  // namespace annulus
