#include "node/handoff.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/ring/ring.h"
#include "task/await.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr size_t kWindowMax = 256;
constexpr size_t kPageBytesMax = 1 << 20;
// While clients are refused, hints can wait: so many at a time, and a pause after each.
constexpr size_t kWindowStrained = 8;
constexpr Duration kPauseStrained = 100ms;
// A hint that was not confirmed by then is sent again another time.
constexpr Duration kReplayTimeout = 5s;

using Page = absl::StatusOr<StoragePage>;

// What is to be sent for the hint; nullopt where there is nothing any more.
Task<absl::StatusOr<std::optional<ReplicateRequest>>> RequestFor(NodeContext* node, Item item,
                                                                 Hint hint) {
  if (hint.pointer == 0) {
    co_return ReplicateRequest{std::move(item), Encode(hint.stored.record), hint.stored.epoch};
  }
  Item wanted = item;
  absl::StatusOr<Replica::Copy> own = co_await node->replica->Read(std::move(wanted));
  if (!own.ok()) co_return own.status();
  if (!own->record.has_value()) co_return std::nullopt;
  co_return ReplicateRequest{std::move(item), Encode(*own->record), own->stamp};
}

// One hint's way: sent, confirmed, removed. OK where it is gone.
Task<absl::Status> Replay(NodeContext* node, Bytes hint_key, Bytes encoded) {
  absl::StatusOr<ParsedHintKey> key = ParseHintKey(hint_key);
  if (!key.ok()) co_return key.status();
  absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(key->data_key);
  if (!parsed.ok()) co_return parsed.status();
  absl::StatusOr<Hint> hint = DecodeHint(encoded);
  if (!hint.ok()) {
    node->replica->NoteDamage(ColumnFamily::kHint, hint_key);
    co_return hint.status();
  }
  const bool points = hint->pointer != 0;
  Item item = parsed->item;
  absl::StatusOr<std::optional<ReplicateRequest>> request =
      co_await RequestFor(node, std::move(item), *std::move(hint));
  if (!request.ok()) co_return request.status();
  if (request->has_value() && !PlantedBugs::Has(PlantedBug::kCountedHintDropped)) {
    const Instant deadline = node->Now() + kReplayTimeout;
    PeerResult result = co_await Await<PeerResult>([&](auto done) {
      node->peers->Call(key->target, **std::move(request), deadline, std::move(done));
    });
    // A hint of a stamp that its target refuses had been delivered, or the round that closed it
    // would not have ended. What a pointer stands for is read again the next time.
    const bool delivered =
        !result.ok() && !points && DetailsOf(result.status()).reason == kReasonStaleStamp;
    if (delivered) ++node->counters.hints_stale;
    if (!result.ok() && !delivered) co_return result.status();
  }
  Place place{parsed->item, key->target};
  absl::Status removed = co_await node->replica->Discard(std::move(place), std::move(encoded));
  if (removed.ok()) ++node->counters.hints_replayed;
  co_return removed;
}

Task<void> ReplayOne(NodeContext* node, Bytes hint_key, Bytes encoded,
                     Mailbox<absl::Status>::Sender done) {
  absl::Status status = co_await Replay(node, std::move(hint_key), std::move(encoded));
  // Posted, since it can end the flow that owns this one.
  node->env.loop->Post([done, status]() { done.Deliver(status); });
}

// Sends all that is kept for one target, until that is done or something fails.
Task<void> HandOff(NodeContext* node, NodeId target) {
  Bytes begin = HintKey(target, {});
  const Bytes end = HintsEnd(target);
  size_t window = 8;
  while (true) {
    if (node->admission->Strained(node->Now())) {
      window = std::min(window, kWindowStrained);
      co_await Sleep(node->env.loop, kPauseStrained);
    }
    Page page = co_await Await<Page>([&](auto done) {
      node->env.storage->ReadRange(ColumnFamily::kHint, begin, end, window, kPageBytesMax,
                                   std::move(done));
    });
    if (!page.ok()) {
      node->events("handoff_failed", std::string(page.status().message()));
      co_return;
    }
    if (page->entries.empty()) co_return;
    begin = Successor(page->entries.back().first);

    TaskGroup local;
    Mailbox<absl::Status> results(node->env.loop);
    for (auto& [key, value] : page->entries) {
      local.Spawn(ReplayOne(node, std::move(key), std::move(value), results.sender()));
    }
    bool failed = false;
    bool full = false;
    for (size_t left = page->entries.size(); left > 0; --left) {
      std::optional<absl::Status> replayed = co_await results.Next();
      failed |= !replayed->ok();
      full |= DetailsOf(*replayed).reason == kReasonDiskFull;
    }
    window = failed ? std::max<size_t>(window / 2, 1) : std::min(window + 1, kWindowMax);
    if (failed && node->peers->StateOf(target) != Liveness::State::kUp) co_return;
    // Its disk has no room for more, or ours none for the note that it was delivered: to send on
    // would be to send it all again the next time.
    if (full) co_return;
    if (!page->more) co_return;
  }
}

}  // namespace

Task<void> RunHandoff(NodeContext* node) {
  while (true) {
    absl::Status counted = co_await node->replica->CountHints();
    if (counted.ok()) break;
    node->events("hints_unreadable", std::string(counted.message()));
    co_await Sleep(node->env.loop, node->options.handoff_interval);
  }
  while (true) {
    const std::shared_ptr<const Layout> layout = node->layout;
    for (const Member& member : layout->members()) {
      if (!node->refused.empty()) break;
      if (member.id == node->id || node->replica->hints().AccountOf(member.id).entries == 0 ||
          node->peers->StateOf(member.id) != Liveness::State::kUp) {
        continue;
      }
      co_await HandOff(node, member.id);
    }
    co_await Sleep(node->env.loop, node->options.handoff_interval);
  }
}

}  // namespace annulus
