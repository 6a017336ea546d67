#include "adapters/grpc/fault_codec.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace annulus {
namespace {

namespace pb = admin::v1;

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr char kEveryPeer[] = "*";
constexpr int kFaultsMax = 1000;
constexpr Duration kHoldMax = 10min;
constexpr Duration kLastsMax = 24h;
constexpr Duration kSkewMax = 366 * 24h;

absl::Status Wrong(const std::string& what) {
  return WithDetails(absl::InvalidArgumentError(what), {.reason = "INVALID_ARGUMENT"});
}

uint64_t Micros(Duration duration) { return static_cast<uint64_t>(duration / microseconds(1)); }

absl::Status CheckHold(const char* what, uint64_t micros) {
  if (micros <= Micros(kHoldMax)) return absl::OkStatus();
  return Wrong(absl::StrCat(what, " is ", micros, " us, over the limit of 10 minutes"));
}

absl::StatusOr<NodeId> PeerOf(const std::string& name, const Layout* layout) {
  if (name == kEveryPeer) return NodeId();
  if (layout != nullptr) {
    for (const Member& member : layout->members()) {
      if (member.name == name) return member.id;
    }
  }
  uint64_t id = 0;
  if (name.size() == 16 && absl::SimpleHexAtoi(name, &id) && id != 0) return NodeId(id);
  return Wrong(absl::StrCat("a fault's peer is \"", name,
                            "\", which is no member's name, no node id in 16 hex digits, and not "
                            "\"*\" for every peer"));
}

std::string NameOf(NodeId peer, const Layout* layout) {
  if (peer == NodeId()) return kEveryPeer;
  if (layout != nullptr) {
    for (const Member& member : layout->members()) {
      if (member.id == peer) return member.name;
    }
  }
  return ToHex(peer);
}

// One for each direction that is meant.
absl::Status DecodeLink(const pb::LinkFault& wire, const Layout* layout, Instant until,
                        std::vector<Fault>* out) {
  absl::StatusOr<NodeId> peer = PeerOf(wire.peer(), layout);
  if (!peer.ok()) return peer.status();
  if (absl::Status status = CheckHold("delay", wire.delay_us()); !status.ok()) return status;
  if (absl::Status status = CheckHold("jitter", wire.jitter_us()); !status.ok()) return status;
  if (!(wire.loss() >= 0 && wire.loss() <= 1)) {
    return Wrong(absl::StrCat("loss is ", wire.loss(), ", not a share from 0 to 1"));
  }
  LinkFault link{.peer = *peer,
                 .delay = microseconds(wire.delay_us()),
                 .jitter = microseconds(wire.jitter_us()),
                 .loss = wire.loss(),
                 .bytes_per_second = wire.bytes_per_second()};
  if (wire.direction() != pb::FAULT_DIRECTION_IN) {
    link.direction = FaultDirection::kOut;
    out->push_back({link, until});
  }
  if (wire.direction() != pb::FAULT_DIRECTION_OUT) {
    link.direction = FaultDirection::kIn;
    out->push_back({link, until});
  }
  return absl::OkStatus();
}

absl::Status DecodeFault(const pb::Fault& wire, const Layout* layout, Instant now,
                         std::vector<Fault>* out) {
  if (wire.duration_ms() > static_cast<uint64_t>(kLastsMax / 1ms)) {
    return Wrong(absl::StrCat("a fault of ", wire.duration_ms(), " ms is over the limit of a day"));
  }
  const Instant until = wire.duration_ms() == 0 ? kForever : now + milliseconds(wire.duration_ms());
  switch (wire.kind_case()) {
    case pb::Fault::kLink:
      return DecodeLink(wire.link(), layout, until, out);
    case pb::Fault::kDisk: {
      const uint64_t delay_us = wire.disk().commit_delay_us();
      if (absl::Status status = CheckHold("commit delay", delay_us); !status.ok()) return status;
      out->push_back(
          {DiskFault{.commit_delay = microseconds(delay_us), .full = wire.disk().full()}, until});
      return absl::OkStatus();
    }
    case pb::Fault::kClock: {
      const int64_t skew_us = wire.clock().skew_us();
      const auto most = static_cast<int64_t>(Micros(kSkewMax));
      if (skew_us > most || skew_us < -most) return Wrong("the clock's skew is over a year");
      out->push_back({ClockFault{.skew = microseconds(skew_us)}, until});
      return absl::OkStatus();
    }
    case pb::Fault::KIND_NOT_SET:
      break;
  }
  return Wrong("a fault says not what fails: link, disk or clock");
}

void EncodeKind(const LinkFault& link, const Layout* layout, pb::Fault* out) {
  pb::LinkFault* wire = out->mutable_link();
  wire->set_peer(NameOf(link.peer, layout));
  wire->set_direction(link.direction == FaultDirection::kOut ? pb::FAULT_DIRECTION_OUT
                                                             : pb::FAULT_DIRECTION_IN);
  wire->set_delay_us(Micros(link.delay));
  wire->set_jitter_us(Micros(link.jitter));
  wire->set_loss(link.loss);
  wire->set_bytes_per_second(link.bytes_per_second);
}

void EncodeKind(const DiskFault& disk, const Layout*, pb::Fault* out) {
  out->mutable_disk()->set_commit_delay_us(Micros(disk.commit_delay));
  out->mutable_disk()->set_full(disk.full);
}

void EncodeKind(const ClockFault& clock, const Layout*, pb::Fault* out) {
  out->mutable_clock()->set_skew_us(clock.skew / microseconds(1));
}

}  // namespace

absl::Status DecodeFaults(const pb::SetFaultsRequest& request, const Layout* layout, Instant now,
                          std::vector<Fault>* out) {
  if (request.faults_size() > kFaultsMax) {
    return Wrong(absl::StrCat(request.faults_size(), " faults are over the limit of ", kFaultsMax));
  }
  for (const pb::Fault& fault : request.faults()) {
    if (absl::Status status = DecodeFault(fault, layout, now, out); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void EncodeFaults(const std::vector<Fault>& faults, const Layout* layout, Instant now,
                  google::protobuf::RepeatedPtrField<pb::Fault>* out) {
  for (const Fault& fault : faults) {
    pb::Fault* wire = out->Add();
    // What is left; 0 would say for ever.
    if (fault.until != kForever) {
      wire->set_duration_ms(std::max<uint64_t>(1, (fault.until - now) / 1ms));
    }
    std::visit([&](const auto& kind) { EncodeKind(kind, layout, wire); }, fault.kind);
  }
}

absl::Status FaultsNotEnabled() {
  return WithDetails(
      absl::PermissionDeniedError("faults are not enabled: start the process with --enable-faults "
                                  "(or ANNULUS_ENABLE_FAULTS=true), and never in production"),
      {.reason = "FAULTS_NOT_ENABLED"});
}

}  // namespace annulus
