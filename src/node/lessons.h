#pragma once

#include "node/context.h"

namespace annulus {

// Has a member that has started told the epochs of every partition, by all owners other than
// itself, or after a while by those that answer, and does what follows (core/reap LearnAsOwner,
// LearnAsOther): until then it serves nothing there, since its disk may be an older copy of itself.
// A partition without another owner needs nobody. Goes on asking where nobody answers.
//
// For the life of the node it looks, now and then, whether others know better: where two disks were
// replaced one after the other, whoever told this node may not have known itself. REQUIRES: a
// layout, and storage.
Task<void> RunLessons(NodeContext* node);

// The other side: answered from the first moment on, by what the disk says.
EpochsReply TellEpochs(const NodeContext& node, const EpochsRequest& request);

}  // namespace annulus
