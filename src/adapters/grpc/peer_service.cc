#include "adapters/grpc/peer_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/arena_message.h"
#include "adapters/grpc/peer_codec.h"
#include "base/check.h"

namespace annulus {
namespace {

namespace pb = peer::v1;

// Waiting for peers to call; each that does is replaced by the next.
constexpr int kPostedStreams = 2;

constexpr uint64_t kTimeoutMaxUs = 3600ull * 1'000'000;

constexpr size_t kErrorBytes = 256;
constexpr size_t kFrameOverheadBytes = 1024;

}  // namespace

// One incoming stream. It owns itself until gRPC has let go of it; answers that come later find it
// gone.
class PeerService::Stream : public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(PeerService* service) : service_(service), loop_(service->loop_) {}

  void Post() {
    self_ = shared_from_this();
    service_->service_.RequestExchange(&context_, &rw_, loop_->queue(), loop_->queue(),
                                       on_accepted_.tag());
  }

  void Cancel() {
    stopped_ = true;
    if (!accepted_) return;  // The server's end comes for it.
    context_.TryCancel();
    if (reading_ || read_ended_) return;
    read_ended_ = true;  // It had too much under way to be read.
    FinishWhenIdle();
  }

 private:
  struct Answered {
    uint64_t id = 0;
    PeerResult result;
    size_t bytes = 0;
  };

  void OnAccepted(bool ok) {
    // Where ok, the call is ended by the destruction of its context.
    if (!ok || stopped_) return Delete();
    accepted_ = true;
    service_->Post();
    Read();
  }

  void OnRead(bool ok) {
    reading_ = false;
    if (!ok || stopped_) {
      read_ended_ = true;
      return FinishWhenIdle();
    }
    if (!greeted_) {
      if (std::string wrong = Refusal(); !wrong.empty()) {
        if (*service_->events_) (*service_->events_)("stream_refused", wrong);
        status_ = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, wrong);
        read_ended_ = true;
        return FinishWhenIdle();
      }
      Greet();
    }
    for (pb::Request& request : *in_->mutable_requests()) {
      Take(&request);
      if (stopped_) break;
    }
    ReadOn();
  }

  // Why this stream is not for us; empty where it is.
  std::string Refusal() const {
    if (!in_->has_hello()) return absl::StrCat(context_.peer(), " did not say hello");
    const pb::Hello& hello = in_->hello();
    const PeerIdentity& own = *service_->identity_;
    if (hello.protocol() != kPeerProtocol) {
      return absl::StrCat("this process speaks peer protocol ", kPeerProtocol, ", not ",
                          hello.protocol());
    }
    if (hello.cluster() != service_->options_->cluster) {
      return absl::StrCat("this process belongs to cluster \"", service_->options_->cluster,
                          "\", not \"", hello.cluster(), "\"");
    }
    if (hello.expected_node_id() != 0 && NodeId(hello.expected_node_id()) != own.id) {
      return absl::StrCat("this is node ", ToHex(own.id), ", not ",
                          ToHex(NodeId(hello.expected_node_id())));
    }
    return "";
  }

  void Greet() {
    greeted_ = true;
    from_ = NodeId(in_->hello().node_id());
    pb::Hello* hello = out_.Renew()->mutable_hello();
    hello->set_cluster(service_->options_->cluster);
    hello->set_node_id(service_->identity_->id.value());
    hello->set_incarnation(service_->identity_->incarnation.value());
    hello->set_protocol(kPeerProtocol);
    Write();
  }

  void Take(pb::Request* request) {
    const uint64_t id = request->id();
    const PeerContext context{
        .from = from_,
        .version = LayoutVersion(request->layout_version()),
        .deadline = loop_->Now() +
                    std::chrono::microseconds(std::min(request->timeout_us(), kTimeoutMaxUs))};
    absl::StatusOr<PeerRequest> decoded = DecodeRequest(request);
    const size_t bytes = decoded.ok() ? ApproximateSize(*decoded) : 0;
    ++open_;
    open_bytes_ += bytes;
    if (!decoded.ok()) {
      Answer(id, bytes, decoded.status());
      return;
    }
    (*service_->handler_)(context, *std::move(decoded),
                          [weak = weak_from_this(), id, bytes](PeerResult result) {
                            if (auto self = weak.lock()) self->Answer(id, bytes, std::move(result));
                          });
  }

  void Answer(uint64_t id, size_t request_bytes, PeerResult result) {
    open_bytes_ -= request_bytes;
    if (read_ended_) {
      --open_;
      return;
    }
    size_t bytes = result.ok() ? ApproximateSize(*result) : kErrorBytes;
    if (bytes + kFrameOverheadBytes > service_->options_->message_bytes_max) {
      // The other side would drop the stream, and every other answer with it.
      result = absl::ResourceExhaustedError(
          absl::StrCat("an answer of ", bytes, " bytes is too large for a peer message"));
      bytes = kErrorBytes;
    }
    open_bytes_ += bytes;
    answers_.push_back({id, std::move(result), bytes});
    ScheduleFlush();
  }

  void ScheduleFlush() {
    if (flush_scheduled_ || writing_ || answers_.empty() || read_ended_) return;
    flush_scheduled_ = true;
    loop_->AtTurnEnd([self = shared_from_this()] { self->Flush(); });
  }

  void Flush() {
    flush_scheduled_ = false;
    if (writing_ || read_ended_) return;
    out_.Renew();
    size_t bytes = 0;
    while (!answers_.empty()) {
      Answered& answered = answers_.front();
      if (bytes > 0 && bytes + answered.bytes > service_->options_->frame_bytes_max) break;
      bytes += answered.bytes;
      open_bytes_ -= answered.bytes;
      --open_;
      pb::Reply* wire = out_->add_replies();
      EncodeReply(std::move(answered.result), wire);
      wire->set_id(answered.id);
      answers_.pop_front();
    }
    if (out_->replies_size() > 0) Write();
    ReadOn();
  }

  void Write() {
    writing_ = true;
    rw_.Write(*out_, on_written_.tag());
  }

  void OnWritten(bool ok) {
    writing_ = false;
    if (!ok) stopped_ = true;  // The stream is broken; a read under way says so too.
    if (read_ended_ || (stopped_ && !reading_)) {
      read_ended_ = true;
      return FinishWhenIdle();
    }
    ScheduleFlush();
  }

  void Read() {
    reading_ = true;
    rw_.Read(in_.Renew(), on_read_.tag());
  }

  // Reads on unless the peer has too much under way here.
  void ReadOn() {
    if (reading_ || read_ended_) return;
    if (open_ >= service_->options_->requests_max ||
        open_bytes_ >= service_->options_->request_bytes_max) {
      return;
    }
    Read();
  }

  void FinishWhenIdle() {
    if (writing_ || finishing_) return;
    finishing_ = true;
    open_ -= answers_.size();
    answers_.clear();
    rw_.Finish(status_, on_finished_.tag());
  }

  void OnFinished(bool) { Delete(); }

  void Delete() {
    service_->streams_.erase(this);
    const std::shared_ptr<Stream> self = std::move(self_);
  }

  PeerService* service_;
  CqLoop* loop_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<pb::Frame, pb::Frame> rw_{&context_};
  ArenaMessage<pb::Frame> in_;
  ArenaMessage<pb::Frame> out_;
  NodeId from_;
  grpc::Status status_;
  std::deque<Answered> answers_;
  size_t open_ = 0;        // Requests taken whose answer has not been handed to gRPC.
  size_t open_bytes_ = 0;  // Of those requests, or of their answers once there are any.
  bool accepted_ = false;
  bool greeted_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool read_ended_ = false;
  bool stopped_ = false;
  bool finishing_ = false;
  bool flush_scheduled_ = false;

  std::shared_ptr<Stream> self_;  // Until gRPC has let go of it.
  MemberTag<Stream, &Stream::OnAccepted> on_accepted_{this};
  MemberTag<Stream, &Stream::OnRead> on_read_{this};
  MemberTag<Stream, &Stream::OnWritten> on_written_{this};
  MemberTag<Stream, &Stream::OnFinished> on_finished_{this};
};

PeerService::PeerService(CqLoop* loop, const TransportOptions* options,
                         const PeerIdentity* identity, TransportEvents* events)
    : loop_(loop), options_(options), identity_(identity), events_(events) {}

PeerService::~PeerService() { ANNULUS_CHECK(streams_.empty()); }

void PeerService::Accept(Transport::Handler* handler) {
  handler_ = handler;
  for (int i = 0; i < kPostedStreams; ++i) Post();
}

void PeerService::Stop() {
  for (Stream* stream : streams_) stream->Cancel();
}

void PeerService::Post() {
  auto stream = std::make_shared<Stream>(this);
  streams_.insert(stream.get());
  stream->Post();
}

}  // namespace annulus
