#include "adapters/grpc/peer_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/overloaded.h"

namespace annulus {
namespace {

namespace pb = peer::v1;

// What a message takes besides its byte fields.
constexpr size_t kMessageOverheadBytes = 64;
// Longer times are cut to this, a hundred years, so that they fit a Duration.
constexpr uint64_t kDurationMaxUs = 100ull * 365 * 24 * 3600 * 1'000'000;
// Nobody waits longer for a ping.
constexpr uint64_t kTimeoutMaxUs = 60ull * 1'000'000;

absl::Status Malformed(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed peer message: ", what));
}

void EncodeItem(Item item, pb::Item* out) {
  out->set_bucket(std::move(item.bucket));
  out->set_key(std::move(item.key));
  out->set_sort_key(std::move(item.sort_key));
}

Item DecodeItem(pb::Item* item) {
  return {.bucket = std::move(*item->mutable_bucket()),
          .key = std::move(*item->mutable_key()),
          .sort_key = std::move(*item->mutable_sort_key())};
}

absl::Status DecodeVector(BytesView bytes, VersionVector* out) {
  ByteReader reader(bytes);
  if (!out->DecodeFrom(&reader) || !reader.done()) {
    return absl::DataLossError("damaged version vector in a peer message");
  }
  return absl::OkStatus();
}

void EncodeVector(const VersionVector& vector, std::string* out) { vector.EncodeTo(out); }

void EncodePartitions(const std::vector<PartitionId>& partitions,
                      google::protobuf::RepeatedField<uint32_t>* out) {
  out->Reserve(static_cast<int>(partitions.size()));
  for (PartitionId partition : partitions) out->Add(partition.value());
}

std::vector<PartitionId> DecodePartitions(const google::protobuf::RepeatedField<uint32_t>& from) {
  std::vector<PartitionId> partitions;
  partitions.reserve(from.size());
  for (uint32_t partition : from) partitions.emplace_back(partition);
  return partitions;
}

uint64_t ToMicros(Duration duration) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::max(duration, Duration{0}))
          .count());
}

void EncodeEpochs(const std::vector<PartitionEpochs>& epochs,
                  google::protobuf::RepeatedPtrField<pb::PartitionEpochs>* out) {
  out->Reserve(static_cast<int>(epochs.size()));
  for (const PartitionEpochs& from : epochs) {
    pb::PartitionEpochs* to = out->Add();
    to->set_current(from.current.value());
    to->set_closed(from.closed.value());
    to->set_rebuilding(from.rebuilding);
    to->set_reserved(from.reserved.value());
  }
}

std::vector<PartitionEpochs> DecodeEpochs(
    const google::protobuf::RepeatedPtrField<pb::PartitionEpochs>& from) {
  std::vector<PartitionEpochs> epochs;
  epochs.reserve(from.size());
  for (const pb::PartitionEpochs& one : from) {
    epochs.push_back(
        {Epoch(one.current()), Epoch(one.closed()), one.rebuilding(), Epoch(one.reserved())});
  }
  return epochs;
}

size_t SizeOf(const Item& item) {
  return item.bucket.size() + item.key.size() + item.sort_key.size();
}

}  // namespace

void EncodeRequest(PeerRequest request, pb::Request* out) {
  std::visit(
      Overloaded{
          [&](IntroduceRequest&&) { out->mutable_introduce(); },
          [&](PingRequest&& from) { out->mutable_ping()->set_gossip(std::move(from.gossip)); },
          [&](ForwardRequest&& from) {
            pb::Forward* to = out->mutable_forward();
            EncodeItem(std::move(from.item), to->mutable_item());
            to->set_value(std::move(from.value));
            to->set_tombstone(from.tombstone);
            to->set_blind_delete(from.blind_delete);
            EncodeVector(from.context, to->mutable_context());
            to->set_request_id(from.request_id.data(), from.request_id.size());
            to->set_acks_required(from.acks_required);
            to->set_expires_us(from.expires.micros);
            to->set_explain(from.explain);
            to->set_sloppy(from.sloppy);
            to->set_fallback_for(from.fallback_for.value());
          },
          [&](ReplicateRequest&& from) {
            pb::Replicate* to = out->mutable_replicate();
            EncodeItem(std::move(from.item), to->mutable_item());
            to->set_record(std::move(from.record));
            to->set_epoch(from.epoch.value());
            to->set_hint_for(from.hint_for.value());
            to->set_counted(from.counted);
          },
          [&](ReadRequest&& from) {
            pb::Read* to = out->mutable_read();
            EncodeItem(std::move(from.item), to->mutable_item());
            to->set_whole_up_to_bytes(from.whole_up_to_bytes);
          },
          [&](RangeRequest&& from) {
            pb::Range* to = out->mutable_range();
            to->set_partition(from.partition.value());
            to->set_begin(std::move(from.begin));
            to->set_end(std::move(from.end));
            to->set_values(from.values);
            to->set_entries_max(from.entries_max);
            to->set_bytes_max(from.bytes_max);
          },
          [&](RootsRequest&& from) {
            EncodePartitions(from.partitions, out->mutable_roots()->mutable_partitions());
          },
          [&](LeavesRequest&& from) {
            pb::Leaves* to = out->mutable_leaves();
            to->set_partition(from.partition.value());
            to->mutable_recompute()->Add(from.recompute.begin(), from.recompute.end());
          },
          [&](KeysRequest&& from) {
            pb::Keys* to = out->mutable_keys();
            to->set_partition(from.partition.value());
            to->mutable_leaves()->Add(from.leaves.begin(), from.leaves.end());
            to->set_begin(std::move(from.begin));
            to->set_bytes_max(from.bytes_max);
          },
          [&](HurryRequest&& from) {
            EncodePartitions(from.partitions, out->mutable_hurry()->mutable_partitions());
          },
          [&](EpochsRequest&& from) {
            pb::Epochs* to = out->mutable_epochs();
            EncodePartitions(from.partitions, to->mutable_partitions());
            EncodeEpochs(from.epochs, to->mutable_epochs());
            to->set_wants_round(from.wants_round);
          },
          [&](ReapRequest&& from) {
            pb::Reap* to = out->mutable_reap();
            to->set_partition(from.partition.value());
            to->set_incarnation(from.incarnation.value());
            to->set_epoch(from.epoch.value());
            to->set_step(static_cast<uint32_t>(from.step));
            to->mutable_keys()->Reserve(static_cast<int>(from.keys.size()));
            for (KeyDigest& key : from.keys) {
              pb::Reap::Key* wire = to->add_keys();
              wire->set_data_key(std::move(key.data_key));
              wire->set_digest(key.digest);
            }
          },
          [&](PingForRequest&& from) {
            pb::PingFor* to = out->mutable_ping_for();
            to->set_target(from.target.value());
            to->set_timeout_us(
                std::chrono::duration_cast<std::chrono::microseconds>(from.timeout).count());
            to->set_gossip(std::move(from.gossip));
          },
          [&](RecallRequest&& from) { out->mutable_recall()->set_node_id(from.node.value()); },
      },
      std::move(request));
}

absl::StatusOr<PeerRequest> DecodeRequest(pb::Request* request) {
  switch (request->body_case()) {
    case pb::Request::kIntroduce:
      return IntroduceRequest{};
    case pb::Request::kPing:
      return PingRequest{.gossip = std::move(*request->mutable_ping()->mutable_gossip())};
    case pb::Request::kForward: {
      pb::Forward* from = request->mutable_forward();
      ForwardRequest to;
      to.item = DecodeItem(from->mutable_item());
      to.value = std::move(*from->mutable_value());
      to.tombstone = from->tombstone();
      to.blind_delete = from->blind_delete();
      if (absl::Status status = DecodeVector(from->context(), &to.context); !status.ok()) {
        return status;
      }
      if (from->request_id().size() != to.request_id.size()) {
        return Malformed("a request_id that is not 16 bytes");
      }
      std::copy(from->request_id().begin(), from->request_id().end(), to.request_id.begin());
      to.acks_required = from->acks_required();
      to.expires = WallTime{from->expires_us()};
      to.explain = from->explain();
      to.sloppy = from->sloppy();
      to.fallback_for = NodeId(from->fallback_for());
      return to;
    }
    case pb::Request::kReplicate: {
      pb::Replicate* from = request->mutable_replicate();
      ReplicateRequest to;
      to.item = DecodeItem(from->mutable_item());
      to.record = std::move(*from->mutable_record());
      to.epoch = Epoch(from->epoch());
      to.hint_for = NodeId(from->hint_for());
      to.counted = from->counted();
      return to;
    }
    case pb::Request::kRead: {
      pb::Read* from = request->mutable_read();
      ReadRequest to;
      to.item = DecodeItem(from->mutable_item());
      to.whole_up_to_bytes = from->whole_up_to_bytes();
      return to;
    }
    case pb::Request::kRange: {
      pb::Range* from = request->mutable_range();
      RangeRequest to;
      to.partition = PartitionId(from->partition());
      to.begin = std::move(*from->mutable_begin());
      to.end = std::move(*from->mutable_end());
      to.values = from->values();
      to.entries_max = from->entries_max();
      to.bytes_max = from->bytes_max();
      return to;
    }
    case pb::Request::kRoots:
      return RootsRequest{DecodePartitions(request->roots().partitions())};
    case pb::Request::kLeaves: {
      const pb::Leaves& from = request->leaves();
      return LeavesRequest{.partition = PartitionId(from.partition()),
                           .recompute = {from.recompute().begin(), from.recompute().end()}};
    }
    case pb::Request::kKeys: {
      pb::Keys* from = request->mutable_keys();
      return KeysRequest{.partition = PartitionId(from->partition()),
                         .leaves = {from->leaves().begin(), from->leaves().end()},
                         .begin = std::move(*from->mutable_begin()),
                         .bytes_max = from->bytes_max()};
    }
    case pb::Request::kHurry:
      return HurryRequest{DecodePartitions(request->hurry().partitions())};
    case pb::Request::kPingFor: {
      pb::PingFor* from = request->mutable_ping_for();
      return PingForRequest{
          .target = NodeId(from->target()),
          .timeout = std::chrono::microseconds(std::min(from->timeout_us(), kTimeoutMaxUs)),
          .gossip = std::move(*from->mutable_gossip())};
    }
    case pb::Request::kEpochs:
      return EpochsRequest{DecodePartitions(request->epochs().partitions()),
                           DecodeEpochs(request->epochs().epochs()),
                           request->epochs().wants_round()};
    case pb::Request::kReap: {
      pb::Reap* from = request->mutable_reap();
      if (from->step() < static_cast<uint32_t>(ReapStep::kRaise) ||
          from->step() > static_cast<uint32_t>(ReapStep::kDelete)) {
        return Malformed("a step of reaping that does not exist");
      }
      ReapRequest to{.partition = PartitionId(from->partition()),
                     .incarnation = Incarnation(from->incarnation()),
                     .epoch = Epoch(from->epoch()),
                     .step = static_cast<ReapStep>(from->step())};
      to.keys.reserve(from->keys_size());
      for (pb::Reap::Key& key : *from->mutable_keys()) {
        to.keys.push_back({std::move(*key.mutable_data_key()), key.digest()});
      }
      return to;
    }
    case pb::Request::kRecall:
      return RecallRequest{.node = NodeId(request->recall().node_id())};
    case pb::Request::BODY_NOT_SET:
      break;
  }
  return Malformed("a request of an unknown kind");
}

void EncodeReply(PeerResult reply, pb::Reply* out) {
  if (!reply.ok()) {
    EncodeError(reply.status(), out->mutable_error());
    return;
  }
  std::visit(
      Overloaded{
          [&](IntroduceReply&& from) {
            pb::IntroduceReply* to = out->mutable_introduce();
            to->set_cluster(std::move(from.cluster));
            to->set_name(std::move(from.name));
            to->set_node_id(from.id.value());
            to->set_incarnation(from.incarnation.value());
            to->set_storage(from.storage);
            to->set_peer_address(std::move(from.peer_address));
            to->set_client_address(std::move(from.client_address));
            to->set_zone(std::move(from.zone));
            to->set_layout(std::move(from.layout));
            to->set_formation_digest(from.formation_digest);
            to->set_claim(static_cast<uint32_t>(from.claim));
            to->set_started_us(from.started.micros);
          },
          [&](PingReply&& from) { out->mutable_ping()->set_gossip(std::move(from.gossip)); },
          [&](ForwardReply&& from) {
            pb::ForwardReply* to = out->mutable_forward();
            to->mutable_dot()->set_actor(from.dot.actor.value());
            to->mutable_dot()->set_counter(from.dot.counter);
            EncodeVector(from.context, to->mutable_context());
            to->set_acks_primaries(from.acks.primaries);
            to->set_acks_fallbacks(from.acks.fallbacks);
            to->set_acks_required(from.acks.required);
            to->set_durable(from.durable);
            to->set_siblings(from.siblings);
            for (ForwardReply::Hop& hop : from.hops) {
              pb::Hop* wire = to->add_hops();
              wire->set_node_id(hop.node.value());
              wire->set_kind(hop.kind);
              wire->set_answer(std::move(hop.answer));
              wire->set_asked_us(hop.asked_us);
              wire->set_answered_us(hop.answered_us);
            }
          },
          [&](ReplicateReply&& from) {
            out->mutable_replicate()->set_durable(from.durable);
            out->mutable_replicate()->set_sequence(from.sequence);
          },
          [&](ReadReply&& from) {
            pb::ReadReply* to = out->mutable_read();
            to->set_found(from.found);
            if (from.record.has_value()) to->set_record(*std::move(from.record));
            to->set_digest(from.digest);
            to->set_epoch(from.epoch.value());
            to->set_rebuilding(from.rebuilding);
            to->set_closed(from.closed.value());
          },
          [&](RangeReply&& from) {
            pb::RangeReply* to = out->mutable_range();
            to->mutable_entries()->Reserve(static_cast<int>(from.entries.size()));
            for (RangeReply::Entry& entry : from.entries) {
              pb::RangeReply::Entry* wire = to->add_entries();
              wire->set_data_key(std::move(entry.data_key));
              wire->set_record(std::move(entry.record));
            }
            to->set_more(from.more);
            to->set_epoch(from.epoch.value());
            to->set_closed(from.closed.value());
          },
          [&](EpochsReply&& from) {
            pb::EpochsReply* to = out->mutable_epochs();
            to->set_incarnation(from.incarnation.value());
            EncodeEpochs(from.epochs, to->mutable_epochs());
          },
          [&](ReapReply&& from) {
            for (const bool yes : from.yes) out->mutable_reap()->add_yes(yes);
            out->mutable_reap();
          },
          [&](RootsReply&& from) {
            out->mutable_roots()->mutable_roots()->Add(from.roots.begin(), from.roots.end());
          },
          [&](LeavesReply&& from) { out->mutable_leaves()->set_leaves(std::move(from.leaves)); },
          [&](KeysReply&& from) {
            pb::KeysReply* to = out->mutable_keys();
            to->mutable_keys()->Reserve(static_cast<int>(from.keys.size()));
            for (KeyDigest& key : from.keys) {
              pb::KeysReply::Entry* wire = to->add_keys();
              wire->set_data_key(std::move(key.data_key));
              wire->set_digest(key.digest);
            }
            to->set_next(std::move(from.next));
          },
          [&](HurryReply&& from) {
            for (const std::optional<Duration>& age : from.ages) {
              out->mutable_hurry()->add_age_us(age.has_value() ? 1 + ToMicros(*age) : 0);
            }
          },
          [&](PingForReply&& from) { out->mutable_ping_for()->set_reached(from.reached); },
          [&](RecallReply&& from) {
            pb::RecallReply* to = out->mutable_recall();
            to->set_known(from.known);
            to->set_sequence(from.sequence);
            to->set_incarnation(from.incarnation.value());
            to->set_peer_address(std::move(from.peer_address));
          },
      },
      *std::move(reply));
}

PeerResult DecodeReply(pb::Reply* reply) {
  switch (reply->body_case()) {
    case pb::Reply::kError: {
      absl::Status status = DecodeError(reply->error());
      if (status.ok()) return Malformed("an error with code 0");
      return status;
    }
    case pb::Reply::kIntroduce: {
      pb::IntroduceReply* from = reply->mutable_introduce();
      IntroduceReply to;
      to.cluster = std::move(*from->mutable_cluster());
      to.name = std::move(*from->mutable_name());
      to.id = NodeId(from->node_id());
      to.incarnation = Incarnation(from->incarnation());
      to.storage = from->storage();
      to.peer_address = std::move(*from->mutable_peer_address());
      to.client_address = std::move(*from->mutable_client_address());
      to.zone = std::move(*from->mutable_zone());
      to.layout = std::move(*from->mutable_layout());
      to.formation_digest = from->formation_digest();
      if (from->claim() > static_cast<uint32_t>(Claim::kServing)) {
        return Malformed("an unknown claim");
      }
      to.claim = static_cast<Claim>(from->claim());
      to.started = WallTime{from->started_us()};
      return to;
    }
    case pb::Reply::kPing: {
      return PingReply{.gossip = std::move(*reply->mutable_ping()->mutable_gossip())};
    }
    case pb::Reply::kForward: {
      pb::ForwardReply* from = reply->mutable_forward();
      ForwardReply to;
      to.dot = {ActorId(from->dot().actor()), from->dot().counter()};
      if (absl::Status status = DecodeVector(from->context(), &to.context); !status.ok()) {
        return status;
      }
      to.acks = {from->acks_primaries(), from->acks_fallbacks(), from->acks_required()};
      to.durable = from->durable();
      to.siblings = from->siblings();
      to.hops.reserve(from->hops_size());
      for (pb::Hop& hop : *from->mutable_hops()) {
        if (hop.kind() > 255) return Malformed("a hop of an unknown kind");
        to.hops.push_back({.node = NodeId(hop.node_id()),
                           .kind = static_cast<uint8_t>(hop.kind()),
                           .answer = std::move(*hop.mutable_answer()),
                           .asked_us = hop.asked_us(),
                           .answered_us = hop.answered_us()});
      }
      return to;
    }
    case pb::Reply::kReplicate:
      return ReplicateReply{.durable = reply->replicate().durable(),
                            .sequence = reply->replicate().sequence()};
    case pb::Reply::kRead: {
      pb::ReadReply* from = reply->mutable_read();
      ReadReply to;
      to.found = from->found();
      if (from->has_record()) to.record = std::move(*from->mutable_record());
      to.digest = from->digest();
      to.epoch = Epoch(from->epoch());
      to.rebuilding = from->rebuilding();
      to.closed = Epoch(from->closed());
      return to;
    }
    case pb::Reply::kRange: {
      pb::RangeReply* from = reply->mutable_range();
      RangeReply to;
      to.entries.reserve(from->entries_size());
      for (pb::RangeReply::Entry& entry : *from->mutable_entries()) {
        to.entries.push_back(
            {std::move(*entry.mutable_data_key()), std::move(*entry.mutable_record())});
      }
      to.more = from->more();
      to.epoch = Epoch(from->epoch());
      to.closed = Epoch(from->closed());
      return to;
    }
    case pb::Reply::kEpochs:
      return EpochsReply{Incarnation(reply->epochs().incarnation()),
                         DecodeEpochs(reply->epochs().epochs())};
    case pb::Reply::kReap:
      return ReapReply{{reply->reap().yes().begin(), reply->reap().yes().end()}};
    case pb::Reply::kRoots:
      return RootsReply{{reply->roots().roots().begin(), reply->roots().roots().end()}};
    case pb::Reply::kLeaves:
      return LeavesReply{std::move(*reply->mutable_leaves()->mutable_leaves())};
    case pb::Reply::kKeys: {
      pb::KeysReply* from = reply->mutable_keys();
      KeysReply to;
      to.keys.reserve(from->keys_size());
      for (pb::KeysReply::Entry& entry : *from->mutable_keys()) {
        if (entry.digest() == 0) return Malformed("a key without a digest");
        to.keys.push_back({std::move(*entry.mutable_data_key()), entry.digest()});
      }
      to.next = std::move(*from->mutable_next());
      return to;
    }
    case pb::Reply::kHurry: {
      HurryReply to;
      for (const uint64_t age_us : reply->hurry().age_us()) {
        to.ages.push_back(age_us == 0 ? std::nullopt
                                      : std::optional<Duration>(std::chrono::microseconds(
                                            std::min(age_us - 1, kDurationMaxUs))));
      }
      return to;
    }
    case pb::Reply::kPingFor:
      return PingForReply{.reached = reply->ping_for().reached()};
    case pb::Reply::kRecall: {
      pb::RecallReply* from = reply->mutable_recall();
      return RecallReply{.known = from->known(),
                         .sequence = from->sequence(),
                         .incarnation = Incarnation(from->incarnation()),
                         .peer_address = std::move(*from->mutable_peer_address())};
    }
    case pb::Reply::BODY_NOT_SET:
      break;
  }
  return Malformed("a reply of an unknown kind");
}

void EncodeError(const absl::Status& status, pb::Error* out) {
  const ErrorDetails details = DetailsOf(status);
  out->set_code(static_cast<int>(status.code()));
  out->set_message(std::string(status.message()));
  out->set_reason(details.reason);
  out->set_outcome(static_cast<uint32_t>(details.outcome));
  out->set_acks_primaries(details.acks.primaries);
  out->set_acks_fallbacks(details.acks.fallbacks);
  out->set_acks_required(details.acks.required);
  out->set_retry_after_us(std::chrono::duration_cast<std::chrono::microseconds>(
                              std::max(details.retry_after, Duration{0}))
                              .count());
}

absl::Status DecodeError(const pb::Error& error) {
  constexpr uint64_t kRetryAfterMaxUs = 24ull * 3600 * 1'000'000;
  const bool known = error.code() >= 0 && error.code() <= 16;
  ErrorDetails details;
  details.reason = error.reason();
  details.outcome = error.outcome() <= static_cast<uint32_t>(Outcome::kUnknown)
                        ? static_cast<Outcome>(error.outcome())
                        : Outcome::kUnknown;
  details.acks = {error.acks_primaries(), error.acks_fallbacks(), error.acks_required()};
  details.retry_after =
      std::chrono::microseconds(std::min(error.retry_after_us(), kRetryAfterMaxUs));
  return WithDetails(
      absl::Status(known ? static_cast<absl::StatusCode>(error.code()) : absl::StatusCode::kUnknown,
                   error.message()),
      details);
}

size_t ApproximateSize(const PeerRequest& request) {
  return kMessageOverheadBytes +
         std::visit(Overloaded{
                        [](const ForwardRequest& r) {
                          return SizeOf(r.item) + r.value.size() + r.context.width() * 16;
                        },
                        [](const ReplicateRequest& r) { return SizeOf(r.item) + r.record.size(); },
                        [](const ReadRequest& r) { return SizeOf(r.item); },
                        [](const RangeRequest& r) { return r.begin.size() + r.end.size(); },
                        [](const RootsRequest& r) { return r.partitions.size() * 3; },
                        [](const KeysRequest& r) { return r.leaves.size() * 3 + r.begin.size(); },
                        [](const EpochsRequest& r) { return r.partitions.size() * 12; },
                        [](const ReapRequest& r) {
                          size_t bytes = 0;
                          for (const KeyDigest& key : r.keys) bytes += key.data_key.size() + 16;
                          return bytes;
                        },
                        [](const PingRequest& r) { return r.gossip.size(); },
                        [](const PingForRequest& r) { return r.gossip.size(); },
                        [](const auto&) { return size_t{0}; },
                    },
                    request);
}

size_t ApproximateSize(const PeerReply& reply) {
  return kMessageOverheadBytes +
         std::visit(
             Overloaded{
                 [](const IntroduceReply& r) { return r.layout.size() + 256; },
                 [](const PingReply& r) { return r.gossip.size(); },
                 [](const ForwardReply& r) { return r.context.width() * 16 + r.hops.size() * 64; },
                 [](const ReadReply& r) { return r.record.has_value() ? r.record->size() : 0; },
                 [](const RangeReply& r) {
                   size_t bytes = 0;
                   for (const RangeReply::Entry& entry : r.entries) {
                     bytes += entry.data_key.size() + entry.record.size() + 16;
                   }
                   return bytes;
                 },
                 [](const EpochsReply& r) { return r.epochs.size() * 8; },
                 [](const ReapReply& r) { return r.yes.size(); },
                 [](const RootsReply& r) { return r.roots.size() * 8; },
                 [](const LeavesReply& r) { return r.leaves.size(); },
                 [](const KeysReply& r) {
                   size_t bytes = 0;
                   for (const KeyDigest& key : r.keys) bytes += key.data_key.size() + 16;
                   return bytes;
                 },
                 [](const auto&) { return size_t{0}; },
             },
             reply);
}

}  // namespace annulus
