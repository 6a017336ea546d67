#include "client/session.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "annulus/admin/v1/admin.grpc.pb.h"
#include "annulus/kv/v1/kv.grpc.pb.h"
#include "client/request_id.h"

namespace annulus {
namespace {

// The contract's limits for one message, with room for what surrounds the operations.
constexpr size_t kOperationsPerMessage = 1000;
constexpr size_t kBytesPerMessage = (2u << 20) - 4096;
// Below the limit: a message is one unit of the server's work and of the network's.
constexpr size_t kBytesPerMessageWanted = 256u << 10;
// Around an operation: its id, tags and lengths.
constexpr size_t kBytesAround = 32;

constexpr Duration kTick = 20ms;
constexpr Duration kTickUndecided = 2ms;  // While it is open who accepts a connection.
constexpr Duration kRedialAfter = 100ms;
constexpr auto kAdminTimeout = std::chrono::seconds(5);
constexpr Duration kAskAgain = 1s;  // Who is there, or for the layout.

CallKind KindOf(const kv::v1::Operation& operation) {
  return operation.has_get() ? CallKind::kRead : CallKind::kWrite;
}

void NameWrite(kv::v1::Operation* operation) {
  kv::v1::WriteOptions* options = nullptr;
  if (operation->has_put()) options = operation->mutable_put()->mutable_options();
  if (operation->has_delete_()) options = operation->mutable_delete_()->mutable_options();
  if (options != nullptr && options->request_id().empty()) options->set_request_id(NewRequestId());
}

absl::Status TimeoutError(CallKind kind) {
  ErrorDetails details;
  details.reason = kTimeout;
  if (kind == CallKind::kWrite) details.outcome = Outcome::kUnknown;
  return WithDetails(absl::DeadlineExceededError("no answer in time"), details);
}

absl::Status TooLargeError(size_t bytes, CallKind kind) {
  ErrorDetails details;
  details.reason = kTooLarge;
  if (kind == CallKind::kWrite) details.outcome = Outcome::kNotApplied;
  return WithDetails(absl::InvalidArgumentError(absl::StrCat("the operation has ", bytes >> 10,
                                                             " KiB; a value has 1 MiB at most")),
                     details);
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// One endpoint

class Session::Lane {
 public:
  Lane(size_t index, std::string endpoint, uint64_t expected_node, Instant now)
      : index(index),
        endpoint(std::move(endpoint)),
        expected_node(expected_node),
        channel(OpenChannel(this->endpoint)),
        kv(kv::v1::KVStore::NewStub(channel)),
        admin(admin::v1::Admin::NewStub(channel)),
        dialled(now) {}

  // It is who the layout says; a lane that was named may be anybody.
  bool IsTrusted() const { return expected_node == 0 || node == expected_node; }
  // The connection is another one from here on, and who is behind it not known.
  void Forget() {
    connected = false;
    node = 0;
    tells_nothing = false;
  }
  // Nothing more is to be learnt about who is there, for now.
  bool IsSettled() const { return refused || tells_nothing || node != 0; }

  const size_t index;
  const std::string endpoint;
  const uint64_t expected_node;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<kv::v1::KVStore::Stub> kv;
  const std::unique_ptr<admin::v1::Admin::Stub> admin;
  Instant dialled;
  bool connected = false;
  bool refused = false;  // The last attempt to connect failed.
  bool up = false;       // Takes operations.
  // Has answered since it last failed; until then it is given one operation.
  bool proven = true;
  uint64_t node = 0;           // Who answers there; 0 while that is not known.
  bool asked_who = false;      // The question is under way.
  bool tells_nothing = false;  // It has no such service: not one of ours, or a proxy.
  Instant ask_who_at;
  Stream* stream = nullptr;  // With Door::kPipeline.
  Instant redial_at;
  Instant heard;
  std::vector<Id> outbox;
  size_t under_way = 0;  // The outbox included.
  // What was sent on the stream, in that order; what has ended since stays until it comes up.
  struct Sent {
    Id id;
    Instant at;
  };
  std::deque<Sent> sent;
};

// -------------------------------------------------------------------------------------------------
// Calls

namespace {

void Take(kv::v1::PutResponse* response, kv::v1::OperationResult* result) {
  result->mutable_put()->Swap(response);
}
void Take(kv::v1::GetResponse* response, kv::v1::OperationResult* result) {
  result->mutable_get()->Swap(response);
}
void Take(kv::v1::DeleteResponse* response, kv::v1::OperationResult* result) {
  result->mutable_delete_()->Swap(response);
}

}  // namespace

class Session::ScanCall final : public Call {
 public:
  ScanCall(Session* session, ScanCallback done)
      : Call(&session->calls_, session->options_.client.timeout), done_(std::move(done)) {}

  void Start(Session* session, Lane* lane, const kv::v1::ScanRequest& request) {
    reader_ = lane->kv->PrepareAsyncScan(&context_, request, session->loop_->queue());
    reader_->StartCall(tag());
  }

 private:
  // Its tags come one after the other: started, pages, the end.
  void Proceed(bool ok) override {
    if (finishing_ || given_up()) return Call::Proceed(ok);
    for (kv::v1::ScanItem& item : *page_.mutable_items()) found_.add_items()->Swap(&item);
    if (!page_.page_token().empty()) found_.set_page_token(page_.page_token());
    page_.Clear();
    if (ok) return reader_->Read(&page_, tag());
    finishing_ = true;
    reader_->Finish(&status_, tag());
  }

  void Ended() override {
    if (status_.ok()) return done_(std::move(found_));
    done_(FromGrpc(status_, CallKind::kRead));
  }

  ScanCallback done_;
  kv::v1::ScanResponse page_;
  kv::v1::ScanResponse found_;
  bool finishing_ = false;
  std::unique_ptr<grpc::ClientAsyncReader<kv::v1::ScanResponse>> reader_;
};

// A pipeline to one endpoint.
class Session::Stream {
 public:
  Stream(Session* session, Lane* lane) : session_(session), lane_(lane) {
    rw_ = lane->kv->PrepareAsyncPipeline(&context_, session->loop_->queue());
    ++tags_;
    rw_->StartCall(on_started_.tag());
  }

  bool writing() const { return writing_; }

  // REQUIRES: !writing(); all of them at this lane.
  void Write(std::vector<Id> ids) {
    request_.Clear();
    for (Id id : ids) {
      kv::v1::PipelineOperation* out = request_.add_operations();
      out->set_id(id);
      out->mutable_operation()->Swap(&session_->At(id).operation);
    }
    writing_ = true;
    ++tags_;
    rw_->Write(request_, on_written_.tag());
    // It is serialised by now, and may be wanted again.
    for (size_t i = 0; i < ids.size(); ++i) {
      request_.mutable_operations(static_cast<int>(i))
          ->mutable_operation()
          ->Swap(&session_->At(ids[i]).operation);
    }
    written_ = std::move(ids);
  }

  // It ends by itself soon.
  void Cancel() { context_.TryCancel(); }
  // The session wants to hear no more of it.
  void GiveUp() {
    session_ = nullptr;
    context_.TryCancel();
  }

 private:
  void OnStarted(bool ok) {
    --tags_;
    if (!ok || session_ == nullptr) return Finish();
    lane_->up = true;
    lane_->heard = session_->loop_->Now();
    session_->Changed();
    session_->ScheduleFlush();
    Read();
  }

  void OnWritten(bool ok) {
    --tags_;
    writing_ = false;
    // Where !ok the stream had ended before: gRPC promises that none of this was sent.
    if (ok) written_.clear();
    if (ok && session_ != nullptr && !lane_->outbox.empty()) session_->ScheduleFlush();
    DeleteIfDone();
  }

  void OnRead(bool ok) {
    --tags_;
    if (!ok || session_ == nullptr) {
      if (session_ != nullptr) lane_->up = false;
      return Finish();
    }
    for (kv::v1::PipelineResult& result : *response_.mutable_results()) {
      session_->Answered(result.id(), result.mutable_result());
    }
    session_->ScheduleFlush();  // The lane has room again.
    Read();
  }

  void OnFinished(bool) {
    --tags_;
    finished_ = true;
    DeleteIfDone();
  }

  void Read() {
    ++tags_;
    rw_->Read(&response_, on_read_.tag());
  }

  // Where nobody wants its status any more, no operation is begun: the queue may be shut down by
  // now.
  void Finish() {
    if (session_ == nullptr) {
      finished_ = true;
      return DeleteIfDone();
    }
    ++tags_;
    rw_->Finish(&status_, on_finished_.tag());
  }

  void DeleteIfDone() {
    if (!finished_ || tags_ > 0) return;
    if (session_ != nullptr) session_->StreamEnded(lane_, status_, written_);
    delete this;
  }

  Session* session_;  // Null once it has given this up.
  Lane* lane_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<kv::v1::PipelineRequest, kv::v1::PipelineResponse>>
      rw_;
  kv::v1::PipelineRequest request_;
  kv::v1::PipelineResponse response_;
  std::vector<Id> written_;  // What the message under way has, or the last one that failed.
  grpc::Status status_;
  int tags_ = 0;  // With gRPC.
  bool writing_ = false;
  bool finished_ = false;
  MemberTag<Stream, &Stream::OnStarted> on_started_{this};
  MemberTag<Stream, &Stream::OnWritten> on_written_{this};
  MemberTag<Stream, &Stream::OnRead> on_read_{this};
  MemberTag<Stream, &Stream::OnFinished> on_finished_{this};
};

// -------------------------------------------------------------------------------------------------
// The session

Session::Session(CqLoop* loop, SessionOptions options)
    : loop_(loop), options_(std::move(options)), last_up_(loop->Now()) {
  for (const std::string& endpoint : options_.client.endpoints) AddLane(endpoint, 0);
  named_lanes_ = lanes_.size();
  Tick();
}

Session::~Session() {
  closing_ = true;
  on_change_ = nullptr;
  loop_->Cancel(tick_);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->stream != nullptr) lane->stream->GiveUp();
  }
  for (Call* call : calls_) call->GiveUp();
  calls_.clear();
  for (size_t slot = 0; slot < pending_.size(); ++slot) {
    Pending& pending = pending_[slot];
    if (pending.done == nullptr) continue;
    const Id id = (static_cast<Id>(pending.generation) << 32) | slot;
    const bool maybe_applied = pending.maybe_applied || pending.sent;
    Finish(id, WithEarlierOutcome(UnreachableError("the session was closed", pending.kind),
                                  maybe_applied && pending.kind == CallKind::kWrite));
  }
  *alive_ = false;
}

Session::Lane* Session::AddLane(std::string endpoint, uint64_t expected_node) {
  lanes_.push_back(
      std::make_unique<Lane>(lanes_.size(), std::move(endpoint), expected_node, loop_->Now()));
  return lanes_.back().get();
}

void Session::Start(kv::v1::Operation operation, Callback done) {
  const CallKind kind = KindOf(operation);
  if (closing_) return done(UnreachableError("the session is being closed", kind));
  NameWrite(&operation);
  const Id id = NewPending();
  Pending& pending = At(id);
  pending.kind = kind;
  pending.bytes = operation.ByteSizeLong() + kBytesAround;
  pending.partition = routes_.PartitionOf(operation);
  pending.operation.Swap(&operation);
  pending.done = std::move(done);
  ++operations_;
  if (pending.bytes > kBytesPerMessage) {
    // Sent, it would break the stream, and with it everything else under way.
    return FinishLater(id, TooLargeError(pending.bytes, kind));
  }
  ready_.push_back(id);
  ScheduleFlush();
}

void Session::Scan(kv::v1::ScanRequest request, ScanCallback done) {
  const Pending anywhere{.partition = routes_.PartitionOf(request.bucket(), request.key())};
  Lane* lane = closing_ ? nullptr : Choose(anywhere, SIZE_MAX);
  if (lane == nullptr) {
    loop_->Post([done = std::move(done)]() mutable {
      done(UnreachableError("no endpoint has a connection", CallKind::kRead));
    });
    return;
  }
  (new ScanCall(this, std::move(done)))->Start(this, lane, request);
}

Session::Id Session::NewPending() {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(pending_.size()));
    pending_.emplace_back();
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  return (static_cast<Id>(pending_[slot].generation) << 32) | slot;
}

Session::Pending* Session::Find(Id id) {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= pending_.size()) return nullptr;
  Pending& pending = pending_[slot];
  return pending.generation == id >> 32 && pending.done != nullptr ? &pending : nullptr;
}

// --- On their way
// --------------------------------------------------------------------------------

void Session::ScheduleFlush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop_->AtTurnEnd([this, alive = alive_] {
    if (*alive) Flush();
  });
}

void Session::Flush() {
  flush_scheduled_ = false;
  const size_t share =
      std::max<size_t>(options_.operations_max / std::max<size_t>(lanes_up(), 1), 1);
  while (!ready_.empty()) {
    const Id id = ready_.front();
    Pending& pending = At(id);
    Lane* lane = Choose(pending, share);
    if (lane == nullptr) break;
    ready_.pop_front();
    pending.lane = static_cast<int32_t>(lane->index);
    if (lane->under_way++ == 0) lane->heard = loop_->Now();
    lane->outbox.push_back(id);
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (!lane->outbox.empty()) Send(lane.get());
  }
}

Session::Lane* Session::Choose(const Pending& pending, size_t share) const {
  const auto has_room = [&](const Lane& lane) {
    return lane.up && lane.under_way < (lane.proven ? share : 1);
  };
  const auto takes = [&](const Lane& lane) {
    return has_room(lane) && static_cast<int32_t>(lane.index) != pending.avoid;
  };
  if (pending.partition >= 0 && !routes_.empty()) {
    for (size_t index : routes_.LanesOf(pending.partition)) {
      if (takes(*lanes_[index])) return lanes_[index].get();
    }
  }
  Lane* best = nullptr;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (takes(*lane) && (best == nullptr || lane->under_way < best->under_way)) best = lane.get();
  }
  // Rather the one that failed it than to keep everything behind it waiting.
  if (best == nullptr && pending.avoid >= 0 && has_room(*lanes_[pending.avoid])) {
    return lanes_[pending.avoid].get();
  }
  return best;
}

void Session::Send(Lane* lane) {
  switch (options_.door) {
    case Door::kPipeline:
      return SendOnStream(lane);
    case Door::kUnary:
      for (Id id : std::exchange(lane->outbox, {})) {
        MarkSent(id);
        SendAlone(lane, id);
      }
      return;
    case Door::kBatch:
      const std::vector<Id> ids = std::exchange(lane->outbox, {});
      for (size_t next = 0; next < ids.size();) {
        std::vector<Id> batch;
        size_t bytes = 0;
        while (next < ids.size() && batch.size() < options_.batch_operations &&
               (batch.empty() || bytes + At(ids[next]).bytes <= kBytesPerMessageWanted)) {
          bytes += At(ids[next]).bytes;
          MarkSent(ids[next]);
          batch.push_back(ids[next++]);
        }
        SendTogether(lane, std::move(batch));
      }
      return;
  }
}

void Session::MarkSent(Id id) {
  Pending& pending = At(id);
  if (pending.attempts++ > 0) ++retried_;
  pending.sent = true;
}

void Session::SendOnStream(Lane* lane) {
  if (lane->stream == nullptr || !lane->up || lane->stream->writing()) return;
  std::vector<Id> ids;
  size_t bytes = 0;
  const Instant now = loop_->Now();
  for (Id id : lane->outbox) {
    Pending& pending = At(id);
    if (ids.size() == kOperationsPerMessage) break;
    if (!ids.empty() && bytes + pending.bytes > kBytesPerMessageWanted) break;
    bytes += pending.bytes;
    MarkSent(id);
    lane->sent.push_back({id, now});
    ids.push_back(id);
  }
  if (ids.size() == lane->outbox.size()) {
    lane->outbox.clear();
  } else {
    lane->outbox.erase(lane->outbox.begin(), lane->outbox.begin() + ids.size());
  }
  lane->stream->Write(std::move(ids));
}

void Session::SendTogether(Lane* lane, std::vector<Id> ids) {
  kv::v1::BatchRequest request;
  for (Id id : ids) request.add_operations()->Swap(&At(id).operation);
  auto* call = new UnaryCall<kv::v1::BatchResponse>(
      &calls_, options_.client.timeout,
      [this, ids](const grpc::Status& status, kv::v1::BatchResponse* response) {
        for (size_t i = 0; i < ids.size(); ++i) {
          const Pending* pending = Find(ids[i]);
          if (pending == nullptr) continue;
          if (!status.ok()) {
            AttemptFailed(ids[i], FromGrpc(status, pending->kind));
          } else if (i < static_cast<size_t>(response->results_size())) {
            Answered(ids[i], response->mutable_results(static_cast<int>(i)));
          } else {
            AttemptFailed(ids[i], TimeoutError(pending->kind));
          }
        }
      });
  call->Start([&](grpc::ClientContext* context) {
    return lane->kv->PrepareAsyncBatch(context, request, loop_->queue());
  });
  // It is serialised by now, and may be wanted again.
  for (size_t i = 0; i < ids.size(); ++i) {
    request.mutable_operations(static_cast<int>(i))->Swap(&At(ids[i]).operation);
  }
}

template <class Response, class Prepare>
void Session::SendOne(Id id, const Prepare& prepare) {
  auto* call = new UnaryCall<Response>(&calls_, options_.client.timeout,
                                       [this, id](const grpc::Status& status, Response* response) {
                                         const Pending* pending = Find(id);
                                         if (pending == nullptr) return;
                                         if (!status.ok()) {
                                           AttemptFailed(id, FromGrpc(status, pending->kind));
                                           return;
                                         }
                                         kv::v1::OperationResult result;
                                         Take(response, &result);
                                         Answered(id, &result);
                                       });
  call->Start(prepare);
}

void Session::SendAlone(Lane* lane, Id id) {
  const kv::v1::Operation& operation = At(id).operation;
  grpc::CompletionQueue* queue = loop_->queue();
  switch (operation.operation_case()) {
    case kv::v1::Operation::kPut:
      return SendOne<kv::v1::PutResponse>(id, [&](grpc::ClientContext* context) {
        return lane->kv->PrepareAsyncPut(context, operation.put(), queue);
      });
    case kv::v1::Operation::kGet:
      return SendOne<kv::v1::GetResponse>(id, [&](grpc::ClientContext* context) {
        return lane->kv->PrepareAsyncGet(context, operation.get(), queue);
      });
    case kv::v1::Operation::kDelete:
      return SendOne<kv::v1::DeleteResponse>(id, [&](grpc::ClientContext* context) {
        return lane->kv->PrepareAsyncDelete(context, operation.delete_(), queue);
      });
    case kv::v1::Operation::OPERATION_NOT_SET:
      return FinishLater(id,
                         absl::InvalidArgumentError("an operation is none of put, get, delete"));
  }
}

// --- How they end
// --------------------------------------------------------------------------------

void Session::Answered(Id id, kv::v1::OperationResult* result) {
  Pending* pending = Find(id);
  if (pending == nullptr || pending->lane < 0) return;  // Came after its timeout.
  Lane& lane = *lanes_[pending->lane];
  lane.heard = loop_->Now();
  lane.proven = true;
  if (result->has_error()) {
    AttemptFailed(id, FromOperationError(result->error(), pending->kind));
    return;
  }
  Finish(id, std::move(*result));
}

void Session::AttemptFailed(Id id, absl::Status status) {
  Pending& pending = At(id);
  pending.maybe_applied |= DetailsOf(status).outcome == Outcome::kUnknown;
  if (BlamesEndpoint(status)) {
    pending.avoid = pending.lane;
    // Of a lane that was found and not named: somebody else may have its address by now.
    if (options_.door != Door::kPipeline && absl::IsUnavailable(status) && pending.lane >= 0 &&
        lanes_[pending.lane]->expected_node != 0) {
      lanes_[pending.lane]->Forget();
    }
  }
  Leave(&pending);
  if (pending.attempts <= options_.client.retries && WorthRetrying(status)) {
    delayed_.emplace(loop_->Now() + RetryDelay(pending.attempts, status), Renew(id));
    return;
  }
  Finish(id, WithEarlierOutcome(std::move(status), pending.maybe_applied));
}

void Session::TakeBack(Id id) {
  Pending& pending = At(id);
  if (pending.sent) {
    if (--pending.attempts > 0) --retried_;
  }
  Leave(&pending);
  ready_.push_front(Renew(id));
}

Session::Id Session::Renew(Id id) {
  const auto slot = static_cast<uint32_t>(id);
  return (static_cast<Id>(++pending_[slot].generation) << 32) | slot;
}

void Session::Leave(Pending* pending) {
  if (pending->lane >= 0) --lanes_[pending->lane]->under_way;
  pending->lane = -1;
  pending->sent = false;
}

void Session::Finish(Id id, absl::StatusOr<kv::v1::OperationResult> result) {
  Pending& pending = At(id);
  Leave(&pending);
  Callback done = std::move(pending.done);
  pending.done = nullptr;
  pending.operation.Clear();
  pending.avoid = -1;
  pending.attempts = 0;
  pending.maybe_applied = false;
  ++pending.generation;
  free_.push_back(static_cast<uint32_t>(id));
  --operations_;
  if (!ready_.empty()) ScheduleFlush();
  done(std::move(result));
}

// Callbacks do not run before the call that starts them has returned.
void Session::FinishLater(Id id, absl::Status status) {
  loop_->Post([this, alive = alive_, id, status = std::move(status)] {
    if (*alive && Find(id) != nullptr) Finish(id, status);
  });
}

void Session::StreamEnded(Lane* lane, const grpc::Status& status, const std::vector<Id>& unsent) {
  lane->stream = nullptr;
  lane->up = false;
  lane->proven = false;
  if (lane->expected_node != 0) lane->Forget();
  lane->redial_at = loop_->Now() + kRedialAfter;
  for (auto id = lane->outbox.rbegin(); id != lane->outbox.rend(); ++id) TakeBack(*id);
  lane->outbox.clear();
  for (auto id = unsent.rbegin(); id != unsent.rend(); ++id) {
    if (const Pending* pending = Find(*id); pending != nullptr && pending->sent) TakeBack(*id);
  }
  // A server that ends the stream without an error is going down with these unanswered.
  const grpc::Status why =
      status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server closed the stream")
                  : status;
  for (const Lane::Sent& sent : std::exchange(lane->sent, {})) {
    const Pending* pending = Find(sent.id);
    if (pending != nullptr) AttemptFailed(sent.id, FromGrpc(why, pending->kind));
  }
  Changed();
  ScheduleFlush();
}

// --- Time
// ----------------------------------------------------------------------------------------

void Session::Tick() {
  const Instant now = loop_->Now();
  bool changed = false;
  for (size_t i = 0; i < lanes_.size(); ++i) changed |= Look(lanes_[i].get(), now);

  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    // In front: these have waited longest, and later steps may wait for them.
    ready_.push_front(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    changed = true;
  }
  if (lanes_up() > 0) last_up_ = now;
  if (now - last_up_ > options_.client.timeout) GiveUpHope();
  if (changed) {
    if (layout_.partitions_size() > 0) Route();
    Changed();
    ScheduleFlush();
  }
  tick_ = loop_->PostAt(now + (decided() ? kTick : kTickUndecided), [this] { Tick(); });
}

bool Session::Look(Lane* lane, Instant now) {
  const bool was_up = lane->up;
  const bool was_refused = lane->refused;
  const grpc_connectivity_state state = lane->channel->GetState(/*try_to_connect=*/true);
  const bool connected = state == GRPC_CHANNEL_READY;
  if (connected && !lane->connected) {
    lane->refused = false;
  } else if (!connected && lane->connected) {
    lane->dialled = now;
    lane->Forget();
  }
  lane->connected = connected;
  if (options_.finds_owners && connected && !lane->asked_who && !lane->tells_nothing &&
      now >= lane->ask_who_at && (lane->node == 0 || layout_.partitions_size() == 0)) {
    AskWho(lane);
  }
  if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
      (!connected && now - lane->dialled > options_.client.connect_timeout)) {
    lane->refused = true;
  }

  if (options_.door != Door::kPipeline) {
    lane->up = connected && lane->IsTrusted();
  } else if (lane->stream == nullptr && connected && lane->IsTrusted() && now >= lane->redial_at) {
    lane->stream = new Stream(this, lane);
  }

  // Not one answer in all that time: the process is stopped or cut off. A new connection tells.
  if (lane->stream != nullptr && lane->under_way > 0 &&
      now - lane->heard > options_.client.timeout) {
    lane->stream->Cancel();
  }
  while (!lane->sent.empty()) {
    const Lane::Sent front = lane->sent.front();
    const Pending* pending = Find(front.id);
    if (pending != nullptr && now - front.at <= options_.client.timeout) break;
    lane->sent.pop_front();
    if (pending != nullptr) AttemptFailed(front.id, TimeoutError(pending->kind));
  }
  return lane->up != was_up || lane->refused != was_refused;
}

void Session::GiveUpHope() {
  std::vector<Id> hopeless(ready_.begin(), ready_.end());
  ready_.clear();
  for (const auto& [at, id] : delayed_) hopeless.push_back(id);
  delayed_.clear();
  for (Id id : hopeless) {
    const Pending& pending = At(id);
    absl::Status status = UnreachableError(
        absl::StrCat("no connection to ", absl::StrJoin(options_.client.endpoints, ", ")),
        pending.kind);
    Finish(id, WithEarlierOutcome(std::move(status), pending.maybe_applied));
  }
}

// --- Who owns what
// -------------------------------------------------------------------------------

void Session::AskWho(Lane* lane) {
  lane->asked_who = true;
  lane->ask_who_at = loop_->Now() + kAskAgain;
  auto* call = new UnaryCall<admin::v1::StatusResponse>(
      &calls_, kAdminTimeout,
      [this, lane](const grpc::Status& status, const admin::v1::StatusResponse* response) {
        lane->asked_who = false;
        const bool ours = layout_.cluster().empty() || response->cluster() == layout_.cluster();
        lane->tells_nothing = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
        lane->node = status.ok() && ours ? response->node_id() : 0;
        if (!lane->IsTrusted() && lane->stream != nullptr) lane->stream->Cancel();
        if (lane->node != 0 && layout_.partitions_size() == 0) {
          AskForLayout(lane);
        } else {
          Route();
        }
      });
  call->Start([&](grpc::ClientContext* context) {
    return lane->admin->PrepareAsyncStatus(context, {}, loop_->queue());
  });
}

// Where it has none yet, it is asked again together with who is there.
void Session::AskForLayout(Lane* lane) {
  auto* call = new UnaryCall<admin::v1::LayoutResponse>(
      &calls_, kAdminTimeout,
      [this](const grpc::Status& status, admin::v1::LayoutResponse* response) {
        if (!status.ok() || response->partitions_size() == 0) return;
        layout_.Swap(response);
        Route();
      });
  call->Start([&](grpc::ClientContext* context) {
    return lane->admin->PrepareAsyncLayout(context, {}, loop_->queue());
  });
}

void Session::Route() {
  std::map<uint64_t, size_t> lane_of;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->node != 0) lane_of.emplace(lane->node, lane->index);
  }
  routes_ = Routes(layout_, lane_of);
  // Members that nobody named get lanes of their own, once it is known who those are that were
  // named.
  const bool settled = std::all_of(lanes_.begin(), lanes_.begin() + named_lanes_,
                                   [](const auto& lane) { return lane->IsSettled(); });
  for (const admin::v1::LayoutMember& member : layout_.members()) {
    const bool known = std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
      return lane->node == member.node_id() || lane->expected_node == member.node_id();
    });
    if (settled && !known && !member.client_address().empty()) {
      AddLane(member.client_address(), member.node_id());
    }
  }
  Changed();
}

// --- What others may ask
// -------------------------------------------------------------------------

size_t Session::lanes_up() const {
  return std::count_if(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->up; });
}

bool Session::decided() const {
  return std::all_of(lanes_.begin(), lanes_.begin() + named_lanes_,
                     [](const auto& lane) { return lane->up || lane->refused; });
}

std::vector<std::string> Session::Unreachable() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < named_lanes_; ++i) {
    if (!lanes_[i]->up) names.push_back(lanes_[i]->endpoint);
  }
  return names;
}

void Session::Changed() {
  if (on_change_) on_change_();
}

}  // namespace annulus
