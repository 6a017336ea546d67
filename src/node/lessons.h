#pragma once

#include "node/context.h"

namespace annulus {

// Has a member that has started told the epochs of every partition, by an owner other than itself,
// and does what follows (core/reap LearnAsOwner, LearnAsOther): until then it serves nothing there,
// since its disk may be an older copy of itself. A partition without another owner needs nobody.
// Ends when all are served; goes on asking where nobody answers. REQUIRES: a layout, and storage.
Task<void> RunLessons(NodeContext* node);

// The other side: answered from the first moment on, by what the disk says.
EpochsReply TellEpochs(const NodeContext& node, const EpochsRequest& request);

}  // namespace annulus
