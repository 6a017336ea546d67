#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "node/context.h"
#include "node/namesake.h"
#include "task/mailbox.h"

namespace annulus {

// Who am I, and is this my disk (docs/adr/0013)? A node that starts asks the others what they
// remember of it, before it serves:
//
//   start ── Recall to all others ── probe where the node was last heard ── compare ── serve ──
//   watch
//                 ▲                              │ somebody answers                              │
//                 └────────── until it is gone ──┘                     later answers, and gossip ┘
//
// - A sequence number above its own says that the disk is empty, or a copy of an older state: all
// its
//   partitions are to be rebuilt (NodeContext::rebuild_all, durable before this returns).
// - Another process that answers with this node's id says that the data directory was copied, or
// the
//   node taken over: one of the two serves nobody.
class SelfCheck {
 public:
  explicit SelfCheck(NodeContext* node);

  // Returns once this node may serve. Why it may not yet stands in not_ready_reason, or refused.
  // REQUIRES: the node stores, has node->joining, and lines to its members.
  Task<void> BeforeServing();
  // Goes on looking while the node serves, and tells the others how far its disk is.
  Task<void> Watch();

 private:
  enum class Asked : uint8_t { kNot, kWaiting, kAnswered };
  struct Answer {
    NodeId from;
    PeerResult result;
  };

  void AskAgain();
  // Notes what was answered. False where it was no answer.
  bool Take(Answer answer);
  Task<void> AskAround();
  // What is known of where another process with this id could be.
  std::set<std::string> Places() const;
  Task<void> WaitUntilGone(Namesake other);
  // Where more was remembered than this disk has.
  Task<void> Compare();
  Task<void> LookAt(std::map<Incarnation, std::string> named);
  void StopServing(const Namesake& other);
  static std::string Explain(const Namesake& other);

  NodeContext* node_;
  Mailbox<Answer> answers_;
  std::map<NodeId, Asked> asked_;
  bool known_ = false;  // To somebody who answered.
  // The most that anybody remembers, and who.
  uint64_t remembered_ = 0;
  NodeId rememberer_;
  std::map<Incarnation, std::string> named_;  // Others with this id, as the answers had it.
};

// What this node remembers of a member.
RecallReply Recall(const NodeContext& node, const RecallRequest& request);

}  // namespace annulus
