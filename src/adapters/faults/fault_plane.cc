#include "adapters/faults/fault_plane.h"

#include <algorithm>

namespace annulus {
namespace {

bool SameTarget(const FaultKind& a, const FaultKind& b) {
  if (a.index() != b.index()) return false;
  const auto* link_a = std::get_if<LinkFault>(&a);
  const auto* link_b = std::get_if<LinkFault>(&b);
  return link_a == nullptr ||
         (link_a->peer == link_b->peer && link_a->direction == link_b->direction);
}

}  // namespace

void FaultPlane::Set(const Fault& fault) {
  const auto found = std::find_if(faults_.begin(), faults_.end(), [&](const Entry& entry) {
    return SameTarget(entry.fault.kind, fault.kind);
  });
  if (found == faults_.end()) {
    faults_.push_back({fault, loop_->Now()});
  } else {
    *found = {fault, loop_->Now()};
  }
}

std::vector<Fault> FaultPlane::Active() const {
  std::vector<Fault> active;
  const Instant now = loop_->Now();
  for (const Entry& entry : faults_) {
    if (now < entry.fault.until) active.push_back(entry.fault);
  }
  return active;
}

FaultPlane::Entry* FaultPlane::Find(NodeId peer, FaultDirection direction) {
  const Instant now = loop_->Now();
  Entry* everyone = nullptr;
  for (Entry& entry : faults_) {
    const auto* link = std::get_if<LinkFault>(&entry.fault.kind);
    if (link == nullptr || link->direction != direction || entry.fault.until <= now) continue;
    if (link->peer == NodeId()) {
      everyone = &entry;
    } else if (link->peer == peer) {
      return &entry;
    }
  }
  return everyone;
}

std::optional<Duration> FaultPlane::Carry(NodeId peer, FaultDirection direction, size_t bytes) {
  Entry* entry = Find(peer, direction);
  if (entry == nullptr) return Duration{0};
  const auto& link = std::get<LinkFault>(entry->fault.kind);
  if (link.loss > 0 && random_.Chance(link.loss)) return std::nullopt;
  Duration held = link.delay;
  if (link.jitter > Duration{0}) held += Duration(random_.Between(0, link.jitter.count()));
  if (link.bytes_per_second > 0) {
    const Instant now = loop_->Now();
    entry->line_free = std::max(entry->line_free, now) +
                       FromSeconds(static_cast<double>(bytes) / link.bytes_per_second);
    held += entry->line_free - now;
  }
  return held;
}

template <class Kind>
Kind FaultPlane::Only() const {
  const Instant now = loop_->Now();
  for (const Entry& entry : faults_) {
    const auto* fault = std::get_if<Kind>(&entry.fault.kind);
    if (fault != nullptr && now < entry.fault.until) return *fault;
  }
  return {};
}

DiskFault FaultPlane::disk() const { return Only<DiskFault>(); }
ClockFault FaultPlane::clock() const { return Only<ClockFault>(); }

}  // namespace annulus
