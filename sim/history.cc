#include "sim/history.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/checksum.h"

namespace annulus::sim {

namespace {

constexpr char kRequestIdMark[] = "sim-write";  // Nine bytes before the number.

// A number at the front of the text; 0 where there is none.
WriteId TakeNumber(BytesView* text) {
  WriteId number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc()) return 0;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return number;
}

std::string Names(const std::vector<WriteId>& ids) {
  return absl::StrJoin(ids, " ",
                       [](std::string* out, WriteId id) { absl::StrAppend(out, "v", id); });
}

std::string At(Instant at) {
  return at == kForever ? "never" : absl::StrFormat("%.5f", ToSeconds(at.time_since_epoch()));
}

}  // namespace

std::string_view ToString(WriteOp::Kind kind) {
  switch (kind) {
    case WriteOp::Kind::kPut:
      return "put";
    case WriteOp::Kind::kDelete:
      return "delete";
    case WriteOp::Kind::kBlindDelete:
      return "blind delete";
  }
  return "?";
}

uint32_t History::AddKey(Item item, bool is_counter) {
  keys_.push_back({std::move(item), is_counter});
  return static_cast<uint32_t>(keys_.size() - 1);
}

std::string History::NameOf(uint32_t key) const {
  const Item& item = keys_[key].item;
  return item.sort_key.empty() ? item.key : absl::StrCat(item.key, "/", item.sort_key);
}

WriteOp& History::NewWrite(uint32_t client, uint32_t key, WriteOp::Kind kind, Instant now) {
  const auto id = static_cast<WriteId>(writes_.size());
  WriteOp& write = writes_.emplace_back();
  write.id = id;
  write.client = client;
  write.key = key;
  write.kind = kind;
  write.invoked = now;
  return write;
}

size_t History::NewRead(uint32_t client, uint32_t key, Instant now) {
  ReadOp& read = reads_.emplace_back();
  read.client = client;
  read.key = key;
  read.invoked = now;
  return reads_.size() - 1;
}

Bytes History::ValueOf(WriteId id, const std::vector<WriteId>& elements, size_t size_min) {
  Bytes value = absl::StrCat(id, ":", absl::StrJoin(elements, ","), ":");
  if (value.size() < size_min) value.resize(size_min, static_cast<char>('a' + id % 26));
  return value;
}

void History::Show(ReadOp* read, BytesView value) const {
  BytesView rest = value;
  const WriteId id = TakeNumber(&rest);
  const bool known = id != 0 && id < writes_.size() && writes_[id].key == read->key &&
                     writes_[id].kind == WriteOp::Kind::kPut &&
                     writes_[id].value_hash == Hash64(value);
  if (!known) {
    read->strange.push_back(absl::StrCat(value.size(), " bytes that begin with \"",
                                         std::string(value.substr(0, 20)), "\""));
    return;
  }
  read->shown.push_back(id);
  if (!keys_[read->key].is_counter) return;
  rest.remove_prefix(1);
  while (const WriteId element = TakeNumber(&rest)) {
    read->elements.push_back(element);
    rest.remove_prefix(1);
  }
  std::sort(read->elements.begin(), read->elements.end());
  read->elements.erase(std::unique(read->elements.begin(), read->elements.end()),
                       read->elements.end());
}

Bytes History::RequestIdOf(WriteId id) { return absl::StrFormat("%s%07d", kRequestIdMark, id); }

WriteId History::WriteOf(const RequestId& request_id) {
  BytesView text(request_id.data(), request_id.size());
  if (!text.starts_with(kRequestIdMark)) return 0;
  text.remove_prefix(sizeof(kRequestIdMark) - 1);
  return TakeNumber(&text);
}

void History::OnForwardArrived(WriteId id, uint64_t minter, uint64_t losses, bool copy) {
  if (id == 0 || id >= writes_.size()) return;
  WriteOp& write = writes_[id];
  ++write.forwards;
  write.copied |= copy;
  if (write.forwards == 1) {
    write.minter = minter;
    write.minter_losses = losses;
  } else if (write.minter != minter || write.minter_losses != losses) {
    write.several_minters = true;
  }
}

void History::OnForwardAnswered(WriteId id, uint64_t losses, Instant now) {
  if (id == 0 || id >= writes_.size()) return;
  WriteOp& write = writes_[id];
  ++write.forwards_answered;
  write.last_forward_answered = now;
  if (write.forwards > 1 && write.minter_losses != losses) write.several_minters = true;
}

void History::NoteCopiesLost(WriteId id) {
  std::vector<WriteId> lost = {id};
  while (!lost.empty()) {
    WriteOp& write = writes_[lost.back()];
    lost.pop_back();
    if (write.id == 0 || std::exchange(write.copies_lost, true)) continue;
    if (keys_[write.key].is_counter) {
      lost.insert(lost.end(), write.covers.begin(), write.covers.end());
    }
  }
}

std::vector<WriteId> History::KnownOnly(const Item& item, const VersionVector& here,
                                        const VersionVector& elsewhere) const {
  std::vector<WriteId> known;
  for (const WriteOp& write : writes_) {
    if (write.id == 0 || write.outcome != Outcome::kApplied || write.copies_lost) continue;
    if (keys_[write.key].item != item || write.known.empty()) continue;
    if (here.Covers(write.known) && !elsewhere.Covers(write.known)) known.push_back(write.id);
  }
  return known;
}

void History::NoteKnowledgeLost(const Item& item, const VersionVector& here,
                                const VersionVector& elsewhere) {
  for (const WriteId id : KnownOnly(item, here, elsewhere)) NoteCopiesLost(id);
}

void History::NoteOwnersLost(const Item& item, const VersionVector& here,
                             const VersionVector& elsewhere) {
  for (const WriteId id : KnownOnly(item, here, elsewhere)) writes_[id].owners_lost = true;
}

size_t History::operations() const {
  size_t count = writes_.size() - 1 + scans_;
  for (const ReadOp& read : reads_) count += !read.of_scan && read.client != 0;
  return count;
}

size_t History::acknowledged() const {
  size_t count = scans_ok_;
  for (const WriteOp& write : writes_) count += write.id != 0 && write.outcome == Outcome::kApplied;
  for (const ReadOp& read : reads_) count += read.ok && !read.of_scan && read.client != 0;
  return count;
}

std::vector<std::string> History::Describe(uint32_t key) const {
  std::vector<std::pair<Instant, std::string>> lines;
  for (const WriteOp& write : writes_) {
    if (write.id == 0 || write.key != key) continue;
    std::string line =
        absl::StrFormat("%s..%s  client %d %s v%d%s at process %d, w=%d: ", At(write.invoked),
                        At(write.returned), write.client, ToString(write.kind), write.id,
                        write.covers.empty() ? "" : absl::StrCat(" over ", Names(write.covers)),
                        write.process, write.w);
    if (write.outcome == Outcome::kApplied) {
      absl::StrAppend(&line, "acknowledged by ", write.acks);
    } else {
      absl::StrAppend(&line, std::string(ToString(write.outcome)), " (", write.error, ")");
    }
    if (write.ttl > Duration(0)) {
      absl::StrAppend(&line, absl::StrFormat(", expires after %.3f s", ToSeconds(write.ttl)));
    }
    if (write.attempts > 1) absl::StrAppend(&line, ", ", write.attempts, " attempts");
    if (write.copies_lost) absl::StrAppend(&line, ", its only copy was on a disk that was lost");
    if (write.several_minters) absl::StrAppend(&line, ", sent to several minters");
    lines.emplace_back(write.invoked, std::move(line));
  }
  for (const ReadOp& read : reads_) {
    if (read.key != key) continue;
    lines.emplace_back(
        read.invoked,
        absl::StrFormat(
            "%s..%s  client %d get at process %d, r=%d%s%s: %s", At(read.invoked),
            At(read.returned), read.client, read.process, read.r,
            read.final     ? " (last)"
            : read.of_scan ? " (scan)"
                           : "",
            read.at_least.empty() ? "" : absl::StrCat(", at least ", Names(read.at_least)),
            read.ok ? absl::StrCat("[", Names(read.shown), "]") : read.error));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (auto& [at, line] : lines) out.push_back(std::move(line));
  return out;
}

}  // namespace annulus::sim
