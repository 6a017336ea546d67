#include "node/rebuild.h"

#include "absl/strings/str_cat.h"
#include "core/ring/ring.h"
#include "node/exchange.h"

namespace annulus {
namespace {

// Between two looks at what is to be rebuilt, where nobody hurries.
constexpr Duration kLook = 500ms;

}  // namespace

Rebuilder::Rebuilder(NodeContext* node) : node_(node), wake_(node->env.loop) {}

Task<void> Rebuilder::Run() {
  while (true) {
    co_await wake_.Next(node_->Now() + kLook);
    std::shared_ptr<const Layout> layout = node_->layout;
    if (layout == nullptr) continue;
    for (uint32_t p = 0; p < layout->partitions(); ++p) {
      const PartitionId partition(p);
      if (!node_->Owns(partition) || !node_->epochs->Serves(partition)) continue;
      if (!node_->epochs->Of(partition).rebuilding) continue;
      const bool rebuilt = co_await RebuildOne(partition);
      node_->counters.partitions_rebuilt += rebuilt;
    }
  }
}

Task<bool> Rebuilder::RebuildOne(PartitionId partition) {
  const uint64_t damages = damages_[partition];
  // A leaf that still counts a record which was dropped would hide from the exchange that it is
  // missing.
  if (!corrected_.contains(partition)) {
    absl::StatusOr<uint32_t> wrong = co_await node_->replica->tree().Correct(partition);
    if (!wrong.ok() || damages_[partition] != damages) co_return false;
    corrected_.insert(partition);
  }
  // Those that rebuild it themselves are merged too: one that dropped a damaged record has all
  // others.
  std::vector<NodeId> others = node_->layout->Owners(partition);
  std::erase(others, node_->id);
  const bool merged = co_await RunExchange(node_, partition, std::move(others));
  if (!merged || damages_[partition] != damages) co_return false;
  absl::Status ended = co_await node_->epochs->SetRebuilding(partition, false);
  co_return ended.ok();
}

Task<absl::Status> Rebuilder::RebuildAll() {
  std::shared_ptr<const Layout> layout = node_->layout == nullptr ? node_->joining : node_->layout;
  for (uint32_t p = 0; p < layout->partitions(); ++p) {
    const PartitionId partition(p);
    if (!layout->Owns(node_->id, partition)) continue;
    absl::Status begun = co_await node_->epochs->SetRebuilding(partition, true);
    if (!begun.ok()) co_return begun;
  }
  wake_.sender().Deliver(true);
  co_return absl::OkStatus();
}

void Rebuilder::NoteDamage(ColumnFamily family, const Bytes& key) {
  if (!dropping_.emplace(family, key).second) return;
  node_->background->Spawn(Drop(family, key));
}

void Rebuilder::BeginAnew(PartitionId partition) {
  ++damages_[partition];
  corrected_.erase(partition);
}

// The rebuild first, durably: from then on nobody counts on what is dropped.
Task<void> Rebuilder::Drop(ColumnFamily family, Bytes key) {
  absl::Status done;
  if (family == ColumnFamily::kData) {
    const PartitionId partition = LeafOf(key).partition;
    BeginAnew(partition);  // A rebuild that is about to end does not.
    done = co_await node_->epochs->SetRebuilding(partition, true);
  }
  if (done.ok()) {
    Bytes damaged = key;
    done = co_await node_->replica->DropDamaged(family, std::move(damaged));
  }
  if (done.ok()) {
    const bool own = family == ColumnFamily::kData;
    ++(own ? node_->counters.records_damaged : node_->counters.hints_damaged);
    node_->events("damage", own ? "a record failed its checksum; it is dropped, and its partition "
                                  "rebuilt from the other owners"
                                : "a hint failed its checksum and is dropped");
    if (own) BeginAnew(LeafOf(key).partition);
    wake_.sender().Deliver(true);
  }
  // Where it could not be dropped, it is met again.
  dropping_.erase({family, key});
}

uint32_t Rebuilder::rebuilding() const {
  uint32_t partitions = 0;
  if (node_->layout == nullptr) return partitions;
  for (uint32_t p = 0; p < node_->layout->partitions(); ++p) {
    const PartitionId partition(p);
    partitions += node_->Owns(partition) && node_->epochs->Of(partition).rebuilding;
  }
  return partitions;
}

}  // namespace annulus
