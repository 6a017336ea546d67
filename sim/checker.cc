#include "sim/checker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace annulus::sim {

namespace {

constexpr uint32_t kReplicasMax = 7;

// The life of a value that some owner holds.
enum class Stage : uint8_t {
  kUnheld,
  kMust,    // A read that is wide enough must show it.
  kFading,  // It may have been replaced: until a strict read misses it, it may be shown.
  kGone,    // Such a read has.
};

// What is known of one value while the sweep goes forward in time. "Owners" are those of the
// answers' acks.primaries: fallbacks are no part of any overlap.
struct ValueState {
  bool maybe_replaced = false;
  Stage stage = Stage::kUnheld;
  // How many owners hold it for certain: those that acknowledged it, or of a read that showed it.
  uint32_t held_by = 0;
  // First acknowledgement of a write over it, by how many owners; kForever where there is none.
  std::array<Instant, kReplicasMax + 1> replaced_at;
  WriteId replaced_by = 0;  // One of those, for people.
  // When the first write over it began, at the latest; a blind delete among them.
  Instant first_over = kForever;
};

struct Event {
  // At one instant beginnings come before ends: what might be concurrent is.
  enum class Kind : uint8_t { kWriteBegins, kReadBegins, kWriteEnds, kReadEnds };
  Instant at;
  Kind kind;
  uint32_t index;  // WriteId, or position in reads().
  auto operator<=>(const Event&) const = default;
};

// A copy of a forward may be minted after its original was refused: no stream makes copies, so that
// is for no node to prevent.
bool MayHaveHappened(const WriteOp& write) {
  return write.outcome != Outcome::kNotApplied || write.copied;
}

class KeyChecker {
 public:
  KeyChecker(const History& history, uint32_t key, std::vector<ValueState>* states,
             CheckResult* result)
      : history_(history), key_(key), states_(*states), result_(result) {}

  void Run(std::vector<Event> events);

 private:
  struct OpenRead {
    size_t index;
    std::vector<WriteId> must;
    std::vector<WriteId> fading;
  };

  void Fail(Rule rule, WriteId write, std::string text) {
    result_->violations.push_back({rule, key_, write, std::move(text)});
  }
  void BeginWrite(const WriteOp& write);
  void EndWrite(const WriteOp& write);
  void BeginRead(size_t index);
  void EndRead(size_t index);
  void Must(WriteId id, uint32_t held_by);
  void Fade(WriteId id);
  void NoteGone(const ReadOp& read, WriteId id);
  void CheckShown(const ReadOp& read, WriteId id);
  void CheckElements(const ReadOp& read);
  void CheckStatus(WriteId id, absl::StatusCode code, const std::string& error);
  void CheckServed(WriteId id, const std::string& unserved);
  void CheckAtLeast(const ReadOp& read);
  static Instant EndOfBlindDelete(const WriteOp& write);
  bool Exempt(const WriteOp& write, const ValueState& state) const;
  // Whether the read must see what so many owners hold.
  bool Overlaps(const ReadOp& read, uint32_t owners) const {
    return read.final || (!read.sloppy && read.r + owners > history_.replicas());
  }
  // From when on the value may be hidden, since it expires; kForever where it does not.
  Instant MayExpireFrom(const WriteOp& write) const;
  void CheckExpiry(const ReadOp& read, const WriteOp& write);

  const History& history_;
  uint32_t key_;
  std::vector<ValueState>& states_;
  CheckResult* result_;

  std::vector<WriteId> must_;
  std::vector<WriteId> fading_;
  std::vector<OpenRead> open_reads_;
  uint32_t open_blind_deletes_ = 0;
  Instant last_blind_end_ = Instant::min();
};

void KeyChecker::Run(std::vector<Event> events) {
  std::sort(events.begin(), events.end());
  for (const Event& event : events) {
    switch (event.kind) {
      case Event::Kind::kWriteBegins:
        BeginWrite(history_.write(event.index));
        break;
      case Event::Kind::kReadBegins:
        BeginRead(event.index);
        break;
      case Event::Kind::kWriteEnds:
        EndWrite(history_.write(event.index));
        break;
      case Event::Kind::kReadEnds:
        EndRead(event.index);
        break;
    }
  }
}

void KeyChecker::BeginWrite(const WriteOp& write) {
  if (!MayHaveHappened(write)) return;
  for (const WriteId id : write.covers) {
    ValueState& state = states_[id];
    state.maybe_replaced = true;
    state.first_over = std::min(state.first_over, write.invoked);
  }
  if (write.kind == WriteOp::Kind::kBlindDelete) {
    ++open_blind_deletes_;
    for (const WriteId id : must_) {
      states_[id].maybe_replaced = true;
      states_[id].first_over = std::min(states_[id].first_over, write.invoked);
    }
  }
}

void KeyChecker::EndWrite(const WriteOp& write) {
  if (write.kind == WriteOp::Kind::kBlindDelete) {
    const Instant end = EndOfBlindDelete(write);
    if (end != kForever) {
      --open_blind_deletes_;
      last_blind_end_ = std::max(last_blind_end_, end);
    }
  }
  if (write.outcome == Outcome::kNone) {
    Fail(Rule::kContradicted, write.id,
         absl::StrCat("v", write.id, " failed without saying how it ended: ", write.error));
  }
  CheckStatus(write.id, write.code, write.error);
  CheckServed(write.id, write.unserved);
  if (write.outcome != Outcome::kApplied) return;
  ++result_->acknowledged_writes;
  if (write.copies_lost) {
    ++result_->lost_with_disks;
    return;
  }
  if (write.acks < write.w) {
    Fail(Rule::kContradicted, write.id,
         absl::StrCat("v", write.id, " was acknowledged with ", write.acks,
                      " durable owners; it asked for ", write.w));
  }
  // Of owners that still had it when their disks were lost, none is left for reads to meet.
  const uint32_t owners = write.owners_lost ? 0 : write.primaries;
  for (const WriteId id : write.covers) {
    Instant& at = states_[id].replaced_at[owners];
    at = std::min(at, write.returned);
    states_[id].replaced_by = write.id;
  }
  if (write.kind == WriteOp::Kind::kPut) Must(write.id, owners);
}

void KeyChecker::Must(WriteId id, uint32_t held_by) {
  if (history_.write(id).copies_lost) return;
  ValueState& state = states_[id];
  state.held_by = std::max(state.held_by, held_by);
  if (open_blind_deletes_ > 0 || last_blind_end_ >= history_.write(id).invoked) {
    state.maybe_replaced = true;
    state.first_over = std::min(state.first_over, history_.write(id).invoked);
  }
  if (state.maybe_replaced) {
    Fade(id);
  } else if (state.stage == Stage::kUnheld) {
    state.stage = Stage::kMust;
    must_.push_back(id);
  }
}

void KeyChecker::Fade(WriteId id) {
  if (states_[id].stage >= Stage::kFading) return;
  states_[id].stage = Stage::kFading;
  fading_.push_back(id);
}

void KeyChecker::BeginRead(size_t index) {
  const ReadOp& read = history_.reads()[index];
  if (!read.ok) return;
  OpenRead& open = open_reads_.emplace_back();
  open.index = index;
  std::erase_if(must_, [&](WriteId id) {
    if (states_[id].maybe_replaced) Fade(id);
    return states_[id].maybe_replaced || MayExpireFrom(history_.write(id)) <= read.invoked;
  });
  std::erase_if(fading_, [&](WriteId id) { return states_[id].stage == Stage::kGone; });
  for (const WriteId id : must_) {
    if (Overlaps(read, states_[id].held_by)) open.must.push_back(id);
  }
  if (read.sloppy || read.of_scan) return;
  for (const WriteId id : fading_) {
    if (Overlaps(read, states_[id].held_by)) open.fading.push_back(id);
  }
}

void KeyChecker::EndRead(size_t index) {
  const ReadOp& read = history_.reads()[index];
  CheckStatus(0, read.code, read.error);
  CheckServed(0, read.unserved);
  if (!read.ok) {
    if (read.final) {
      Fail(Rule::kUnreachable, 0,
           absl::StrCat("the item can not be read after the last fault: ", read.error));
    }
    return;
  }
  const auto open = std::find_if(open_reads_.begin(), open_reads_.end(),
                                 [&](const OpenRead& read) { return read.index == index; });
  ANNULUS_CHECK(open != open_reads_.end());
  for (const WriteId id : open->must) {
    if (read.more || states_[id].maybe_replaced) continue;
    if (MayExpireFrom(history_.write(id)) <= read.returned) continue;
    if (std::find(read.shown.begin(), read.shown.end(), id) != read.shown.end()) continue;
    const bool acknowledged = history_.write(id).outcome == Outcome::kApplied;
    if (read.final) {
      Fail(Rule::kLost, id,
           absl::StrCat("v", id, acknowledged ? " was acknowledged" : " was shown to a client",
                        ", is not there at the end, and no context covered it"));
    } else {
      Fail(
          Rule::kMissed, id,
          absl::StrCat("v", id, " was ",
                       acknowledged ? absl::StrCat("acknowledged by ", history_.write(id).primaries)
                                    : "shown to a client",
                       ", no context covered it, and a later read of ", read.r, " misses it"));
    }
  }
  for (const WriteId id : open->fading) NoteGone(read, id);
  open_reads_.erase(open);
  CheckAtLeast(read);

  for (const std::string& strange : read.strange) {
    Fail(Rule::kInvented, 0, absl::StrCat("a read shows what nobody wrote here: ", strange));
  }
  if (read.shown.size() > 1) ++result_->sibling_reads;
  result_->siblings_max = std::max(result_->siblings_max, static_cast<uint32_t>(read.shown.size()));
  for (const WriteId id : read.shown) CheckShown(read, id);
  if (read.final && history_.keys()[key_].is_counter) CheckElements(read);
}

// What a strict read must have met and does not show was replaced, and the read has made that
// durable at as many owners as it asked: no later one may show it again (two in a row never go back
// in time).
void KeyChecker::NoteGone(const ReadOp& read, WriteId id) {
  if (read.more || MayExpireFrom(history_.write(id)) <= read.returned) return;
  if (std::find(read.shown.begin(), read.shown.end(), id) != read.shown.end()) return;
  Instant& at = states_[id].replaced_at[read.r];
  at = std::min(at, read.returned);
  states_[id].stage = Stage::kGone;
}

void KeyChecker::CheckShown(const ReadOp& read, WriteId id) {
  const WriteOp& write = history_.write(id);
  ValueState& state = states_[id];
  if (write.invoked > read.returned) {
    Fail(Rule::kInvented, id, absl::StrCat("v", id, " is shown before it was written"));
  }
  if (write.outcome == Outcome::kNotApplied && MayHaveHappened(write)) {
    ++result_->exempted;
  } else if (write.outcome == Outcome::kNotApplied) {
    Fail(Rule::kContradicted, id,
         absl::StrCat("v", id, " is shown, although its write said NOT_APPLIED (", write.error,
                      ")"));
  }
  for (uint32_t w = 0; w <= history_.replicas(); ++w) {
    if (!Overlaps(read, w) || state.replaced_at[w] >= read.invoked) continue;
    if (Exempt(write, state)) {
      ++result_->exempted;
    } else {
      Fail(Rule::kReturned, id,
           absl::StrCat("v", id, " is shown by ",
                        read.final ? "the last read" : absl::StrCat("a read of ", read.r),
                        ", although a write over it was acknowledged by ", w,
                        ", or a read of so many had not shown it any more",
                        state.replaced_by == 0 ? "" : absl::StrCat(": v", state.replaced_by)));
    }
    break;
  }
  CheckExpiry(read, write);
  // Nothing unsynced is read: what was shown lies durably with somebody. A strict read has made
  // sure that as many owners hold it as it asked; a scan repairs nothing.
  Must(id, read.sloppy ? 0 : read.of_scan ? 1 : read.r);
}

Instant KeyChecker::MayExpireFrom(const WriteOp& write) const {
  if (write.ttl == Duration(0)) return kForever;
  return write.invoked + write.ttl - 2 * history_.clock_error();
}

void KeyChecker::CheckExpiry(const ReadOp& read, const WriteOp& write) {
  if (write.ttl == Duration(0)) return;
  // Another attempt sets another expiry, and may be minted after the answer to the first.
  if (write.outcome != Outcome::kApplied || write.attempts > 1) return;
  if (read.invoked <= write.returned + write.ttl + 2 * history_.clock_error()) return;
  Fail(Rule::kOverdue, write.id,
       absl::StrCat("v", write.id, " is shown although it expired long ago"));
}

void KeyChecker::CheckServed(WriteId id, const std::string& unserved) {
  if (unserved.empty()) return;
  Fail(Rule::kUnserved, id,
       absl::StrCat("one fault fails a request that its quorum could serve: ", unserved));
}

void KeyChecker::CheckStatus(WriteId id, absl::StatusCode code, const std::string& error) {
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return;
    case absl::StatusCode::kDataLoss:
      // The contract has it where a record is damaged and too few others could answer (kv.proto).
      // That they could, where one disk is all that fails, is for promise 5 to say.
      if (history_.damage()) return;
      [[fallthrough]];
    default:
      Fail(Rule::kBadStatus, id, absl::StrCat("a request that is in order ends with ", error));
  }
}

// Whatever r is: what the given context was known to cover is shown, or was replaced; and what the
// writes behind that context replaced is not shown.
void KeyChecker::CheckAtLeast(const ReadOp& read) {
  for (const WriteId id : read.at_least) {
    const bool shown = std::find(read.shown.begin(), read.shown.end(), id) != read.shown.end();
    const bool may_be_hidden = read.more || MayExpireFrom(history_.write(id)) <= read.returned;
    if (!shown && !may_be_hidden && !states_[id].maybe_replaced &&
        !history_.write(id).copies_lost) {
      Fail(Rule::kMissed, id,
           absl::StrCat("v", id,
                        " was in the context that a read gave as at_least, no context "
                        "covered it, and the answer misses it"));
    }
    for (const WriteId over : history_.write(id).covers) {
      if (history_.write(id).copies_lost) continue;
      if (std::find(read.shown.begin(), read.shown.end(), over) == read.shown.end()) continue;
      if (Exempt(history_.write(over), states_[over])) {
        ++result_->exempted;
      } else {
        Fail(Rule::kReturned, over,
             absl::StrCat("v", over, " is shown, although v", id,
                          " had replaced it, which the "
                          "read gave as at_least"));
      }
    }
  }
}

// When a blind delete can cover nothing more. One that reached several minters may be minted again
// after its acknowledgement, and then covers what that minter holds (DESIGN section 3: a forward
// minted late).
Instant KeyChecker::EndOfBlindDelete(const WriteOp& write) {
  if (write.outcome != Outcome::kApplied || write.attempts > 1) return kForever;
  if (write.forwards_answered < write.forwards) return kForever;
  return std::max(write.returned, write.last_forward_answered);
}

// A request that went to several minters may stand under several dots, of which a context covers
// only those that its client was shown. So may one that came again to its only minter after
// somebody had begun to write over it: somebody who was shown it, or anybody once a clock may have
// hidden it, since a read's context covers what has expired.
bool KeyChecker::Exempt(const WriteOp& write, const ValueState& state) const {
  if (write.several_minters || write.attempts > 1) return true;
  if (write.forwards <= 1) return false;
  return write.forwards_answered < write.forwards ||
         write.last_forward_answered >= std::min(state.first_over, MayExpireFrom(write));
}

void KeyChecker::CheckElements(const ReadOp& read) {
  for (const WriteOp& write : history_.writes()) {
    if (write.id == 0 || write.key != key_ || write.outcome != Outcome::kApplied) continue;
    if (write.copies_lost) continue;
    if (std::binary_search(read.elements.begin(), read.elements.end(), write.id)) continue;
    Fail(Rule::kElementLost, write.id,
         absl::StrCat("the element v", write.id,
                      " was added, that was acknowledged, and it is in no value at the end"));
  }
}

}  // namespace

std::string_view ToString(Rule rule) {
  switch (rule) {
    case Rule::kLost:
      return "LOST";
    case Rule::kMissed:
      return "MISSED";
    case Rule::kInvented:
      return "INVENTED";
    case Rule::kReturned:
      return "RETURNED";
    case Rule::kContradicted:
      return "CONTRADICTED";
    case Rule::kBadStatus:
      return "BAD STATUS";
    case Rule::kElementLost:
      return "ELEMENT LOST";
    case Rule::kUnreachable:
      return "UNREACHABLE";
    case Rule::kUnserved:
      return "UNSERVED";
    case Rule::kOverdue:
      return "OVERDUE";
    case Rule::kCount:
      break;
  }
  return "?";
}

CheckResult Check(const History& history) {
  ANNULUS_CHECK(history.replicas() <= kReplicasMax);
  CheckResult result;
  std::vector<ValueState> states(history.writes().size());
  for (ValueState& state : states) state.replaced_at.fill(kForever);
  std::vector<std::vector<Event>> events(history.keys().size());
  for (const WriteOp& write : history.writes()) {
    if (write.id == 0) continue;
    events[write.key].push_back({write.invoked, Event::Kind::kWriteBegins, write.id});
    if (write.returned != kForever) {
      events[write.key].push_back({write.returned, Event::Kind::kWriteEnds, write.id});
    }
  }
  for (uint32_t i = 0; i < history.reads().size(); ++i) {
    const ReadOp& read = history.reads()[i];
    if (read.returned == kForever) continue;
    events[read.key].push_back({read.invoked, Event::Kind::kReadBegins, i});
    events[read.key].push_back({read.returned, Event::Kind::kReadEnds, i});
  }
  for (uint32_t key = 0; key < history.keys().size(); ++key) {
    KeyChecker(history, key, &states, &result).Run(std::move(events[key]));
  }
  return result;
}

}  // namespace annulus::sim
