#pragma once

#include <optional>
#include <set>
#include <string>

#include "node/context.h"

namespace annulus {

// Another process that says that it is a certain node.
struct Namesake {
  std::string address;  // Where it answered.
  Claim claim = Claim::kNone;
  WallTime started;
  Incarnation incarnation;
};

// Asks at these addresses, all at once and again and again, until another process than this one
// answers as that node, or an answer or so much silence from each address says that there is none.
Task<std::optional<Namesake>> FindNamesake(NodeContext* node, NodeId id,
                                           std::set<std::string> addresses, Duration patience);

// Whether this node yields to the other process: to one that serves while it does not, and of two
// alike to the one that started first. Both come to the same, since both compare the same numbers.
bool YieldsTo(const NodeContext& node, const Namesake& other);

// How far this process has come.
Claim ClaimOf(const NodeContext& node);

}  // namespace annulus
