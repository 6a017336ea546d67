#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "core/version/record.h"
#include "core/version/stored.h"

namespace annulus {

// One item on a few replicas, and everything that happens to it: clients that write with what they
// read at any earlier time or with nothing, whole records that travel late, twice or never, nodes
// that crash before their own fsync. Beside it, the plainest account of what must come out: which
// write covered which.
class History {
 public:
  static constexpr size_t kReplicas = 4;

  explicit History(uint64_t seed) : random_(seed) {
    for (size_t i = 0; i < kReplicas; ++i) incarnations_.push_back(NewIncarnation());
    contexts_.push_back({});
  }

  // One step, chosen by numbers that may be anything; small ones make simple steps.
  void Step(uint8_t kind, uint8_t a, uint8_t b) {
    const size_t replica = a % kReplicas;
    switch (kind % 8) {
      case 0:
      case 1:
      case 2:
        Mint(replica, MintOf(b), /*durable=*/true);
        break;
      case 3:
        Mint(replica, MintOf(b), /*durable=*/false);
        break;
      case 4:
        Read(replica, b);
        break;
      default:
        Merge(&replicas_[replica].record, sent_.empty() ? Record{} : sent_[b % sent_.size()]);
        break;
    }
  }

  // `context` as an index into all that clients were ever handed, the latest first.
  annulus::Mint MintOf(uint8_t b) {
    annulus::Mint mint;
    mint.blind_delete = b % 16 == 15;
    mint.tombstone = mint.blind_delete || b % 5 == 4;
    if (!mint.blind_delete) mint.context = contexts_[contexts_.size() - 1 - b % contexts_.size()];
    if (!mint.tombstone) mint.value = "value " + std::to_string(writes_.size());
    mint.request_id.fill(static_cast<char>(writes_.size() + 1));
    mint.request_id[1] = static_cast<char>(writes_.size() >> 8);
    return mint;
  }

  // Not durable: the record was sent, the node died before its own batch was, and came back.
  MintResult Mint(size_t replica, annulus::Mint mint, bool durable) {
    StoredRecord& stored = replicas_[replica];
    const StoredRecord before = stored;
    std::set<Dot> covered = DotsIn(mint.context);
    if (mint.blind_delete) covered.merge(DotsIn(stored.record.vector));
    MintResult result =
        ApplyMint(&stored, std::move(mint), incarnations_[replica], Limits{}, &random_);
    if (result.verdict != MintVerdict::kMinted) return result;

    ANNULUS_CHECK(!writes_.contains(result.dot));  // A dot names one write, for ever.
    writes_[result.dot] = std::move(covered);
    sent_.push_back(stored.record);  // The minter sends its whole record.
    if (durable) {
      contexts_.push_back(result.context);
    } else {
      stored = before;
      incarnations_[replica] = NewIncarnation();
    }
    return result;
  }

  // Some of the reads are cut short.
  void Read(size_t replica, uint8_t b) {
    sent_.push_back(replicas_[replica].record);
    contexts_.push_back(
        Show(replicas_[replica].record, WallTime{}, b % 3 == 0 ? b : 1 << 20).context);
  }

  // Everything that any node sent or holds, in one record.
  Record Everything() const {
    Record all;
    for (const Record& record : sent_) Merge(&all, record);
    for (const StoredRecord& stored : replicas_) Merge(&all, stored.record);
    return all;
  }

  // The dots of the writes that no other write covered: what must stand in Everything().
  std::set<Dot> Standing() const {
    std::set<Dot> standing;
    for (const auto& [dot, covered] : writes_) standing.insert(dot);
    for (const auto& [dot, covered] : writes_) {
      for (Dot gone : covered) standing.erase(gone);
    }
    return standing;
  }

  // All that were minted: exactly what the vector of Everything() must cover.
  std::set<Dot> Minted() const {
    std::set<Dot> minted;
    for (const auto& [dot, covered] : writes_) minted.insert(dot);
    return minted;
  }

  // Of those minted.
  std::set<Dot> DotsIn(const VersionVector& vector) const {
    std::set<Dot> dots;
    for (const auto& [dot, covered] : writes_) {
      if (vector.Covers(dot)) dots.insert(dot);
    }
    return dots;
  }

  // A record that was somewhere at some time.
  const Record& AnyRecord(uint32_t which) const {
    const size_t all = sent_.size() + kReplicas;
    which %= all;
    return which < kReplicas ? replicas_[which].record : sent_[which - kReplicas];
  }

  StoredRecord& replica(size_t i) { return replicas_[i]; }
  size_t writes() const { return writes_.size(); }

 private:
  Incarnation NewIncarnation() { return Incarnation(random_.Next()); }

  Random random_;
  std::vector<StoredRecord> replicas_ = std::vector<StoredRecord>(kReplicas);
  std::vector<Incarnation> incarnations_;
  std::vector<VersionVector> contexts_;
  std::vector<Record> sent_;
  std::map<Dot, std::set<Dot>> writes_;
};

// The dots of the siblings that stand in a record.
inline std::set<Dot> DotsOf(const Record& record) {
  std::set<Dot> dots;
  for (const Sibling& sibling : record.siblings) dots.insert(sibling.dot);
  return dots;
}

}  // namespace annulus
