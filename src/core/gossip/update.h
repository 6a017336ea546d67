#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/strong_id.h"

namespace annulus {

// What a member says about itself. Travels with every statement about it, so that whoever hears of
// a member also knows where it is now. Only the member itself changes it.
struct MemberFacts {
  Incarnation incarnation;  // 0: nothing has been heard yet.
  std::string peer_address;
  std::string client_address;
  LayoutVersion layout_version;
  uint64_t sequence = 0;    // Its durable sequence number (DESIGN section 8).
  uint64_t rebuilding = 0;  // Partitions that it rebuilds.

  bool operator==(const MemberFacts&) const = default;
};

// Ascending in strength: of two statements with one refutation number the stronger stands.
enum class Standing : uint8_t { kAlive, kSuspect, kDead };
std::string_view ToString(Standing standing);

// One statement about one member: what is stored of it, and what is sent.
struct GossipUpdate {
  NodeId node;
  // Drawn up by the member alone: it starts at 0 and refutes what is wrongly said of it with a
  // higher number (SWIM's incarnation number, which has nothing to do with ours).
  uint64_t refutation = 0;
  Standing standing = Standing::kAlive;
  MemberFacts facts;
  std::vector<NodeId> suspectors;  // Of a suspicion: who came to it independently. Ascending.

  bool operator==(const GossipUpdate&) const = default;
};

// Makes *held the stronger of both: the higher refutation number, then the stronger standing. Two
// equal suspicions join their suspectors; facts that are missing are filled in; of one
// incarnation's sequences the higher stands, which is no news, since it rises all the time. Returns
// whether *held changed, but for that. Commutative, associative and idempotent as long as one
// refutation number always comes with one set of facts. REQUIRES: the same node.
bool Merge(GossipUpdate* held, const GossipUpdate& heard);

// Appended to a message. Fields that a newer version adds at the end are passed over.
void PutUpdate(Bytes* out, const GossipUpdate& update);
// False where the message is malformed.
bool TakeUpdate(ByteReader* reader, GossipUpdate* update);

}  // namespace annulus
