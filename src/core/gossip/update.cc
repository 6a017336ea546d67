#include "core/gossip/update.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace annulus {

std::string_view ToString(Standing standing) {
  switch (standing) {
    case Standing::kAlive:
      return "alive";
    case Standing::kSuspect:
      return "suspect";
    case Standing::kDead:
      return "dead";
  }
  return "?";
}

bool Merge(GossipUpdate* held, const GossipUpdate& heard) {
  ANNULUS_CHECK(held->node == heard.node);
  if (heard.refutation < held->refutation) return false;
  if (heard.refutation > held->refutation) {
    if (PlantedBugs::Has(PlantedBug::kRefutationIgnored) && held->standing == Standing::kDead) {
      return false;
    }
    const MemberFacts before = held->facts;
    *held = heard;
    if (PlantedBugs::Has(PlantedBug::kRestartNotNoticed)) held->facts = before;
    return true;
  }
  bool changed = false;
  if (held->facts.incarnation == Incarnation() && heard.facts.incarnation != Incarnation()) {
    held->facts = heard.facts;
    changed = true;
  }
  if (held->facts.incarnation == heard.facts.incarnation) {
    held->facts.sequence = std::max(held->facts.sequence, heard.facts.sequence);
  }
  if (heard.standing < held->standing) return changed;
  if (heard.standing > held->standing) {
    held->standing = heard.standing;
    held->suspectors = heard.suspectors;
    return true;
  }
  for (const NodeId suspector : heard.suspectors) {
    auto at = std::lower_bound(held->suspectors.begin(), held->suspectors.end(), suspector);
    if (at != held->suspectors.end() && *at == suspector) continue;
    held->suspectors.insert(at, suspector);
    changed = true;
  }
  return changed;
}

void PutUpdate(Bytes* out, const GossipUpdate& update) {
  Bytes body;
  PutFixed64(&body, update.node.value());
  PutVarint(&body, update.refutation);
  PutVarint(&body, static_cast<uint64_t>(update.standing));
  PutFixed64(&body, update.facts.incarnation.value());
  PutSized(&body, update.facts.peer_address);
  PutSized(&body, update.facts.client_address);
  PutVarint(&body, update.facts.layout_version.value());
  PutVarint(&body, update.facts.sequence);
  PutVarint(&body, update.facts.rebuilding);
  PutVarint(&body, update.suspectors.size());
  for (const NodeId suspector : update.suspectors) PutFixed64(&body, suspector.value());
  PutSized(out, body);
}

bool TakeUpdate(ByteReader* reader, GossipUpdate* update) {
  BytesView sized;
  if (!reader->Sized(&sized)) return false;
  ByteReader body(sized);
  uint64_t node = 0, standing = 0, incarnation = 0, layout_version = 0, suspectors = 0;
  BytesView peer_address, client_address;
  body.Fixed64(&node);
  body.Varint(&update->refutation);
  body.Varint(&standing);
  body.Fixed64(&incarnation);
  body.Sized(&peer_address);
  body.Sized(&client_address);
  body.Varint(&layout_version);
  body.Varint(&update->facts.sequence);
  body.Varint(&update->facts.rebuilding);
  if (!body.Varint(&suspectors) || standing > static_cast<uint64_t>(Standing::kDead) ||
      suspectors > body.rest().size() / 8) {
    return false;
  }
  update->node = NodeId(node);
  update->standing = static_cast<Standing>(standing);
  update->facts.incarnation = Incarnation(incarnation);
  update->facts.peer_address = std::string(peer_address);
  update->facts.client_address = std::string(client_address);
  update->facts.layout_version = LayoutVersion(layout_version);
  update->suspectors.clear();
  for (; suspectors > 0; --suspectors) {
    uint64_t suspector = 0;
    body.Fixed64(&suspector);
    update->suspectors.push_back(NodeId(suspector));
  }
  // What Merge relies on is not left to the sender.
  std::sort(update->suspectors.begin(), update->suspectors.end());
  update->suspectors.erase(std::unique(update->suspectors.begin(), update->suspectors.end()),
                           update->suspectors.end());
  return body.ok();
}

}  // namespace annulus
