#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "core/error.h"
#include "core/version/item.h"
#include "core/version/record.h"
#include "sim/sim_net.h"

namespace annulus::sim {

// One write that a client meant, with all its attempts. 0 is no write. A delete has one too, and no
// value is ever written twice, so that a value names its write.
using WriteId = uint32_t;

// What the clients of one run asked and were told, in true time: all that the checker looks at. No
// clock, dot or record of a server is in it.
struct WriteOp {
  enum class Kind : uint8_t { kPut, kDelete, kBlindDelete };

  WriteId id = 0;
  uint32_t client = 0;
  uint32_t key = 0;  // In History::keys.
  Kind kind = Kind::kPut;
  uint16_t process = 0;  // The last that was asked.
  uint16_t attempts = 0;
  uint32_t w = 0;   // Nodes it wants to be durable at.
  Duration ttl{0};  // 0: for ever.
  Instant invoked;
  // What the client knew its context to cover: the values that the Get showed it came from, or the
  // write whose answer it came from.
  std::vector<WriteId> covers;
  uint64_t value_hash = 0;

  Instant returned = kForever;
  Outcome outcome = Outcome::kUnknown;  // kApplied: acknowledged. Unknown is open for ever.
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string error;  // For people; empty where it was acknowledged.
  uint32_t acks = 0;
  uint32_t primaries = 0;  // Of the acks, those of owners.
  // The error of an attempt that promise 5 says cannot fail; empty where there was none.
  std::string unserved;

  // What the answer's context covers: what its own did, and the write.
  VersionVector known;
  // A disk was lost that held the only copy,
  bool copies_lost = false;
  // or the only one that an owner had.
  bool owners_lost = false;

  // From the network: how its forwards went (see History::OnForwardArrived).
  uint32_t forwards = 0;
  uint64_t minter = 0;         // Of the first forward,
  uint64_t minter_losses = 0;  // and how many commits its disk had failed then.
  uint32_t forwards_answered = 0;
  Instant last_forward_answered;
  bool several_minters = false;
  bool copied = false;  // The network made a copy of a forward.
};

struct ReadOp {
  uint32_t client = 0;
  uint32_t key = 0;
  uint16_t process = 0;
  uint32_t r = 0;
  bool sloppy = false;  // Others than owners may have answered, so that it need not see anything.
  Instant invoked;
  Instant returned = kForever;
  // What the client knew the context to cover that it gave as at_least.
  std::vector<WriteId> at_least;
  bool ok = false;
  bool final = false;    // Of all owners, after the last fault.
  bool of_scan = false;  // One item's part of a scan, which counts as one operation.
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string error;
  std::string unserved;  // As a write's.
  bool more = false;     // The answer shows a part of the values.
  std::vector<WriteId> shown;
  // Values that name no write, or another one's bytes.
  std::vector<std::string> strange;
  // Elements of all sets shown, ascending (counter keys).
  std::vector<WriteId> elements;
};

class History {
 public:
  struct Key {
    Item item;
    bool is_counter = false;  // Its values are sets that only grow.
  };

  explicit History(uint32_t replicas) : replicas_(replicas), writes_(1) {}

  uint32_t replicas() const { return replicas_; }
  uint32_t AddKey(Item item, bool is_counter);
  const std::vector<Key>& keys() const { return keys_; }
  // For people: "key", or "key/sort key".
  std::string NameOf(uint32_t key) const;

  // How far any wall clock was from true time, at most: what expires is early or late by twice
  // that, since one clock sets an expiry and another looks at it.
  void set_clock_error(Duration error) { clock_error_ = error; }
  Duration clock_error() const { return clock_error_; }
  // That some disk altered what lay on it: then an answer may be that a record is damaged.
  void NoteDamage() { damage_ = true; }
  bool damage() const { return damage_; }

  // References hold until the next call of the same kind.
  WriteOp& NewWrite(uint32_t client, uint32_t key, WriteOp::Kind kind, Instant now);
  WriteOp& write(WriteId id) { return writes_[id]; }
  const WriteOp& write(WriteId id) const { return writes_[id]; }
  // From 1; writes()[0] is nothing.
  const std::vector<WriteOp>& writes() const { return writes_; }

  size_t NewRead(uint32_t client, uint32_t key, Instant now);
  ReadOp& read(size_t index) { return reads_[index]; }
  const std::vector<ReadOp>& reads() const { return reads_; }

  // Values: "ID", then elements (counters), then filling; all of it follows from the write.
  static Bytes ValueOf(WriteId id, const std::vector<WriteId>& elements, size_t size_min);
  // Records what a read showed.
  void Show(ReadOp* read, BytesView value) const;

  // The 16 bytes under which a write is sent, and back; 0 where they are of no write.
  static Bytes RequestIdOf(WriteId id);
  static WriteId WriteOf(const RequestId& request_id);

  // A forward of the write reached a process, whose present incarnation is `minter` and whose disk
  // has failed `losses` commits so far. One that reaches several minters can be minted several
  // times (DESIGN section 13, promise 2), and so can one whose minter lost the first mint to a
  // failed commit.
  void OnForwardArrived(WriteId id, uint64_t minter, uint64_t losses, bool copy = false);
  void OnForwardAnswered(WriteId id, uint64_t losses, Instant now);

  // The item's operations in the order of their invocation, for people.
  std::vector<std::string> Describe(uint32_t key) const;

  // 0 is nobody's. A counter's value has the elements of all that it replaced: they go with it.
  void NoteCopiesLost(WriteId id);
  // Acknowledged writes of the item that `here` covers and `elsewhere` does not.
  void NoteKnowledgeLost(const Item& item, const VersionVector& here,
                         const VersionVector& elsewhere);

  // The same of owners' copies alone.
  void NoteOwnersLost(const Item& item, const VersionVector& here, const VersionVector& elsewhere);

  // Attempts that promise 5 spoke of.
  void NotePromised() { ++promised_; }
  size_t promised() const { return promised_; }

  void NoteScan(bool ok) {
    ++scans_;
    scans_ok_ += ok;
  }

  // Client operations, and how many of them were acknowledged or answered. Without final reads.
  size_t operations() const;
  size_t acknowledged() const;
  size_t scans() const { return scans_; }

 private:
  // Acknowledged writes of the item that the one covers and the other does not.
  std::vector<WriteId> KnownOnly(const Item& item, const VersionVector& here,
                                 const VersionVector& elsewhere) const;

  uint32_t replicas_;
  Duration clock_error_{0};
  bool damage_ = false;
  std::vector<Key> keys_;
  std::vector<WriteOp> writes_;
  std::vector<ReadOp> reads_;
  size_t scans_ = 0;
  size_t scans_ok_ = 0;
  size_t promised_ = 0;
};

std::string_view ToString(WriteOp::Kind kind);

}  // namespace annulus::sim
