#include "core/version/vector.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace annulus {
namespace {

// The least that an entry takes: an actor, a base and a count of runs.
constexpr size_t kEntryBytesMin = 10;
constexpr size_t kRunBytesMin = 2;

}  // namespace

std::string ToString(Dot dot) { return absl::StrCat(ToHex(dot.actor), ":", dot.counter); }

bool VersionVector::Entry::Covers(uint64_t counter) const {
  if (counter <= base) return counter > 0;
  // The last run that begins at or before the counter.
  auto after = std::upper_bound(beyond.begin(), beyond.end(), counter,
                                [](uint64_t c, const Run& run) { return c < run.first; });
  return after != beyond.begin() && counter <= std::prev(after)->last;
}

bool VersionVector::Entry::Covers(const Entry& other) const {
  if (other.base > base) return false;  // Folded: base + 1 is missing here.
  auto mine = beyond.begin();
  for (const Run& run : other.beyond) {
    if (run.last <= base) continue;
    // A run that crosses the base would need base + 1.
    if (run.first <= base) return false;
    while (mine != beyond.end() && mine->last < run.last) ++mine;
    if (mine == beyond.end() || run.first < mine->first) return false;
  }
  return true;
}

void VersionVector::Entry::Add(Run run) {
  // Runs that overlap or touch the new one become one with it: [from, to).
  auto from = std::lower_bound(beyond.begin(), beyond.end(), run.first,
                               [](const Run& r, uint64_t first) { return r.last < first - 1; });
  auto to = from;
  while (to != beyond.end() &&
         (run.last == std::numeric_limits<uint64_t>::max() || to->first <= run.last + 1)) {
    run.first = std::min(run.first, to->first);
    run.last = std::max(run.last, to->last);
    ++to;
  }
  if (run.first - 1 <= base) {
    base = std::max(base, run.last);
    beyond.erase(beyond.begin(), to);  // What lay before it lay within the base's new reach.
    return;
  }
  if (from == to) {
    beyond.insert(from, run);
  } else {
    *from = run;
    beyond.erase(std::next(from), to);
  }
}

void VersionVector::Entry::Remove(uint64_t counter) {
  if (counter <= base) {
    if (counter < base) beyond.insert(beyond.begin(), Run{counter + 1, base});
    base = counter - 1;
    return;
  }
  auto run = std::lower_bound(beyond.begin(), beyond.end(), counter,
                              [](const Run& r, uint64_t c) { return r.last < c; });
  if (run == beyond.end() || counter < run->first) return;
  const Run before{run->first, counter - 1};
  const Run behind{counter + 1, run->last};
  if (counter == run->first && counter == run->last) {
    beyond.erase(run);
  } else if (counter == run->first) {
    *run = behind;
  } else if (counter == run->last) {
    *run = before;
  } else {
    *run = before;
    beyond.insert(std::next(run), behind);
  }
}

std::vector<VersionVector::Entry>::iterator VersionVector::Seek(ActorId actor) {
  return std::ranges::lower_bound(entries_, actor, {}, &Entry::actor);
}

const VersionVector::Entry* VersionVector::Find(ActorId actor) const {
  auto entry = std::ranges::lower_bound(entries_, actor, {}, &Entry::actor);
  return entry != entries_.end() && entry->actor == actor ? &*entry : nullptr;
}

bool VersionVector::Covers(Dot dot) const {
  const Entry* entry = Find(dot.actor);
  return entry != nullptr && entry->Covers(dot.counter);
}

bool VersionVector::Covers(const VersionVector& other) const {
  auto mine = entries_.begin();
  for (const Entry& entry : other.entries_) {
    while (mine != entries_.end() && mine->actor < entry.actor) ++mine;
    if (mine == entries_.end() || mine->actor != entry.actor || !mine->Covers(entry)) return false;
  }
  return true;
}

void VersionVector::Add(Dot dot) {
  ANNULUS_CHECK(dot.counter > 0);
  auto entry = Seek(dot.actor);
  if (entry == entries_.end() || entry->actor != dot.actor) {
    entry = entries_.insert(entry, Entry{dot.actor, 0, {}});
  }
  entry->Add(Run{dot.counter, dot.counter});
}

void VersionVector::Remove(Dot dot) {
  auto entry = Seek(dot.actor);
  if (dot.counter == 0 || entry == entries_.end() || entry->actor != dot.actor) return;
  entry->Remove(dot.counter);
  if (entry->base == 0 && entry->beyond.empty()) entries_.erase(entry);
}

void VersionVector::Merge(const VersionVector& other) {
  if (Covers(other)) return;  // The usual case, and it allocates nothing.
  std::vector<Entry> merged;
  merged.reserve(entries_.size() + other.entries_.size());
  auto mine = entries_.begin();
  for (const Entry& theirs : other.entries_) {
    while (mine != entries_.end() && mine->actor < theirs.actor)
      merged.push_back(std::move(*mine++));
    if (mine == entries_.end() || mine->actor != theirs.actor) {
      merged.push_back(theirs);
      continue;
    }
    Entry entry = std::move(*mine++);
    if (theirs.base > 0) entry.Add(Run{1, theirs.base});
    for (const Run& run : theirs.beyond) entry.Add(run);
    merged.push_back(std::move(entry));
  }
  merged.insert(merged.end(), std::make_move_iterator(mine),
                std::make_move_iterator(entries_.end()));
  entries_ = std::move(merged);
}

uint64_t VersionVector::MaxCounter(ActorId actor) const {
  const Entry* entry = Find(actor);
  if (entry == nullptr) return 0;
  return entry->beyond.empty() ? entry->base : entry->beyond.back().last;
}

// varint(actors), then for each, ascending: actor, base, varint(runs), then for each run how many
// counters are missing before it, less one, and how many it has, less one. No encoding but the
// canonical one can be written that way, save for order and emptiness of the entries.
void VersionVector::EncodeTo(Bytes* out) const {
  PutVarint(out, entries_.size());
  for (const Entry& entry : entries_) {
    PutFixed64(out, entry.actor.value());
    PutVarint(out, entry.base);
    PutVarint(out, entry.beyond.size());
    uint64_t last = entry.base;
    for (const Run& run : entry.beyond) {
      PutVarint(out, run.first - last - 2);
      PutVarint(out, run.last - run.first);
      last = run.last;
    }
  }
}

size_t VersionVector::EncodedSize() const {
  size_t size = VarintSize(entries_.size());
  for (const Entry& entry : entries_) {
    size += 8 + VarintSize(entry.base) + VarintSize(entry.beyond.size());
    uint64_t last = entry.base;
    for (const Run& run : entry.beyond) {
      size += VarintSize(run.first - last - 2) + VarintSize(run.last - run.first);
      last = run.last;
    }
  }
  return size;
}

bool VersionVector::DecodeFrom(ByteReader* reader) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  entries_.clear();
  uint64_t actors;
  // A count is believed only where the bytes for it are there: no input makes us reserve more than
  // a small multiple of its own size.
  if (!reader->Varint(&actors) || actors > reader->rest().size() / kEntryBytesMin) return false;
  entries_.reserve(actors);
  for (uint64_t i = 0; i < actors; ++i) {
    Entry entry;
    uint64_t actor, runs;
    if (!reader->Fixed64(&actor) || !reader->Varint(&entry.base) || !reader->Varint(&runs)) {
      return false;
    }
    entry.actor = ActorId(actor);
    if (!entries_.empty() && entry.actor <= entries_.back().actor) return false;
    if (entry.base == 0 && runs == 0) return false;
    if (runs > reader->rest().size() / kRunBytesMin) return false;
    entry.beyond.reserve(runs);
    uint64_t last = entry.base;
    for (uint64_t j = 0; j < runs; ++j) {
      uint64_t missing, length;
      if (!reader->Varint(&missing) || !reader->Varint(&length)) return false;
      if (last > kMax - 2 || missing > kMax - 2 - last) return false;
      const uint64_t first = last + 2 + missing;
      if (length > kMax - first) return false;
      last = first + length;
      entry.beyond.push_back(Run{first, last});
    }
    entries_.push_back(std::move(entry));
  }
  return true;
}

std::string VersionVector::ToString() const {
  std::string text = "{";
  for (const Entry& entry : entries_) {
    absl::StrAppend(&text, text.size() > 1 ? ", " : "", ToHex(entry.actor), ":", entry.base);
    for (const Run& run : entry.beyond) {
      absl::StrAppend(&text, &run == &entry.beyond.front() ? "+{" : ",", run.first);
      if (run.last != run.first) absl::StrAppend(&text, "-", run.last);
    }
    if (!entry.beyond.empty()) text += "}";
  }
  return text + "}";
}

}  // namespace annulus
