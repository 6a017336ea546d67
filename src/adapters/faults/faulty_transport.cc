#include "adapters/faults/faulty_transport.h"

#include <map>
#include <utility>

#include "core/error.h"

namespace annulus {
namespace {

constexpr size_t kErrorBytes = 256;

// Whether the link itself says so, and no peer.
bool IsOfTheLink(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return true;
  const std::string reason = DetailsOf(status).reason;
  return reason == kReasonNotSent || reason == kReasonLinkLost;
}

absl::Status NoAnswer() {
  return WithDetails(absl::DeadlineExceededError("no answer from the peer"),
                     {.reason = "NO_ANSWER"});
}

}  // namespace

class FaultyTransport::FaultyLink final : public Link {
 public:
  FaultyLink(FaultyTransport* transport, std::unique_ptr<Link> inner, NodeId peer)
      : transport_(transport), peer_(peer), line_(transport->loop_), inner_(std::move(inner)) {}
  ~FaultyLink() override {
    for (auto& [id, exchange] : exchanges_) CancelTimer(&exchange);
  }

  void Call(PeerRequest request, Instant deadline, LayoutVersion version, PeerDone done) override {
    const uint64_t id = next_id_++;
    Exchange& exchange = exchanges_[id];
    exchange.done = std::move(done);
    if (deadline != kForever) {
      exchange.timer = transport_->loop_->PostAt(deadline, [this, id] {
        exchanges_.at(id).timer = 0;
        End(id, NoAnswer());
      });
    }
    const std::optional<Duration> held =
        transport_->plane_->Carry(peer_, FaultDirection::kOut, transport_->sizes_.request(request));
    if (!held.has_value()) return;  // Its deadline ends it.
    line_.After(*held, [this, id, request = std::move(request), deadline, version]() mutable {
      inner_->Call(std::move(request), deadline, version,
                   [this, id](PeerResult result) { Arrived(id, std::move(result)); });
    });
  }

  void Redial(std::string address) override { inner_->Redial(std::move(address)); }
  bool Connected() const override { return inner_->Connected(); }

 private:
  struct Exchange {
    PeerDone done;
    Loop::TimerId timer = 0;
  };

  void Arrived(uint64_t id, PeerResult result) {
    if (!result.ok() && IsOfTheLink(result.status())) return End(id, std::move(result));
    const std::optional<Duration> held =
        transport_->plane_->Carry(peer_, FaultDirection::kIn, transport_->SizeOf(result));
    if (!held.has_value()) return;
    line_.After(*held,
                [this, id, result = std::move(result)]() mutable { End(id, std::move(result)); });
  }

  void End(uint64_t id, PeerResult result) {
    const auto found = exchanges_.find(id);
    if (found == exchanges_.end()) return;  // Its deadline has passed.
    Exchange exchange = std::move(found->second);
    exchanges_.erase(found);
    CancelTimer(&exchange);
    exchange.done(std::move(result));  // May close this link.
  }

  void CancelTimer(Exchange* exchange) {
    if (exchange->timer != 0) transport_->loop_->Cancel(exchange->timer);
  }

  FaultyTransport* transport_;
  const NodeId peer_;
  std::map<uint64_t, Exchange> exchanges_;
  uint64_t next_id_ = 1;
  DelayLine line_;
  std::unique_ptr<Link> inner_;
};

FaultyTransport::FaultyTransport(Transport* inner, Loop* loop, FaultPlane* plane,
                                 MessageSizes sizes)
    : inner_(inner),
      loop_(loop),
      plane_(plane),
      sizes_(sizes),
      line_(std::make_unique<DelayLine>(loop)) {}

std::unique_ptr<Link> FaultyTransport::Open(std::string address, NodeId expected) {
  return std::make_unique<FaultyLink>(this, inner_->Open(std::move(address), expected), expected);
}

void FaultyTransport::Serve(Handler handler) {
  handler_ = std::move(handler);
  inner_->Serve([this](PeerContext context, PeerRequest request, PeerDone done) {
    Take(context, std::move(request), std::move(done));
  });
}

size_t FaultyTransport::SizeOf(const PeerResult& result) const {
  return result.ok() ? sizes_.reply(*result) : kErrorBytes;
}

void FaultyTransport::Take(PeerContext context, PeerRequest request, PeerDone done) {
  if (line_ == nullptr) return;
  const std::optional<Duration> held =
      plane_->Carry(context.from, FaultDirection::kIn, sizes_.request(request));
  if (!held.has_value()) return LoseUntil(context.deadline, std::move(done));
  line_->After(*held,
               [this, context, request = std::move(request), done = std::move(done)]() mutable {
                 handler_(context, std::move(request),
                          [this, context, done = std::move(done)](PeerResult result) mutable {
                            Answer(context, std::move(result), std::move(done));
                          });
               });
}

void FaultyTransport::Answer(const PeerContext& context, PeerResult result, PeerDone done) {
  if (line_ == nullptr) return;
  const std::optional<Duration> held =
      plane_->Carry(context.from, FaultDirection::kOut, SizeOf(result));
  if (!held.has_value()) return LoseUntil(context.deadline, std::move(done));
  line_->After(*held, [result = std::move(result), done = std::move(done)]() mutable {
    done(std::move(result));
  });
}

// The stream underneath counts each request until it is answered. An answer after the peer's
// deadline reaches nobody.
void FaultyTransport::LoseUntil(Instant deadline, PeerDone done) {
  line_->At(deadline, [done = std::move(done)]() mutable { done(NoAnswer()); });
}

}  // namespace annulus
