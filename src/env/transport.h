#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "env/peer_messages.h"

namespace annulus {

using PeerResult = absl::StatusOr<PeerReply>;
using PeerDone = absl::AnyInvocable<void(PeerResult)>;

// A line to one peer. Messages that are called while one is being written leave together in the
// next. Destroying it drops what is under way: its `done`s are destroyed without having run.
class Link {
 public:
  virtual ~Link() = default;

  // Sends the request. `done` runs exactly once, on the loop, never before Call returns:
  // - with the peer's reply, or with the status that the peer answered with;
  // - DEADLINE_EXCEEDED: no answer until then. The request may still take effect.
  // - UNAVAILABLE with reason "NOT_SENT": it has not left this process and will not.
  // - UNAVAILABLE with reason "LINK_LOST": it may have arrived.
  // - RESOURCE_EXHAUSTED with reason "NOT_SENT": too much is under way to this peer.
  // The deadline travels with it: the peer drops work whose deadline has passed.
  virtual void Call(PeerRequest request, Instant deadline, LayoutVersion version,
                    PeerDone done) = 0;

  // Gives up what stands or is awaited, and dials that address at once: the peer moved, or came
  // back, or the connection is dead at one end. What is under way ends as NOT_SENT or LINK_LOST.
  virtual void Redial(std::string address) = 0;

  // Whether a connection stands at this moment.
  virtual bool Connected() const = 0;
};

// Where a request comes from and what it may assume.
struct PeerContext {
  NodeId from;            // 0: an unknown process, which may only introduce itself.
  LayoutVersion version;  // Of the layout by which the sender chose us; 0 without one.
  Instant deadline;
};

class Transport {
 public:
  // Answers a request by calling `done` exactly once, on the loop, at once or later.
  using Handler = absl::AnyInvocable<void(PeerContext, PeerRequest, PeerDone done)>;

  virtual ~Transport() = default;

  // A line to whoever answers at host:port, which is resolved anew at each connection. With an
  // `expected` id other than 0, a peer with another id is refused, so that a message never reaches
  // a node that took over an address. Dials at once and keeps trying, every second at the latest.
  virtual std::unique_ptr<Link> Open(std::string address, NodeId expected) = 0;

  // Starts to take requests. Once.
  virtual void Serve(Handler handler) = 0;

  // Who this process says it is, in connections that are made from now on. Before the first call it
  // dials nobody and takes no requests; 0 stands for nobody, and lines that expect somebody are
  // refused.
  virtual void SetIdentity(NodeId id, Incarnation incarnation) = 0;
};

// Reasons (core/error.h) that a Link gives.
inline constexpr char kReasonNotSent[] = "NOT_SENT";
inline constexpr char kReasonLinkLost[] = "LINK_LOST";

}  // namespace annulus
