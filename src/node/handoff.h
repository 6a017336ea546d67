#pragma once

#include "node/context.h"

namespace annulus {

// Hinted handoff (the Dynamo paper, section 4.6): sends what this node keeps for others to its
// targets as soon as they answer, and removes each hint when its target has confirmed it durable.
// One target after the other, so many at a time as the target takes: the window grows by one with
// each page that went well, and halves when something was refused or lost.
//
// Runs as long as the node.
Task<void> RunHandoff(NodeContext* node);

}  // namespace annulus
