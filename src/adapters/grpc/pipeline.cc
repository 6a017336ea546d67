#include "adapters/grpc/pipeline.h"

#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/arena_message.h"
#include "adapters/grpc/operation.h"
#include "adapters/grpc/status_details.h"
#include "base/check.h"
#include "core/error.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

constexpr int kPipelineMethod = 4;  // Its place in the proto.

// Of one stream: operations that run or whose result is not with gRPC yet, bytes of the requests
// that run, and bytes of such results with what the gets that run are expected to bring.
constexpr size_t kOperationsMax = 4096;
constexpr size_t kRequestBytesMax = 8 << 20;
constexpr size_t kResultBytesMax = 8 << 20;
// Where gets bring more than was expected, what they bring beyond this is dropped.
constexpr size_t kResultBytesLimit = 16 << 20;
// What a get is expected to bring: at once the size of a larger one, slowly that of smaller ones.
constexpr size_t kGetBytesGuess = 1 << 20;
constexpr size_t kGetBytesGuessMin = 8 << 10;
constexpr size_t kGetBytesGuessDecay = 32;
// When a client may ask again for what was dropped.
constexpr Duration kRetryAfter = 100ms;
// A response is closed at about this size, unless one result alone is larger.
constexpr size_t kResponseBytesMax = 1 << 20;

}  // namespace

// It owns itself until gRPC has let go of it; operations that end later find it gone.
class PipelineMethod::Stream : public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(PipelineMethod* method) : method_(method), door_(method->door_) {}

  void Post() {
    self_ = shared_from_this();
    grpc::ServerCompletionQueue* queue = door_->loop->queue();
    method_->service_->RequestBidiStream(kPipelineMethod, &context_, &rw_, queue, queue,
                                         on_accepted_.tag());
  }

 private:
  friend class PipelineMethod::Held;

  struct Ended {
    uint64_t id = 0;
    OperationAnswer answer;
    size_t bytes = 0;
  };

  void OnAccepted(bool ok) {
    if (!ok) return Delete();  // The server is shut down.
    method_->Post();
    arrived_ = door_->loop->Now();
    deadline_ = DeadlineOf(context_);
    if (door_->observer != nullptr) door_->observer->OnStart(PublicOp::kPipeline);
    Read();
  }

  void Read() {
    reading_ = true;
    in_.Renew();
    next_ = 0;
    rw_.Read(&unparsed_, on_read_.tag());
  }

  void OnRead(bool ok) {
    reading_ = false;
    if (!ok) {
      read_ended_ = true;
      return FinishWhenDone();
    }
    if (absl::Status parsed = Parse(&unparsed_, &*in_); !parsed.ok()) {
      return Refuse(std::move(parsed));
    }
    const size_t count = in_->operations_size();
    const size_t count_max =
        door_->node == nullptr ? 1000 : door_->node->options().limits.batch_operations_max;
    if (count == 0 || count > count_max) {
      return Refuse(absl::InvalidArgumentError(
          absl::StrCat("a message with ", count, " operations: give 1 to ", count_max)));
    }
    StartMore();
  }

  // Ends the stream with this status, once what runs has been answered.
  void Refuse(absl::Status status) {
    status_ = std::move(status);
    read_ended_ = true;
    FinishWhenDone();
  }

  void StartMore() {
    if (reading_ || read_ended_ || starting_) return;
    starting_ = true;  // An operation may end before it has waited.
    while (next_ < in_->operations_size()) {
      // As OnEnded counts it: one of no kind is taken for a get.
      const bool is_get = OpOf(in_->operations(next_).operation()) == PublicOp::kGet;
      if (open_ >= kOperationsMax || request_bytes_ >= kRequestBytesMax) break;
      const size_t expected = ended_bytes_ + (gets_ + (is_get ? 1 : 0)) * get_bytes_guess_;
      if (expected > kResultBytesMax) break;
      if (door_->node == nullptr) {
        starting_ = false;
        return Refuse(NoNode());
      }
      ++open_;
      pb::PipelineOperation* operation = in_->mutable_operations(next_++);
      const size_t bytes = operation->ByteSizeLong();
      request_bytes_ += bytes;
      if (is_get) ++gets_;
      door_->node->Spawn(RunOne(weak_from_this(), door_, deadline_, operation, bytes));
    }
    starting_ = false;
    if (next_ == in_->operations_size()) Read();
  }

  // `operation` is taken apart before the flow first waits: it goes with the message that it is in.
  static Task<void> RunOne(std::weak_ptr<Stream> stream, DoorContext* door, Instant deadline,
                           pb::PipelineOperation* operation, size_t bytes);

  void OnEnded(uint64_t id, size_t request_bytes, OperationAnswer answer) {
    request_bytes_ -= request_bytes;
    const bool is_get = answer.op == PublicOp::kGet;
    if (is_get) --gets_;
    if (broken_) {
      --open_;
      return;
    }
    const size_t bytes = SizeOf(answer);
    Ended& ended = ended_.emplace_back(Ended{id, std::move(answer), bytes});
    if (is_get) {
      LearnGetBytes(ended.bytes);
      if (ended_bytes_ > 0 && ended_bytes_ + ended.bytes > kResultBytesLimit) Drop(&ended);
    }
    ended_bytes_ += ended.bytes;
    ScheduleFlush();
  }

  void LearnGetBytes(size_t bytes) {
    if (bytes < get_bytes_guess_) {
      bytes = get_bytes_guess_ - (get_bytes_guess_ - bytes) / kGetBytesGuessDecay;
    }
    get_bytes_guess_ = std::clamp(bytes, kGetBytesGuessMin, kResultBytesMax);
  }

  static void Drop(Ended* ended) {
    ended->answer.result = WithDetails(
        absl::ResourceExhaustedError("too many answers of this stream wait for its client: read "
                                     "them, and get this item again"),
        {.reason = "PIPELINE_FULL", .retry_after = kRetryAfter});
    ended->bytes = SizeOf(ended->answer);
  }

  void ScheduleFlush() {
    if (flush_scheduled_ || writing_ || ended_.empty()) return;
    flush_scheduled_ = true;
    door_->loop->AtTurnEnd([self = shared_from_this()] { self->Flush(); });
  }

  void Flush() {
    flush_scheduled_ = false;
    if (writing_ || broken_ || ended_.empty()) return;
    out_.Renew();
    size_t bytes = 0;
    while (!ended_.empty()) {
      Ended& ended = ended_.front();
      if (bytes > 0 && bytes + ended.bytes > kResponseBytesMax) break;
      bytes += ended.bytes;
      pb::PipelineResult* result = out_->add_results();
      result->set_id(ended.id);
      Fill(std::move(ended.answer), result->mutable_result());
      ended_.pop_front();
      --open_;
    }
    ended_bytes_ -= bytes;
    writing_ = true;
    rw_.Write(*out_, on_written_.tag());
    StartMore();
  }

  void OnWritten(bool ok) {
    writing_ = false;
    if (!ok) {
      broken_ = true;
      open_ -= ended_.size();
      ended_.clear();
      ended_bytes_ = 0;
      // A read under way fails too, and ends the stream; without one nothing else would.
      if (!reading_) read_ended_ = true;
    }
    ScheduleFlush();
    FinishWhenDone();
  }

  void FinishWhenDone() {
    if (!read_ended_ || writing_ || finishing_) return;
    if (!broken_ && open_ > 0) return;
    finishing_ = true;
    broken_ = true;
    if (door_->observer != nullptr) {
      door_->observer->OnEnd(PublicOp::kPipeline, status_, door_->loop->Now() - arrived_, {});
    }
    rw_.Finish(ToGrpcStatus(status_), on_finished_.tag());
  }

  void OnFinished(bool) { Delete(); }

  void Delete() {
    method_->streams_.erase(this);
    const std::shared_ptr<Stream> self = std::move(self_);
  }

  PipelineMethod* method_;
  DoorContext* door_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<pb::PipelineResponse, grpc::ByteBuffer> rw_{&context_};
  Instant arrived_;
  Instant deadline_;
  absl::Status status_;
  grpc::ByteBuffer unparsed_;
  ArenaMessage<pb::PipelineRequest> in_;
  int next_ = 0;  // The first operation of in_ that has not been started.
  ArenaMessage<pb::PipelineResponse> out_;
  std::deque<Ended> ended_;
  size_t ended_bytes_ = 0;
  size_t request_bytes_ = 0;  // Of operations that run.
  size_t gets_ = 0;           // That run.
  size_t get_bytes_guess_ = kGetBytesGuess;
  size_t open_ = 0;  // Operations that run, or whose result is in ended_.
  bool starting_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool read_ended_ = false;
  bool broken_ = false;  // Nobody hears what is written.
  bool finishing_ = false;
  bool flush_scheduled_ = false;

  std::shared_ptr<Stream> self_;  // Until gRPC has let go of it.
  MemberTag<Stream, &Stream::OnAccepted> on_accepted_{this};
  MemberTag<Stream, &Stream::OnRead> on_read_{this};
  MemberTag<Stream, &Stream::OnWritten> on_written_{this};
  MemberTag<Stream, &Stream::OnFinished> on_finished_{this};
};

// Lives in an operation's frame: answers it even where its flow does not come to its end.
class PipelineMethod::Held {
 public:
  Held(std::weak_ptr<Stream> stream, const pb::PipelineOperation& operation, size_t bytes)
      : stream_(std::move(stream)),
        id_(operation.id()),
        op_(OpOf(operation.operation())),
        bytes_(bytes) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (!stream_.expired()) Answer({op_, NodeWentAway(/*is_write=*/op_ != PublicOp::kGet)});
  }

  // The first answer counts.
  void Answer(OperationAnswer answer) {
    const std::shared_ptr<Stream> stream = std::exchange(stream_, {}).lock();
    if (stream != nullptr) stream->OnEnded(id_, bytes_, std::move(answer));
  }

 private:
  std::weak_ptr<Stream> stream_;
  const uint64_t id_;
  const PublicOp op_;
  const size_t bytes_;  // Of the request.
};

Task<void> PipelineMethod::Stream::RunOne(std::weak_ptr<Stream> stream, DoorContext* door,
                                          Instant deadline, pb::PipelineOperation* operation,
                                          size_t bytes) {
  Held held(std::move(stream), *operation, bytes);
  OperationAnswer answer = co_await RunOperation(door, operation->mutable_operation(), deadline);
  held.Answer(std::move(answer));
}

PipelineMethod::~PipelineMethod() { ANNULUS_CHECK(streams_.empty()); }

void PipelineMethod::Post() {
  auto stream = std::make_shared<Stream>(this);
  streams_.insert(stream.get());
  stream->Post();
}

}  // namespace annulus
