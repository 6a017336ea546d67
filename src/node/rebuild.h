#pragma once

#include <map>
#include <set>
#include <utility>

#include "node/context.h"
#include "task/mailbox.h"

namespace annulus {

// Makes copies whole again that may lack something: those of a partition that this node rebuilds
// (core/reap PartitionEpochs::rebuilding), and single records whose bytes turn out to be damaged.
//
// A rebuild ends when everything is merged that the partition's other owners hold, each of which
// has to answer; also those that rebuild it themselves, which may hold what nobody else does. Until
// then the node takes writes, and its answers count for no read.
class Rebuilder {
 public:
  // REQUIRES: the node stores.
  explicit Rebuilder(NodeContext* node);

  // For the life of the node.
  Task<void> Run();

  // All partitions that this node owns: its disk is not what it was. OK once that is durable.
  // REQUIRES: a layout, found at least.
  Task<absl::Status> RebuildAll();
  // A record or hint of these bytes is damaged: it is dropped, and its partition rebuilt where it
  // was an own copy. Returns at once.
  void NoteDamage(ColumnFamily family, const Bytes& key);

  // How many partitions it rebuilds now.
  uint32_t rebuilding() const;

 private:
  Task<void> Drop(ColumnFamily family, Bytes key);
  Task<bool> RebuildOne(PartitionId partition);
  void BeginAnew(PartitionId partition);

  NodeContext* node_;
  Mailbox<bool> wake_;
  std::set<std::pair<ColumnFamily, Bytes>> dropping_;
  std::map<PartitionId, uint64_t> damages_;  // How often each partition had to begin anew.
  std::set<PartitionId> corrected_;          // Whose leaves were compared with the data since.
};

}  // namespace annulus
