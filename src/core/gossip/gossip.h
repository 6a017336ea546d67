#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/random.h"
#include "base/time.h"
#include "core/gossip/update.h"

namespace annulus {

// One process's part in finding out which members answer: SWIM (Das, Gupta and Motivala, 2002) with
// Lifeguard's lessons (Dadgar, Phillips and Currey, 2018). Per period one member is probed:
//
//   |-- probe -------------- no word ---|-- relays are asked -------- no word ---| suspect
//   period starts               probe_timeout                          the period ends
//
//   suspect ── the timer runs out, sooner the more members came to it independently ──▶ dead
//      ▲                                                                                  │
//      └── said to the member with the next probe; it refutes: alive, one number higher ◀─┘
//
// - What is said travels on probes and their answers, a bounded number of bytes each.
// - A process that misses answers grows slow to accuse (its health), one that was paused forgets
//   what it was waiting for, and one that hears nobody at all declares nobody dead.
// - Members are those of the layout, so the dead are probed too: that is how they come back.
// - A coordinator takes part as an observer: it probes and listens, but nobody probes it, and all
//   that it says is what it holds against the one it speaks to.
class Gossip {
 public:
  struct Options {
    Duration period = 200ms;
    Duration probe_timeout = 80ms;
    size_t relays = 3;
    // Period and timeout are stretched by 1 + health, up to this.
    int health_max = 8;
    // A suspicion lasts so many periods (times log10 of the members), ...
    int suspicion_periods = 5;
    // ... and at first so many times that; each of so many confirmations brings it nearer.
    int suspicion_stretch = 6;
    int confirmations = 3;
    // Of one message; what does not fit goes with later ones.
    size_t message_bytes_max = 1200;
  };

  // What is to be sent, each with MessageTo(receiver).
  struct Effects {
    std::optional<NodeId> probe;
    struct AskRelay {
      NodeId relay;
      NodeId target;
      Duration timeout{0};  // For the relay's own probe.
    };
    std::vector<AskRelay> ask;
  };

  // `own` describes this process; an observer's is never sent.
  Gossip(NodeId self, bool observer, MemberFacts own, Options options);

  // Who takes part besides this process. What is known of those that stay, stays.
  void SetMembers(const std::vector<NodeId>& members);
  // Told to the others as news where it differs; a sequence that rose goes along with what is said
  // anyway.
  void SetOwn(MemberFacts own);

  // To be called at NextTick, or any time.
  Effects Tick(Instant now, Random* random);
  Instant NextTick() const;

  // Any word of a member, as of then: an answer to a probe is one.
  void Heard(NodeId member, Instant at);
  // How a relay that was asked answered: whether it reached the target.
  void RelayAnswered(NodeId relay, NodeId target, bool reached);
  // Probe this one next: there is reason to believe that it changed.
  void ProbeSoon(NodeId member);

  Bytes MessageTo(NodeId receiver);
  // DATA_LOSS where the message is malformed from some point on; what came before it counts.
  // REQUIRES: `sender` has been made sure of (the transport's hello).
  absl::Status Receive(NodeId sender, BytesView message, Instant now);

  // Null for no member, and for oneself.
  const GossipUpdate* Find(NodeId member) const;
  const GossipUpdate& own() const { return own_; }
  // The highest sequence number that any life of the member was ever said to have had.
  uint64_t SequenceOf(NodeId member) const;
  // Who was said to be this member, by incarnation, that is not this process: an earlier life, or
  // another process with its id. Those that came up since the last call, and where they are.
  std::map<Incarnation, std::string> TakeNamesakes() { return std::exchange(namesakes_, {}); }
  // The members of which anything has changed since the last call. Ascending.
  std::vector<NodeId> TakeChanged();
  // 0 (well) to health_max.
  int health() const { return health_; }

 private:
  struct Member {
    GossipUpdate held;
    int sent = 0;  // Since it last changed.
    uint64_t sequence_max = 0;
    bool claim_stale = false;  // It said something of itself that what is held here overrides.
    Instant heard = Instant::min();
    Instant suspected;  // Where it is suspected.
    Instant dead_at;
  };
  struct Probe {
    NodeId target;
    Instant started;
    Instant relays_at;
    bool relays_asked = false;
    bool reached = false;
    size_t relays = 0;
    std::set<NodeId> relays_silent;
  };

  void StartProbe(Instant now, Random* random);
  std::optional<NodeId> NextTarget(Random* random);
  std::vector<Effects::AskRelay> AskRelays(Random* random);
  void Judge(Instant now);
  void EndSuspicions(Instant now);
  void RecoverFromPause(Instant now);

  // What is said of the member changes to this, if that is stronger.
  void Take(Member* member, const GossipUpdate& heard, Instant now);
  void TakeAboutSelf(const GossipUpdate& heard);
  Instant DeadAt(const Member& member) const;
  bool HeardAnyoneSince(Instant since) const;
  int SendsMax() const;
  void Worse() { health_ = std::min(health_ + 1, options_.health_max); }
  void Better() { health_ = std::max(health_ - 1, 0); }

  Options options_;
  bool observer_;
  GossipUpdate own_;
  std::map<NodeId, Member> members_;
  std::vector<NodeId> round_;  // Members in the order in which they are probed; from the back.
  std::deque<NodeId> soon_;
  bool last_was_soon_ = false;
  std::optional<Probe> probe_;
  Instant next_period_ = Instant::min();
  int health_ = 0;
  NodeId rotation_;  // The last member that was told of without news.
  std::set<NodeId> changed_;
  std::map<Incarnation, std::string> namesakes_;
};

}  // namespace annulus
