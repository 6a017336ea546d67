#include "cli/pipeline.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/encoding.h"
#include "grpcpp/client_context.h"

namespace annulus::cli {
namespace {

using std::chrono::milliseconds;

// The contract's limits for one message, with room for what surrounds the operations.
constexpr size_t kOperationsPerMessage = 1000;
constexpr size_t kBytesPerMessage = (2u << 20) - 4096;
// Below the limit: a message is one unit of the server's work and of the network's.
constexpr size_t kBytesPerMessageWanted = 256u << 10;
// Around an operation: its id, tags and lengths.
constexpr size_t kBytesAround = 32;

constexpr auto kTick = milliseconds(20);

CallKind KindOf(const kv::v1::Operation& operation) {
  return operation.has_get() ? CallKind::kRead : CallKind::kWrite;
}

void NameWrite(kv::v1::Operation* operation) {
  kv::v1::WriteOptions* options = nullptr;
  if (operation->has_put()) options = operation->mutable_put()->mutable_options();
  if (operation->has_delete_()) options = operation->mutable_delete_()->mutable_options();
  if (options != nullptr && options->request_id().empty()) options->set_request_id(NewRequestId());
}

absl::Status TimeoutError(CallKind kind, std::string message) {
  ErrorDetails details;
  details.reason = kTimeout;
  if (kind == CallKind::kWrite) details.outcome = Outcome::kUnknown;
  return WithDetails(absl::DeadlineExceededError(std::move(message)), details);
}

}  // namespace

Pipeline::Pipeline(PipelineOptions options) : options_(std::move(options)) {
  last_up_ = Clock::now();
  for (const std::string& endpoint : options_.client.endpoints) {
    auto lane = std::make_unique<Lane>();
    lane->endpoint = endpoint;
    lane->channel = OpenChannel(endpoint);
    lane->stub = kv::v1::KVStore::NewStub(lane->channel);
    lanes_.push_back(std::move(lane));
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i]->thread = std::thread([this, i] { RunLane(i); });
  }
  timer_ = std::thread([this] { RunTimer(); });
}

Pipeline::~Pipeline() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& lane : lanes_) {
      if (lane->context != nullptr) lane->context->TryCancel();
    }
  }
  work_.notify_all();
  stopped_.notify_all();
  for (auto& lane : lanes_) lane->thread.join();
  timer_.join();
  // Nobody is left to answer these.
  std::deque<PendingPtr> rest;
  {
    std::lock_guard lock(mutex_);
    rest.swap(ready_);
    for (auto& [time, pending] : delayed_) rest.push_back(std::move(pending));
    delayed_.clear();
  }
  for (PendingPtr& pending : rest) {
    const bool maybe_applied = pending->maybe_applied;
    const CallKind kind = pending->kind;
    Finish(std::move(pending),
           WithEarlierOutcome(UnreachableError("the pipeline was closed", kind), maybe_applied));
  }
}

absl::Status Pipeline::Connect() {
  std::unique_lock lock(mutex_);
  const auto all_decided = [&] {
    return std::all_of(lanes_.begin(), lanes_.end(),
                       [](const auto& lane) { return lane->up || lane->refused; });
  };
  const auto deadline = Clock::now() + options_.client.connect_timeout + milliseconds(500);
  room_.wait_until(lock, deadline, [&] { return LanesUp() > 0 || all_decided(); });
  if (LanesUp() > 0) room_.wait_for(lock, milliseconds(200), all_decided);
  if (LanesUp() > 0) return absl::OkStatus();
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
    if (!below(1)) room_.wait(lock, [&] { return below(0.8); });
  }
  Enqueue(std::move(operation), std::move(done));
}

void Pipeline::StartChained(kv::v1::Operation operation, Callback done) {
  Enqueue(std::move(operation), std::move(done));
}

void Pipeline::Enqueue(kv::v1::Operation operation, Callback done) {
  NameWrite(&operation);
  auto pending = std::make_unique<Pending>();
  pending->kind = KindOf(operation);
  pending->bytes = operation.ByteSizeLong() + kBytesAround;
  pending->operation = std::move(operation);
  pending->done = std::move(done);
  const bool too_large = pending->bytes > kBytesPerMessage;
  {
    std::lock_guard lock(mutex_);
    ++operations_;
    bytes_ += pending->bytes;
    if (!too_large) ready_.push_back(std::move(pending));
  }
  if (!too_large) {
    work_.notify_one();
    return;
  }
  // Sent, it would break the stream, and with it everything else under way.
  ErrorDetails details;
  details.reason = kTooLarge;
  if (pending->kind == CallKind::kWrite) details.outcome = Outcome::kNotApplied;
  const std::string size = HumanBytes(pending->bytes);
  Finish(std::move(pending),
         WithDetails(absl::InvalidArgumentError(
                         absl::StrCat("the operation has ", size, "; a value has 1 MiB at most")),
                     details));
}

void Pipeline::Drain() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return operations_ == 0; });
}

uint64_t Pipeline::retried() const {
  std::lock_guard lock(mutex_);
  return retried_;
}

std::vector<std::string> Pipeline::Unreachable() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& lane : lanes_) {
    if (!lane->up) names.push_back(lane->endpoint);
  }
  return names;
}

size_t Pipeline::LanesUp() const {
  return std::count_if(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->up; });
}

// -------------------------------------------------------------------------------------------------
// A lane: connect, stream, end of the stream, again.

void Pipeline::RunLane(size_t index) {
  Lane& lane = *lanes_[index];
  for (;;) {
    const bool connected = AwaitConnected(
        *lane.channel, std::chrono::system_clock::now() + options_.client.connect_timeout);
    {
      std::unique_lock lock(mutex_);
      if (stopping_) return;
      lane.refused = !connected;
    }
    room_.notify_all();
    absl::Status status;
    if (connected) {
      const grpc::Status ended = RunStream(index);
      std::map<uint64_t, PendingPtr> orphans;
      {
        std::lock_guard lock(mutex_);
        orphans.swap(lane.under_way);
        lane.proven = false;
      }
      for (auto& [id, pending] : orphans) {
        // A server that ends the stream without an error is going down with these unanswered.
        const grpc::Status why =
            ended.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server closed the stream")
                       : ended;
        const CallKind kind = pending->kind;
        AttemptFailed(std::move(pending), index, FromGrpc(why, kind));
      }
    }
    std::unique_lock lock(mutex_);
    if (work_.wait_for(lock, milliseconds(100), [&] { return stopping_; })) return;
  }
}

grpc::Status Pipeline::RunStream(size_t index) {
  Lane& lane = *lanes_[index];
  grpc::ClientContext context;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return grpc::Status::CANCELLED;
    lane.context = &context;
    lane.broken = false;
    lane.up = true;
    lane.heard = Clock::now();
    last_up_ = lane.heard;
  }
  room_.notify_all();
  auto stream = lane.stub->Pipeline(&context);
  std::thread reader([&] { Read(index, *stream); });

  kv::v1::PipelineRequest request;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || lane.broken || HasWork(index); });
      if (stopping_ || lane.broken) break;
      request.Clear();
      if (!Take(index, &request)) continue;
    }
    if (stream->Write(request)) continue;
    // The stream had ended before: gRPC promises that none of this was sent.
    std::lock_guard lock(mutex_);
    for (auto it = request.operations().rbegin(); it != request.operations().rend(); ++it) {
      const auto found = lane.under_way.find(it->id());
      if (found == lane.under_way.end()) continue;
      --found->second->attempts;
      if (found->second->attempts > 0) --retried_;
      ready_.push_front(std::move(found->second));
      lane.under_way.erase(found);
    }
    break;
  }
  {
    std::lock_guard lock(mutex_);
    lane.up = false;
    if (stopping_) context.TryCancel();
  }
  work_.notify_all();  // Others may take what this one leaves.
  reader.join();
  const grpc::Status status = stream->Finish();
  std::lock_guard lock(mutex_);
  lane.context = nullptr;
  return status;
}

bool Pipeline::HasWork(size_t index) const {
  if (ready_.empty()) return false;
  const size_t up = std::max<size_t>(LanesUp(), 1);
  const Lane& lane = *lanes_[index];
  const size_t most = lane.proven ? std::max<size_t>(options_.operations_max / up, 1) : 1;
  if (lane.under_way.size() >= most) return false;
  // Only the front is looked at: what a lane avoids is taken by another one at once.
  return ready_.front()->avoid != index || up == 1;
}

bool Pipeline::Take(size_t index, kv::v1::PipelineRequest* request) {
  Lane& lane = *lanes_[index];
  const size_t up = std::max<size_t>(LanesUp(), 1);
  // A fair share, so that one lane does not empty the queue while the others wake up.
  const size_t share = std::min(kOperationsPerMessage, (ready_.size() + up - 1) / up);
  const auto now = Clock::now();
  size_t bytes = 0, taken = 0;
  if (lane.under_way.empty()) lane.heard = now;
  while (taken < share && HasWork(index)) {
    PendingPtr& front = ready_.front();
    if (taken > 0 && bytes + front->bytes > kBytesPerMessageWanted) break;
    const uint64_t id = next_id_++;
    kv::v1::PipelineOperation* out = request->add_operations();
    out->set_id(id);
    *out->mutable_operation() = front->operation;
    bytes += front->bytes;
    if (front->attempts++ > 0) ++retried_;
    front->sent = now;
    lane.under_way.emplace(id, std::move(front));
    ready_.pop_front();
    ++taken;
  }
  return taken > 0;
}

void Pipeline::Read(
    size_t index,
    grpc::ClientReaderWriter<kv::v1::PipelineRequest, kv::v1::PipelineResponse>& stream) {
  Lane& lane = *lanes_[index];
  kv::v1::PipelineResponse response;
  std::vector<std::pair<PendingPtr, kv::v1::OperationResult>> answered;
  while (stream.Read(&response)) {
    answered.clear();
    {
      std::lock_guard lock(mutex_);
      lane.heard = Clock::now();
      lane.proven = true;
      for (auto& result : *response.mutable_results()) {
        const auto found = lane.under_way.find(result.id());
        if (found == lane.under_way.end()) continue;  // Came after its timeout.
        answered.emplace_back(std::move(found->second), std::move(*result.mutable_result()));
        lane.under_way.erase(found);
      }
    }
    for (auto& [pending, result] : answered) {
      if (result.has_error()) {
        const CallKind kind = pending->kind;
        AttemptFailed(std::move(pending), index, FromOperationError(result.error(), kind));
      } else {
        Finish(std::move(pending), std::move(result));
      }
    }
    work_.notify_all();  // The lane has room again.
  }
  {
    std::lock_guard lock(mutex_);
    lane.broken = true;
    lane.up = false;
  }
  work_.notify_all();
}

// -------------------------------------------------------------------------------------------------
// The end of an attempt, and of an operation

void Pipeline::AttemptFailed(PendingPtr pending, size_t lane, absl::Status status) {
  pending->maybe_applied = pending->maybe_applied || DetailsOf(status).outcome == Outcome::kUnknown;
  {
    std::lock_guard lock(mutex_);
    if (!stopping_ && pending->attempts <= options_.client.retries && WorthRetrying(status)) {
      if (BlamesEndpoint(status)) pending->avoid = lane;
      const auto when = Clock::now() + RetryDelay(pending->attempts, status);
      delayed_.emplace(when, std::move(pending));
      return;
    }
  }
  const bool maybe_applied = pending->maybe_applied;
  Finish(std::move(pending), WithEarlierOutcome(std::move(status), maybe_applied));
}

void Pipeline::Finish(PendingPtr pending, absl::StatusOr<kv::v1::OperationResult> result) {
  pending->done(std::move(result));
  {
    std::lock_guard lock(mutex_);
    --operations_;
    bytes_ -= pending->bytes;
  }
  room_.notify_all();
}

void Pipeline::RunTimer() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, kTick, [&] { return stopping_; })) {
    const auto now = Clock::now();
    bool woken = false;
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      // In front: these have waited longest, and later steps may wait for them.
      ready_.push_front(std::move(delayed_.begin()->second));
      delayed_.erase(delayed_.begin());
      woken = true;
    }

    std::vector<std::pair<PendingPtr, size_t>> late;
    for (size_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = *lanes_[i];
      if (lane.up) last_up_ = now;
      while (!lane.under_way.empty() &&
             now - lane.under_way.begin()->second->sent > options_.client.timeout) {
        late.emplace_back(std::move(lane.under_way.begin()->second), i);
        lane.under_way.erase(lane.under_way.begin());
      }
      // Not one answer in all that time: the process is stopped or cut off. A new connection tells.
      const bool silent = now - lane.heard > options_.client.timeout;
      if (lane.up && silent && lane.context != nullptr &&
          (!lane.under_way.empty() || !late.empty())) {
        lane.context->TryCancel();
      }
    }

    std::deque<PendingPtr> hopeless;
    if (LanesUp() == 0 && now - last_up_ > options_.client.timeout) {
      hopeless.swap(ready_);
      for (auto& [time, pending] : delayed_) hopeless.push_back(std::move(pending));
      delayed_.clear();
    }
    lock.unlock();
    if (woken) work_.notify_all();
    for (auto& [pending, lane] : late) {
      const CallKind kind = pending->kind;
      AttemptFailed(std::move(pending), lane, TimeoutError(kind, "no answer in time"));
    }
    for (PendingPtr& pending : hopeless) {
      const bool maybe_applied = pending->maybe_applied;
      absl::Status status = UnreachableError(
          absl::StrCat("no connection to ", absl::StrJoin(options_.client.endpoints, ", ")),
          pending->kind);
      Finish(std::move(pending), WithEarlierOutcome(std::move(status), maybe_applied));
    }
    lock.lock();
  }
}

}  // namespace annulus::cli
