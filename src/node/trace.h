#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "env/peer_messages.h"
#include "node/context.h"

namespace annulus {

// What one request did, for `explain`: kept only where it was asked for, and out of the flows' way.
// Callbacks hold it weakly, since late answers come after the request has ended.
class Trace {
 public:
  struct Log {
    Instant started;
    std::vector<ForwardReply::Hop> hops;
  };

  Trace(bool wanted, Instant started) {
    if (wanted) log_ = std::make_shared<Log>(Log{started, {}});
  }

  std::weak_ptr<Log> weak() const { return log_; }

  // Returns the hop's number, for Answered. Nothing happens once the request has ended.
  static size_t Asked(const std::weak_ptr<Log>& log, NodeId node, Hop::Kind kind, Instant now);
  static void Answered(const std::weak_ptr<Log>& log, size_t hop, const absl::Status& status,
                       Instant now);

  // To be sent to the coordinator that forwarded the request.
  std::vector<ForwardReply::Hop> Export() const;
  // With the hops of the owner that ran it, if another did. Those are on that owner's clock: since
  // it was asked.
  Explanation Explain(const NodeContext& node, PartitionId partition,
                      const std::vector<ForwardReply::Hop>& owner_hops) const;

 private:
  std::shared_ptr<Log> log_;
};

}  // namespace annulus
