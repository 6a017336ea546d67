#include "adapters/grpc/admin_service.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "adapters/grpc/fault_codec.h"
#include "adapters/grpc/kv_codec.h"

namespace annulus {
namespace {

namespace pb = admin::v1;

// In the order of the proto.
enum Method { kStatus, kLayout, kLocate, kSetFaults, kGetFaults, kRepair };

// Calls that wait for clients, by method; each that comes is replaced by the next.
constexpr int kPosted = 1;

template <class Message>
void FillMember(const Member& member, Message* out) {
  out->set_name(member.name);
  out->set_node_id(member.id.value());
  out->set_peer_address(member.peer_address);
  out->set_client_address(member.client_address);
  out->set_zone(member.zone);
}

void FillHints(const HintLedger::Account& account, pb::HintsHeld* out) {
  out->set_entries(account.entries);
  out->set_bytes(account.bytes);
}

void FillStatus(StatusView view, std::string_view version, pb::StatusResponse* out) {
  out->set_cluster(std::move(view.cluster));
  out->set_name(std::move(view.name));
  out->set_role(view.storage ? "node" : "coordinator");
  out->set_node_id(view.id.value());
  out->set_incarnation(view.incarnation.value());
  out->set_layout_version(view.layout_version.value());
  out->set_version(std::string(version));
  out->set_uptime_s(std::chrono::duration_cast<std::chrono::seconds>(view.uptime).count());
  out->set_ready(view.ready);
  out->set_not_ready_reason(std::move(view.not_ready_reason));
  for (std::string& notice : view.notices) out->add_notices(std::move(notice));
  out->set_sync(view.sync);
  if (view.storage) {
    pb::Convergence* wire = out->mutable_convergence();
    wire->set_partitions(view.convergence.partitions);
    wire->set_never(view.convergence.never);
    if (view.convergence.age.has_value()) {
      wire->set_age_ms(
          std::chrono::duration_cast<std::chrono::milliseconds>(*view.convergence.age).count());
      wire->set_since_us(view.convergence.since.micros);
    }
  }
  for (MemberView& member : view.members) {
    pb::MemberStatus* wire = out->add_members();
    FillMember(member.member, wire);
    wire->set_state(std::move(member.state));
    wire->set_incarnation(member.facts.incarnation.value());
    wire->set_gossip(std::string(ToString(member.gossip)));
    wire->set_partitions(member.partitions);
    if (view.storage) FillHints(member.hints, wire->mutable_hints());
  }
  if (!view.storage) return;
  FillHints(view.hints, out->mutable_hints());
  pb::Reaping* reaping = out->mutable_reaping();
  reaping->set_untold(view.reap.untold);
  reaping->set_rebuilding(view.reap.rebuilding);
  reaping->set_blocked(view.reap.blocked);
  for (std::string& name : view.reap.blocked_by) reaping->add_blocked_by(std::move(name));
}

void FillLayout(const annulus::Layout& layout, pb::LayoutResponse* out) {
  out->set_version(layout.version().value());
  out->set_cluster(layout.cluster());
  out->set_replicas(layout.replicas());
  absl::flat_hash_map<NodeId, uint32_t> index;
  for (const Member& member : layout.members()) {
    index.emplace(member.id, static_cast<uint32_t>(index.size()));
    FillMember(member, out->add_members());
  }
  for (uint32_t partition = 0; partition < layout.partitions(); ++partition) {
    pb::PartitionOwners* wire = out->add_partitions();
    for (const NodeId owner : layout.Owners(PartitionId(partition))) {
      wire->add_owners(index.at(owner));
    }
  }
}

void FillHolder(HolderView holder, pb::Holder* out) {
  out->set_name(std::move(holder.name));
  out->set_node_id(holder.id.value());
  out->set_owner(holder.owner);
  out->set_answer(std::move(holder.answer));
  out->set_epoch(holder.epoch.value());
  if (!holder.record.has_value()) return;
  out->set_vector(holder.record->vector.ToString());
  for (const Sibling& sibling : holder.record->siblings) {
    pb::HeldVersion* wire = out->add_versions();
    wire->set_dot(ToString(sibling.dot));
    wire->set_size(sibling.value.size());
    wire->set_tombstone(sibling.tombstone);
    wire->set_write_time_us(sibling.write_time.micros);
    wire->set_expires_us(sibling.expires.micros);
  }
}

}  // namespace

AdminService::AdminService(DoorContext* door, std::string version)
    : door_(door),
      version_(std::move(version)),
      status_(
          door, PublicOp::kStatus, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kStatus, args...); },
          [this](StatusMethod::Call* call) { return Status(call); }),
      layout_(
          door, PublicOp::kLayout, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kLayout, args...); },
          [this](LayoutMethod::Call* call) { return Layout(call); }),
      locate_(
          door, PublicOp::kLocate, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kLocate, args...); },
          [this](LocateMethod::Call* call) { return Locate(call); }),
      set_faults_(
          door, PublicOp::kSetFaults, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kSetFaults, args...); },
          [this](SetFaultsMethod::Call* call) { return SetFaults(call); }),
      get_faults_(
          door, PublicOp::kGetFaults, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kGetFaults, args...); },
          [this](GetFaultsMethod::Call* call) { return GetFaults(call); }),
      repair_(
          door, PublicOp::kRepair, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kRepair, args...); },
          [this](RepairMethod::Call* call) { return Repair(call); }) {}

void AdminService::Accept() {
  status_.Accept(kPosted);
  layout_.Accept(kPosted);
  locate_.Accept(kPosted);
  set_faults_.Accept(kPosted);
  get_faults_.Accept(kPosted);
  repair_.Accept(kPosted);
}

Task<absl::Status> AdminService::Status(StatusMethod::Call* call) {
  FillStatus(door_->node->Status(), version_, &call->response);
  if (door_->faults != nullptr) {
    call->response.set_faults_enabled(true);
    call->response.set_faults_active(static_cast<uint32_t>(door_->faults->Active().size()));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AdminService::Layout(LayoutMethod::Call* call) {
  if (const annulus::Layout* layout = door_->node->layout(); layout != nullptr) {
    FillLayout(*layout, &call->response);
  } else {
    call->response.set_cluster(door_->node->options().cluster);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AdminService::Locate(LocateMethod::Call* call) {
  Item item{.bucket = std::move(*call->request.mutable_bucket()),
            .key = std::move(*call->request.mutable_key()),
            .sort_key = std::move(*call->request.mutable_sort_key())};
  if (item.bucket.empty()) item.bucket = kDefaultBucket;
  absl::StatusOr<LocateAnswer> answer =
      co_await door_->node->Locate(std::move(item), call->deadline);
  if (!answer.ok()) co_return answer.status();
  call->response.set_hash(answer->hash);
  call->response.set_partition(answer->partition.value());
  call->response.set_layout_version(answer->layout_version.value());
  for (HolderView& holder : answer->holders) {
    FillHolder(std::move(holder), call->response.add_holders());
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AdminService::SetFaults(SetFaultsMethod::Call* call) {
  if (door_->faults == nullptr) co_return FaultsNotEnabled();
  const Instant now = door_->loop->Now();
  std::vector<Fault> faults;
  absl::Status status = DecodeFaults(call->request, door_->node->layout(), now, &faults);
  if (!status.ok()) co_return status;
  if (call->request.clear()) door_->faults->Clear();
  for (const Fault& fault : faults) door_->faults->Set(fault);
  EncodeFaults(door_->faults->Active(), door_->node->layout(), now,
               call->response.mutable_faults());
  co_return absl::OkStatus();
}

Task<absl::Status> AdminService::GetFaults(GetFaultsMethod::Call* call) {
  if (door_->faults == nullptr) co_return FaultsNotEnabled();
  EncodeFaults(door_->faults->Active(), door_->node->layout(), door_->loop->Now(),
               call->response.mutable_faults());
  co_return absl::OkStatus();
}

Task<absl::Status> AdminService::Repair(RepairMethod::Call* call) {
  constexpr uint64_t kAgeMaxMs = 365ull * 24 * 3600 * 1000;
  std::optional<PartitionId> partition;
  if (call->request.has_partition()) partition = PartitionId(call->request.partition());
  const Duration age = std::chrono::milliseconds(std::min(call->request.age_ms(), kAgeMaxMs));
  absl::StatusOr<RepairAnswer> answer =
      co_await door_->node->Repair(partition, age, call->deadline);
  if (!answer.ok()) co_return answer.status();
  call->response.set_partitions(answer->partitions);
  call->response.set_level(answer->level);
  for (std::string& name : answer->missing) call->response.add_missing(std::move(name));
  co_return absl::OkStatus();
}

}  // namespace annulus
