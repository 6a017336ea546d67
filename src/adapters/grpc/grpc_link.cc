#include "adapters/grpc/grpc_link.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/arena_message.h"
#include "adapters/grpc/grpc_transport.h"
#include "adapters/grpc/peer_codec.h"
#include "annulus/peer/v1/peer.grpc.pb.h"
#include "base/check.h"
#include "core/error.h"

namespace annulus {
namespace {

namespace pb = peer::v1;

constexpr Duration kSameEventInterval = 60s;

// A reply has the index of its request.
static_assert(std::variant_size_v<PeerRequest> == std::variant_size_v<PeerReply>);

// When to try again after too much was under way.
constexpr Duration kRetryAfter = 100ms;

int Millis(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           const TransportOptions& options) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Also bounds one attempt to connect, whose default is 20 s.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, Millis(options.hello_timeout));
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, Millis(options.dial_interval));
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Millis(options.dial_interval));
  // gRPC sets TCP_USER_TIMEOUT from the keepalive timeout.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  args.SetMaxSendMessageSize(static_cast<int>(options.message_bytes_max));
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

absl::Status NotSent(absl::StatusCode code, const std::string& message) {
  return WithDetails(absl::Status(code, message), {.reason = kReasonNotSent});
}

}  // namespace

// One dial, and the stream that it became. It lives until gRPC has returned its last tag, which may
// be after the link has given it up.
class GrpcLink::Stream {
 public:
  Stream(GrpcLink* link, const TransportOptions& options)
      : link_(link),
        transport_(link->transport_),
        channel_(MakeChannel(link->address_, options)),
        stub_(pb::Peer::NewStub(channel_)),
        rw_(stub_->PrepareAsyncExchange(&context_, link->loop_->queue())) {
    ++transport_->client_streams_;
    ++tags_;
    rw_->StartCall(on_started_.tag());
  }
  ~Stream() { --transport_->client_streams_; }

  // Empty. REQUIRES: !writing().
  pb::Frame* NewFrame() { return out_.Renew(); }
  bool writing() const { return writing_; }

  // REQUIRES: !writing(). Sends the new frame.
  void Write() {
    writing_ = true;
    ++tags_;
    rw_->Write(*out_, on_written_.tag());
  }

  // The link wants to hear no more of it.
  void GiveUp() {
    link_ = nullptr;
    context_.TryCancel();
  }

 private:
  void OnStarted(bool ok) {
    --tags_;
    if (!ok || link_ == nullptr) return Finish();
    const TransportOptions& options = link_->transport_->options_;
    const PeerIdentity& identity = link_->transport_->identity_;
    pb::Hello* hello = NewFrame()->mutable_hello();
    hello->set_cluster(options.cluster);
    hello->set_node_id(identity.id.value());
    hello->set_incarnation(identity.incarnation.value());
    hello->set_expected_node_id(link_->expected_.value());
    hello->set_protocol(kPeerProtocol);
    Write();
    Read();
  }

  void OnWritten(bool ok) {
    --tags_;
    writing_ = false;
    // Where !ok the stream is broken, and the read says so.
    if (ok && link_ != nullptr) link_->ScheduleFlush();
    DeleteIfDone();
  }

  void OnRead(bool ok) {
    --tags_;
    if (!ok || link_ == nullptr) return Finish();
    if (in_->has_hello()) link_->OnHello(in_->hello());
    for (pb::Reply& reply : *in_->mutable_replies()) {
      if (link_ == nullptr) break;
      link_->OnReply(&reply);
    }
    if (link_ == nullptr) return Finish();
    Read();
  }

  void OnFinished(bool) {
    --tags_;
    finished_ = true;
    if (GrpcLink* link = std::exchange(link_, nullptr); link != nullptr) {
      link->OnStreamEnd(static_cast<absl::StatusCode>(status_.error_code()),
                        status_.error_message());
    }
    DeleteIfDone();
  }

  void Read() {
    ++tags_;
    rw_->Read(in_.Renew(), on_read_.tag());
  }

  void Finish() {
    ++tags_;
    rw_->Finish(&status_, on_finished_.tag());
  }

  void DeleteIfDone() {
    if (finished_ && tags_ == 0) delete this;
  }

  GrpcLink* link_;  // Null once it has given this up.
  GrpcTransport* transport_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::Peer::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::Frame, pb::Frame>> rw_;
  ArenaMessage<pb::Frame> out_;
  ArenaMessage<pb::Frame> in_;
  grpc::Status status_;
  int tags_ = 0;  // With gRPC.
  bool writing_ = false;
  bool finished_ = false;
  MemberTag<Stream, &Stream::OnStarted> on_started_{this};
  MemberTag<Stream, &Stream::OnWritten> on_written_{this};
  MemberTag<Stream, &Stream::OnRead> on_read_{this};
  MemberTag<Stream, &Stream::OnFinished> on_finished_{this};
};

GrpcLink::GrpcLink(GrpcTransport* transport, std::string address, NodeId expected)
    : transport_(transport),
      loop_(transport->loop_),
      address_(std::move(address)),
      expected_(expected),
      self_(std::make_shared<GrpcLink*>(this)) {
  transport_->links_.insert(this);
  if (transport_->identity_.known) Dial();
}

GrpcLink::~GrpcLink() {
  *self_ = nullptr;
  transport_->links_.erase(this);
  GiveUpStream();
  if (dial_timer_ != 0) loop_->Cancel(dial_timer_);
  for (auto& [id, call] : calls_) {
    if (call.timer != 0) loop_->Cancel(call.timer);
  }
}

void GrpcLink::Call(PeerRequest request, Instant deadline, LayoutVersion version, PeerDone done) {
  const size_t bytes = ApproximateSize(request);
  if (absl::Status admitted = Admit(bytes, deadline, loop_->Now()); !admitted.ok()) {
    FailLater(std::move(done), std::move(admitted));
    return;
  }
  const size_t kind = request.index();
  const uint64_t id = next_id_++;
  queue_.push_back({id, version, std::move(request), bytes});

  Pending& pending = calls_[id];
  pending.done = std::move(done);
  pending.deadline = deadline;
  pending.bytes = bytes;
  pending.kind = kind;
  if (deadline != kForever) {
    pending.timer = loop_->PostAt(deadline, [this, id] { OnDeadline(id); });
  }
  call_bytes_ += bytes;
  ScheduleFlush();
}

absl::Status GrpcLink::Admit(size_t bytes, Instant deadline, Instant now) const {
  if (deadline <= now) {
    return WithDetails(absl::DeadlineExceededError("the deadline passed before the call was sent"),
                       {.reason = kReasonNotSent});
  }
  if (state_ == State::kWaiting) return Unsent();
  if (state_ == State::kDialing && !first_dial_ &&
      now - dial_started_ > transport_->options_.redial_patience) {
    return Unsent();
  }
  const TransportOptions& options = transport_->options_;
  if (bytes + 1024 > options.message_bytes_max) {
    return NotSent(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("a peer message of ", bytes, " bytes is over the limit of ",
                                options.message_bytes_max));
  }
  if (calls_.size() >= options.calls_max ||
      (!calls_.empty() && call_bytes_ + bytes > options.call_bytes_max)) {
    return WithDetails(absl::ResourceExhaustedError(
                           absl::StrCat("too much is under way to ", address_, ": ", calls_.size(),
                                        " calls, ", call_bytes_, " bytes")),
                       {.reason = kReasonNotSent, .retry_after = kRetryAfter});
  }
  return absl::OkStatus();
}

void GrpcLink::FailLater(PeerDone done, absl::Status status) {
  loop_->Post([self = self_, done = std::move(done), status = std::move(status)]() mutable {
    if (*self != nullptr) done(std::move(status));
  });
}

GrpcLink::Pending GrpcLink::Take(absl::flat_hash_map<uint64_t, Pending>::iterator it) {
  Pending call = std::move(it->second);
  calls_.erase(it);
  call_bytes_ -= call.bytes;
  if (call.timer != 0) loop_->Cancel(call.timer);
  return call;
}

void GrpcLink::OnDeadline(uint64_t id) {
  const auto it = calls_.find(id);
  ANNULUS_CHECK(it != calls_.end());
  it->second.timer = 0;
  Pending call = Take(it);  // Where it is still queued, Flush drops it.
  call.done(WithDetails(absl::DeadlineExceededError(absl::StrCat("no answer from ", address_)),
                        {.reason = call.sent ? "NO_ANSWER" : kReasonNotSent}));
}

void GrpcLink::ScheduleFlush() {
  if (flush_scheduled_ || state_ != State::kUp || stream_->writing() || queue_.empty()) return;
  flush_scheduled_ = true;
  loop_->AtTurnEnd([self = self_] {
    if (*self != nullptr) (*self)->Flush();
  });
}

void GrpcLink::Flush() {
  flush_scheduled_ = false;
  if (state_ != State::kUp || stream_->writing()) return;
  const Instant now = loop_->Now();
  pb::Frame* frame = stream_->NewFrame();
  size_t bytes = 0;
  while (!queue_.empty()) {
    Queued& queued = queue_.front();
    const auto it = calls_.find(queued.id);
    if (it != calls_.end()) {
      if (bytes > 0 && bytes + queued.bytes > transport_->options_.frame_bytes_max) break;
      Pending& call = it->second;
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(call.deadline - now);
      pb::Request* wire = frame->add_requests();
      EncodeRequest(std::move(queued.request), wire);
      wire->set_id(queued.id);
      wire->set_layout_version(queued.version.value());
      wire->set_timeout_us(std::max<int64_t>(left.count(), 1));
      call.sent = true;
      bytes += queued.bytes;
    }
    queue_.pop_front();
  }
  if (frame->requests_size() > 0) stream_->Write();
}

void GrpcLink::Redial(std::string address) {
  address_ = std::move(address);
  if (state_ == State::kNoIdentity) return;
  GiveUpStream();
  dial_started_ = Instant::min();  // So that the next dial has nothing to wait for.
  Lost(absl::StatusCode::kUnavailable, "dialled anew");
}

void GrpcLink::Dial() {
  state_ = State::kDialing;
  dial_started_ = loop_->Now();
  dial_timer_ = loop_->PostAt(dial_started_ + transport_->options_.hello_timeout, [this] {
    dial_timer_ = 0;
    GiveUpStream();
    Lost(absl::StatusCode::kUnavailable, "no connection in time");
  });
  stream_ = new Stream(this, transport_->options_);
}

void GrpcLink::OnHello(const pb::Hello& hello) {
  if (state_ != State::kDialing) return;
  loop_->Cancel(std::exchange(dial_timer_, 0));
  std::string wrong;
  if (hello.protocol() != kPeerProtocol) {
    wrong = absl::StrCat("it speaks peer protocol ", hello.protocol(), ", this process ",
                         kPeerProtocol);
  } else if (hello.cluster() != transport_->options_.cluster) {
    wrong = absl::StrCat("it belongs to cluster \"", hello.cluster(), "\"");
  } else if (expected_ != NodeId() && NodeId(hello.node_id()) != expected_) {
    wrong = absl::StrCat("node ", ToHex(NodeId(hello.node_id())), " answers there, not ",
                         ToHex(expected_));
  }
  if (!wrong.empty()) {
    GiveUpStream();
    Lost(absl::StatusCode::kFailedPrecondition, std::move(wrong));
    return;
  }
  state_ = State::kUp;
  first_dial_ = false;
  last_error_.clear();
  last_event_.clear();
  if (transport_->events_) {
    transport_->events_("link_up",
                        absl::StrCat(address_, " node=", ToHex(NodeId(hello.node_id()))));
  }
  ScheduleFlush();
}

void GrpcLink::OnReply(pb::Reply* reply) {
  const auto it = calls_.find(reply->id());
  if (it == calls_.end()) return;  // Its deadline has passed.
  PeerResult result = DecodeReply(reply);
  if (result.ok() && result->index() != it->second.kind) {
    // Nothing that comes on this stream can be trusted to be an answer to what was asked.
    GiveUpStream();
    Lost(absl::StatusCode::kUnavailable, "the peer sent a reply of another kind than the request");
    return;
  }
  Pending call = Take(it);
  call.done(std::move(result));  // May close this link.
}

void GrpcLink::OnStreamEnd(absl::StatusCode code, std::string message) {
  stream_ = nullptr;
  if (message.empty()) message = "the peer ended the stream";
  Lost(code, std::move(message));
}

void GrpcLink::GiveUpStream() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->GiveUp();
}

void GrpcLink::Lost(absl::StatusCode code, std::string why) {
  const TransportOptions& options = transport_->options_;
  const bool was_up = state_ == State::kUp;
  const bool refused = code == absl::StatusCode::kFailedPrecondition;
  if (dial_timer_ != 0) loop_->Cancel(std::exchange(dial_timer_, 0));
  ReportDown(refused ? "link_refused" : was_up ? "link_lost" : "link_down", why);
  last_error_ = std::move(why);
  first_dial_ = false;
  queue_.clear();
  auto calls = std::exchange(calls_, {});
  call_bytes_ = 0;

  const Instant now = loop_->Now();
  const Instant next = dial_started_ + (refused ? options.refused_interval : options.dial_interval);
  if (next <= now) {
    Dial();
  } else {
    state_ = State::kWaiting;
    dial_timer_ = loop_->PostAt(next, [this] {
      dial_timer_ = 0;
      Dial();
    });
  }

  for (auto& [id, call] : calls) {
    if (call.timer != 0) loop_->Cancel(call.timer);
  }
  const absl::Status unsent = Unsent();
  const absl::Status lost =
      WithDetails(absl::UnavailableError(absl::StrCat("the link to ", address_,
                                                      " broke before an answer: ", last_error_)),
                  {.reason = kReasonLinkLost});
  // Any of these may close the link, and with it drop those that follow.
  const std::shared_ptr<GrpcLink*> self = self_;
  for (auto& [id, call] : calls) {
    if (*self == nullptr) return;
    call.done(call.sent ? lost : unsent);
  }
}

void GrpcLink::ReportDown(std::string_view event, const std::string& why) {
  // The same state is told again now and then only: a name that does not resolve fails in other
  // words each time.
  const Instant now = loop_->Now();
  if (event == last_event_ && now - last_event_at_ < kSameEventInterval) return;
  last_event_ = std::string(event);
  last_event_at_ = now;
  if (transport_->events_) transport_->events_(event, absl::StrCat(address_, " ", why));
}

absl::Status GrpcLink::Unsent() const {
  return NotSent(absl::StatusCode::kUnavailable,
                 absl::StrCat("no connection to ", address_, ": ",
                              last_error_.empty() ? "dialing" : last_error_));
}

}  // namespace annulus
