#pragma once

#include <memory>
#include <string>

#include "adapters/faults/delay_line.h"
#include "adapters/faults/fault_plane.h"
#include "env/transport.h"

namespace annulus {

// What a message weighs, for a limit of bytes per second; the codec of the transport knows.
struct MessageSizes {
  size_t (*request)(const PeerRequest&);
  size_t (*reply)(const PeerReply&);
};

// A Transport whose messages the plane holds or loses: requests and replies that leave by kOut, and
// those that arrive by kIn. Errors that a link makes itself (not sent, link lost, deadline) are no
// messages and pass. A caller hears of a lost message at its deadline, as it would from a network.
class FaultyTransport final : public Transport {
 public:
  // All outlive it; it outlives its links.
  FaultyTransport(Transport* inner, Loop* loop, FaultPlane* plane, MessageSizes sizes);

  std::unique_ptr<Link> Open(std::string address, NodeId expected) override;
  void Serve(Handler handler) override;
  void SetIdentity(NodeId id, Incarnation incarnation) override {
    inner_->SetIdentity(id, incarnation);
  }

  // Drops the requests that it holds, and calls the handler no more.
  void StopServing() { line_.reset(); }

 private:
  class FaultyLink;

  size_t SizeOf(const PeerResult& result) const;
  void Take(PeerContext context, PeerRequest request, PeerDone done);
  void Answer(const PeerContext& context, PeerResult result, PeerDone done);
  void LoseUntil(Instant deadline, PeerDone done);

  Transport* inner_;
  Loop* loop_;
  FaultPlane* plane_;
  const MessageSizes sizes_;
  Handler handler_;
  std::unique_ptr<DelayLine> line_;  // Null once serving has stopped.
};

}  // namespace annulus
