#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "adapters/grpc/transport_options.h"
#include "adapters/loop/cq_loop.h"
#include "annulus/peer/v1/peer.pb.h"
#include "env/transport.h"

namespace annulus {

class GrpcTransport;

// The client's side of one line to a peer.
//
//   (no identity) -> dialing -> up -> (lost) -> dialing ...
//                       |                          ^
//                       +-> waiting for its turn --+
//
// Each dial makes a channel of its own: it resolves the name anew, and no backoff of an earlier
// attempt, of the connection or of the resolver (whose own grows to two minutes), stands in its
// way. While the link is up, what is called in a turn leaves at the end of that turn; what is
// called while a frame is being written leaves in the next.
class GrpcLink final : public Link {
 public:
  GrpcLink(GrpcTransport* transport, std::string address, NodeId expected);
  ~GrpcLink() override;

  void Call(PeerRequest request, Instant deadline, LayoutVersion version, PeerDone done) override;
  void Redial(std::string address) override;
  bool Connected() const override { return state_ == State::kUp; }

  // Starts the first dial. REQUIRES: our own identity is known.
  void Dial();

 private:
  enum class State { kNoIdentity, kDialing, kUp, kWaiting };
  class Stream;

  struct Pending {
    PeerDone done;
    Instant deadline;
    Loop::TimerId timer = 0;
    size_t bytes = 0;
    size_t kind = 0;  // The index of the request, and of the reply that it awaits.
    bool sent = false;
  };
  struct Queued {
    uint64_t id = 0;
    LayoutVersion version;
    PeerRequest request;
    size_t bytes = 0;
  };

  absl::Status Admit(size_t bytes, Instant deadline, Instant now) const;
  void FailLater(PeerDone done, absl::Status status);
  Pending Take(absl::flat_hash_map<uint64_t, Pending>::iterator it);
  void OnDeadline(uint64_t id);
  void ScheduleFlush();
  void Flush();

  // From the stream.
  void OnHello(const peer::v1::Hello& hello);
  void OnReply(peer::v1::Reply* reply);
  void OnStreamEnd(absl::StatusCode code, std::string message);

  void GiveUpStream();
  void Lost(absl::StatusCode code, std::string why);
  void ReportDown(std::string_view event, const std::string& why);
  absl::Status Unsent() const;

  GrpcTransport* transport_;
  CqLoop* loop_;
  std::string address_;
  const NodeId expected_;

  State state_ = State::kNoIdentity;
  Stream* stream_ = nullptr;  // Deletes itself when gRPC has let go of it.
  Instant dial_started_;
  bool first_dial_ = true;
  Loop::TimerId dial_timer_ = 0;  // Of the hello while dialing, of the next dial while waiting.
  std::string last_error_;
  std::string last_event_;  // Of those that are repeated rarely.
  Instant last_event_at_;

  absl::flat_hash_map<uint64_t, Pending> calls_;
  size_t call_bytes_ = 0;
  std::deque<Queued> queue_;
  uint64_t next_id_ = 1;
  bool flush_scheduled_ = false;
  // Null once the link is gone: what was scheduled looks here first.
  std::shared_ptr<GrpcLink*> self_;
};

}  // namespace annulus
