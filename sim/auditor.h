#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/layout/layout.h"
#include "sim/cluster.h"

namespace annulus::sim {

// Looks at disks and at the wire, where clients cannot look, and says at once what would show only
// when some client met it, in the rare run in which more goes wrong. It checks the safety side of
// promises 1 and 2:
//
// - An acknowledged write lies durably at as many nodes as it wanted, or did before they handed it
//   off.
// - A hint goes only where its target has what it held, or has deleted it for good.
// - What was marked as about to be deleted, and nothing else, is deleted for good; and what was
//   ever sent under a stamp that its owners still accept shows no value that the deleted record had
//   replaced. (That is what docs/models/reaping.pml has as its network, in which every message
//   lingers for ever.)
// - A marked record is named in no exchange.
// - A strict read is answered by as many owners as it asks for, none of which is rebuilding.
// - A read shows nothing that was read under stamps which an owner, before it answered, said to
//   accept no more.
// - No owner takes anything before another one has told it the epochs of the partition.
//
// What was lost with a disk is nobody's fault: nodes that lost anything are excused where they
// would have to hold it.
class Auditor : public DiskWatcher, public NetWatcher, public ClientWatcher {
 public:
  explicit Auditor(Cluster* cluster);
  ~Auditor() override;

  void OnApply(uint16_t process, const StorageBatch& batch) override;
  void OnLoss(uint16_t process) override;

  void OnCall(uint16_t from, uint64_t call, const PeerRequest& request) override;
  void OnAnswer(uint16_t from, uint16_t to, uint64_t call, const PeerResult& answer) override;
  void OnAnswerArrived(uint16_t from, uint16_t to, uint64_t call,
                       const PeerResult& answer) override;

  void OnGet(uint16_t process, const GetRequest& request) override;
  void OnGot(uint16_t process, const Item& item, const absl::StatusOr<GetAnswer>& answer) override;
  void OnWritten(const Item& item, const absl::StatusOr<WriteAnswer>& answer,
                 Instant asked) override;

  // One line each, at most a few.
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  // A record that was deleted for good, at one owner.
  struct Reaped {
    Record record;
    Epoch closed;  // The lowest stamp that its owner accepted then.
  };
  // All that was ever sent of an item: the values that stood in it, by stamp.
  using Sent = std::map<std::pair<Epoch, uint64_t>, Record>;  // And hash.
  struct HandedOff {
    int by = 0;
    VersionVector dots;
    Instant at;
  };
  struct OfItem {
    std::vector<Reaped> reaped;
    std::vector<HandedOff> handed_off;  // Hints.
    VersionVector gone;                 // What these have covered.
    Instant last_reaped = Instant::min();
    Sent sent;
  };

  // A question that a process has asked another: of which item, or partitions.
  struct Asked {
    Bytes data_key;
    std::vector<PartitionId> partitions;
    Instant at;
  };
  // The reads of one item that a process runs at present.
  struct Reading {
    int running = 0;
    bool alone = false;  // There was never another beside this one.
    bool strict = false;
    uint32_t wants = 0;        // Owners' answers.
    std::set<uint16_t> whole;  // Who gave one, and was not rebuilding.
    Instant since;
    Epoch closed{0};                    // The highest that it was told,
    std::map<RequestId, Epoch> stamps;  // and under which values were.
  };

  // False while nobody has a layout.
  bool KnowsLayout();
  Bytes KeyOf(const Item& item) const;
  const SimDisk& DiskOf(int node) const { return cluster_->Node(node).disk(); }
  std::optional<Record> HeldBy(int node, const Bytes& data_key) const;
  bool Holds(int node, const Bytes& data_key, const VersionVector& dots) const;
  PartitionEpochs EpochsAt(int node, BytesView data_key) const;
  void OnHintChange(uint16_t process, const Bytes& key, const std::optional<Bytes>& value);
  void CheckTold(uint16_t process, const Bytes& key);
  void OnRecordChange(uint16_t process, const Bytes& key, const std::optional<Bytes>& value);
  // A record goes over the wire, of a copy that was read under this stamp.
  void OnRecordSent(uint16_t from, const Bytes& data_key, BytesView record, Epoch stamp);
  void OnKeysTold(uint16_t from, const KeysReply& reply);
  // A process in one of its lives.
  using Life = std::pair<uint16_t, int>;
  Life LifeOf(uint16_t process) const { return {process, cluster_->Process(process).crashes()}; }
  // Whether the record, under that stamp, brings back what was deleted.
  static bool BringsBack(const Record& record, Epoch stamp, const Reaped& reaped);
  void Report(std::string line);

  Cluster* cluster_;
  std::optional<Layout> layout_;
  std::map<NodeId, int> numbers_;
  std::vector<NodeId> ids_;                     // By number.
  std::map<Bytes, OfItem, std::less<>> items_;  // By data key.
  std::map<std::pair<uint16_t, Bytes>, Instant> marked_since_;
  std::map<std::pair<uint16_t, Bytes>, Instant> hints_since_;
  // By process and partition: who has last told it the epochs in which of its lives.
  std::map<std::pair<uint16_t, PartitionId>, std::map<uint16_t, int>> told_in_;
  std::map<std::pair<Life, uint64_t>, Asked> asked_;    // By caller and call.
  std::map<std::pair<Life, Bytes>, Reading> readings_;  // By process and data key.
  std::vector<Instant> lost_at_;                        // By process: when it last lost anything.
  Instant last_loss_ = Instant::min();                  // Anywhere.
  std::vector<std::string> violations_;
};

}  // namespace annulus::sim
