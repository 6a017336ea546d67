#include "adapters/grpc/peer_codec.h"

#include <gtest/gtest.h>

#include <limits>

namespace annulus {
namespace {

namespace pb = peer::v1;

const std::string kRaw("\x00\xff\x80key", 6);

VersionVector SomeVector() {
  VersionVector vector;
  for (uint64_t counter : {1, 2, 5}) vector.Add({ActorId(7), counter});
  vector.Add({ActorId(std::numeric_limits<uint64_t>::max()), 1});
  return vector;
}

RequestId SomeRequestId() {
  RequestId id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<char>(250 + i);
  return id;
}

// Over the wire's bytes, as the real thing goes.
template <class Request>
Request Pass(Request request) {
  pb::Request wire;
  EncodeRequest(std::move(request), &wire);
  pb::Request arrived;
  EXPECT_TRUE(arrived.ParseFromString(wire.SerializeAsString()));
  absl::StatusOr<PeerRequest> decoded = DecodeRequest(&arrived);
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return std::get<Request>(*std::move(decoded));
}

template <class Reply>
Reply PassReply(Reply reply) {
  pb::Reply wire;
  EncodeReply(PeerReply(std::move(reply)), &wire);
  pb::Reply arrived;
  EXPECT_TRUE(arrived.ParseFromString(wire.SerializeAsString()));
  PeerResult decoded = DecodeReply(&arrived);
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return std::get<Reply>(*std::move(decoded));
}

TEST(PeerCodec, PassesIntroduceAndPing) {
  Pass(IntroduceRequest{});
  EXPECT_EQ(Pass(PingRequest{.gossip = kRaw}).gossip, kRaw);
  const PingForRequest ping_for =
      Pass(PingForRequest{.target = NodeId(~0ull), .timeout = 80ms, .gossip = kRaw});
  EXPECT_EQ(ping_for.target, NodeId(~0ull));
  EXPECT_EQ(ping_for.timeout, Duration(80ms));
  EXPECT_EQ(ping_for.gossip, kRaw);
  const IntroduceReply reply = PassReply(IntroduceReply{.cluster = "c",
                                                        .name = "n",
                                                        .id = NodeId(~0ull),
                                                        .incarnation = Incarnation(3),
                                                        .storage = false,
                                                        .peer_address = "a:1",
                                                        .client_address = "a:2",
                                                        .zone = "z",
                                                        .layout = kRaw,
                                                        .formation_digest = 99,
                                                        .claim = Claim::kStarting,
                                                        .started = WallTime{-7}});
  EXPECT_EQ(reply.cluster, "c");
  EXPECT_EQ(reply.name, "n");
  EXPECT_EQ(reply.id, NodeId(~0ull));
  EXPECT_EQ(reply.incarnation, Incarnation(3));
  EXPECT_FALSE(reply.storage);
  EXPECT_EQ(reply.peer_address, "a:1");
  EXPECT_EQ(reply.client_address, "a:2");
  EXPECT_EQ(reply.zone, "z");
  EXPECT_EQ(reply.layout, kRaw);
  EXPECT_EQ(reply.formation_digest, 99u);
  EXPECT_EQ(reply.claim, Claim::kStarting);
  EXPECT_EQ(reply.started, WallTime{-7});

  EXPECT_EQ(PassReply(PingReply{.gossip = kRaw}).gossip, kRaw);
  EXPECT_TRUE(PassReply(PingForReply{.reached = true}).reached);
}

TEST(PeerCodec, PassesRecall) {
  EXPECT_EQ(Pass(RecallRequest{.node = NodeId(~0ull)}).node, NodeId(~0ull));
  const RecallReply reply = PassReply(RecallReply{
      .known = true, .sequence = ~0ull, .incarnation = Incarnation(5), .peer_address = "a:1"});
  EXPECT_TRUE(reply.known);
  EXPECT_EQ(reply.sequence, ~0ull);
  EXPECT_EQ(reply.incarnation, Incarnation(5));
  EXPECT_EQ(reply.peer_address, "a:1");
  EXPECT_FALSE(PassReply(RecallReply{}).known);
}

TEST(PeerCodec, PassesForward) {
  const ForwardRequest request = Pass(ForwardRequest{.item = {"b", kRaw, "s"},
                                                     .value = kRaw,
                                                     .tombstone = true,
                                                     .blind_delete = true,
                                                     .context = SomeVector(),
                                                     .request_id = SomeRequestId(),
                                                     .acks_required = 2,
                                                     .expires = WallTime{-5},
                                                     .explain = true,
                                                     .sloppy = false,
                                                     .fallback_for = NodeId(9)});
  EXPECT_EQ(request.item, (Item{"b", kRaw, "s"}));
  EXPECT_EQ(request.value, kRaw);
  EXPECT_TRUE(request.tombstone);
  EXPECT_TRUE(request.blind_delete);
  EXPECT_EQ(request.context, SomeVector());
  EXPECT_EQ(request.request_id, SomeRequestId());
  EXPECT_EQ(request.acks_required, 2u);
  EXPECT_EQ(request.expires, WallTime{-5});
  EXPECT_TRUE(request.explain);
  EXPECT_FALSE(request.sloppy);
  EXPECT_EQ(request.fallback_for, NodeId(9));

  ForwardReply reply{.dot = {ActorId(1), 2},
                     .context = SomeVector(),
                     .acks = {1, 2, 3},
                     .durable = false,
                     .siblings = 4};
  reply.hops.push_back(
      {.node = NodeId(5), .kind = 3, .answer = "ok", .asked_us = 6, .answered_us = 7});
  reply = PassReply(reply);
  EXPECT_EQ(reply.dot, (Dot{ActorId(1), 2}));
  EXPECT_EQ(reply.context, SomeVector());
  EXPECT_EQ(reply.acks, (Acks{1, 2, 3}));
  EXPECT_FALSE(reply.durable);
  EXPECT_EQ(reply.siblings, 4u);
  ASSERT_EQ(reply.hops.size(), 1u);
  EXPECT_EQ(reply.hops[0].node, NodeId(5));
  EXPECT_EQ(reply.hops[0].kind, 3);
  EXPECT_EQ(reply.hops[0].answer, "ok");
  EXPECT_EQ(reply.hops[0].asked_us, 6u);
  EXPECT_EQ(reply.hops[0].answered_us, 7u);
}

TEST(PeerCodec, PassesReplicate) {
  const ReplicateRequest request = Pass(ReplicateRequest{.item = {"b", "k", ""},
                                                         .record = kRaw,
                                                         .epoch = Epoch(8),
                                                         .hint_for = NodeId(7),
                                                         .counted = false});
  EXPECT_EQ(request.item, (Item{"b", "k", ""}));
  EXPECT_EQ(request.record, kRaw);
  EXPECT_EQ(request.epoch, Epoch(8));
  EXPECT_EQ(request.hint_for, NodeId(7));
  EXPECT_FALSE(request.counted);
  EXPECT_TRUE(PassReply(ReplicateReply{.durable = true}).durable);
  EXPECT_EQ(PassReply(ReplicateReply{.sequence = ~0ull}).sequence, ~0ull);
  EXPECT_FALSE(PassReply(ReplicateReply{.durable = false}).durable);
}

TEST(PeerCodec, PassesRead) {
  const ReadRequest request = Pass(ReadRequest{
      .item = {"b", "k", "s"}, .whole_up_to_bytes = std::numeric_limits<uint64_t>::max()});
  EXPECT_EQ(request.item, (Item{"b", "k", "s"}));
  EXPECT_EQ(request.whole_up_to_bytes, std::numeric_limits<uint64_t>::max());

  ReadReply reply = PassReply(ReadReply{.found = true,
                                        .record = kRaw,
                                        .digest = ~0ull,
                                        .epoch = Epoch(2),
                                        .closed = Epoch(1),
                                        .rebuilding = true});
  EXPECT_EQ(reply.closed, Epoch(1));
  EXPECT_TRUE(reply.found);
  EXPECT_EQ(reply.record, kRaw);
  EXPECT_EQ(reply.digest, ~0ull);
  EXPECT_EQ(reply.epoch, Epoch(2));
  EXPECT_TRUE(reply.rebuilding);
  // An empty record is not the same as none.
  EXPECT_EQ(PassReply(ReadReply{.found = true, .record = ""}).record, "");
  EXPECT_EQ(PassReply(ReadReply{.found = true}).record, std::nullopt);
}

TEST(PeerCodec, PassesRange) {
  const RangeRequest request = Pass(RangeRequest{.partition = PartitionId(255),
                                                 .begin = kRaw,
                                                 .end = "z",
                                                 .values = true,
                                                 .entries_max = 10,
                                                 .bytes_max = 1 << 20});
  EXPECT_EQ(request.partition, PartitionId(255));
  EXPECT_EQ(request.begin, kRaw);
  EXPECT_EQ(request.end, "z");
  EXPECT_TRUE(request.values);
  EXPECT_EQ(request.entries_max, 10u);
  EXPECT_EQ(request.bytes_max, 1u << 20);

  const RangeReply reply = PassReply(RangeReply{
      .entries = {{"k1", kRaw}, {"k2", ""}}, .more = true, .epoch = Epoch(4), .closed = Epoch(3)});
  ASSERT_EQ(reply.entries.size(), 2u);
  EXPECT_EQ(reply.entries[0].data_key, "k1");
  EXPECT_EQ(reply.entries[0].record, kRaw);
  EXPECT_EQ(reply.entries[1].data_key, "k2");
  EXPECT_TRUE(reply.more);
  EXPECT_EQ(reply.epoch, Epoch(4));
  EXPECT_EQ(reply.closed, Epoch(3));
}

TEST(PeerCodec, PassesAntiEntropy) {
  const std::vector<PartitionId> partitions = {PartitionId(0), PartitionId(65535)};
  EXPECT_EQ(Pass(RootsRequest{partitions}).partitions, partitions);
  EXPECT_EQ(PassReply(RootsReply{{1, ~0ull}}).roots, (std::vector<uint64_t>{1, ~0ull}));

  const LeavesRequest leaves = Pass(LeavesRequest{PartitionId(3), {0, 1023}});
  EXPECT_EQ(leaves.partition, PartitionId(3));
  EXPECT_EQ(leaves.recompute, (std::vector<uint32_t>{0, 1023}));
  EXPECT_EQ(PassReply(LeavesReply{kRaw}).leaves, kRaw);

  const KeysRequest keys = Pass(KeysRequest{PartitionId(4), {5, 6}, kRaw, 1 << 20});
  EXPECT_EQ(keys.partition, PartitionId(4));
  EXPECT_EQ(keys.leaves, (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(keys.begin, kRaw);
  EXPECT_EQ(keys.bytes_max, 1u << 20);
  const KeysReply page = PassReply(KeysReply{{{kRaw, ~0ull}, {"k", 1}}, "next"});
  EXPECT_EQ(page.keys, (std::vector<KeyDigest>{{kRaw, ~0ull}, {"k", 1}}));
  EXPECT_EQ(page.next, "next");

  EXPECT_EQ(Pass(HurryRequest{partitions}).partitions, partitions);
  const std::vector<std::optional<Duration>> ages = {std::nullopt, Duration(0), Duration(5s)};
  EXPECT_EQ(PassReply(HurryReply{ages}).ages, ages);
}

TEST(PeerCodec, PassesErrorsWithTheirDetails) {
  const ErrorDetails details{.reason = "QUORUM_NOT_REACHED",
                             .outcome = Outcome::kUnknown,
                             .acks = {1, 0, 2},
                             .retry_after = 1500us};
  pb::Reply wire;
  EncodeReply(WithDetails(absl::UnavailableError("two owners are silent"), details), &wire);
  const PeerResult decoded = DecodeReply(&wire);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(decoded.status().message(), "two owners are silent");
  EXPECT_EQ(DetailsOf(decoded.status()), details);
}

TEST(PeerCodec, RefusesARequestIdOfTheWrongLength) {
  for (const char* id : {"", "short", "seventeen bytes.."}) {
    pb::Request wire;
    wire.mutable_forward()->set_request_id(id);
    SomeVector().EncodeTo(wire.mutable_forward()->mutable_context());
    EXPECT_EQ(DecodeRequest(&wire).status().code(), absl::StatusCode::kInvalidArgument) << id;
  }
}

TEST(PeerCodec, RefusesADamagedVector) {
  Bytes good;
  SomeVector().EncodeTo(&good);
  for (const Bytes& bad : {good.substr(0, good.size() - 1), good + "x", Bytes("\xff\xff\xff")}) {
    pb::Request request;
    request.mutable_forward()->set_request_id(std::string(16, 'r'));
    request.mutable_forward()->set_context(bad);
    EXPECT_EQ(DecodeRequest(&request).status().code(), absl::StatusCode::kDataLoss);
    pb::Reply reply;
    reply.mutable_forward()->set_context(bad);
    EXPECT_EQ(DecodeReply(&reply).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(PeerCodec, RefusesWhatItDoesNotKnow) {
  pb::Request request;
  EXPECT_EQ(DecodeRequest(&request).status().code(), absl::StatusCode::kInvalidArgument);
  pb::Reply reply;
  EXPECT_EQ(DecodeReply(&reply).status().code(), absl::StatusCode::kInvalidArgument);
  reply.mutable_introduce()->set_claim(3);
  EXPECT_EQ(DecodeReply(&reply).status().code(), absl::StatusCode::kInvalidArgument);
  reply.mutable_error()->set_code(0);
  EXPECT_FALSE(DecodeReply(&reply).ok());
  reply.mutable_error()->set_code(4711);
  reply.mutable_error()->set_outcome(17);
  EXPECT_EQ(DecodeReply(&reply).status().code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(DetailsOf(DecodeReply(&reply).status()).outcome, Outcome::kUnknown);
}

TEST(PeerCodec, MovesValuesInsteadOfCopyingThem) {
  Bytes record(1 << 20, 'r');
  const char* bytes = record.data();
  pb::Request wire;
  EncodeRequest(ReplicateRequest{.item = {"b", "k", ""}, .record = std::move(record)}, &wire);
  EXPECT_EQ(wire.replicate().record().data(), bytes);
  absl::StatusOr<PeerRequest> decoded = DecodeRequest(&wire);
  EXPECT_EQ(std::get<ReplicateRequest>(*decoded).record.data(), bytes);
}

TEST(PeerCodec, PassesReaping) {
  const std::vector<PartitionId> partitions = {PartitionId(0), PartitionId(65535)};
  const std::vector<PartitionEpochs> epochs = {{Epoch(3), Epoch(2), true, Epoch(9)},
                                               {Epoch(1ull << 40), Epoch(1), false}};
  const EpochsRequest asked = Pass(EpochsRequest{partitions, epochs, true});
  EXPECT_EQ(asked.partitions, partitions);
  EXPECT_EQ(asked.epochs, epochs);
  EXPECT_TRUE(asked.wants_round);
  const EpochsReply told = PassReply(EpochsReply{Incarnation(~0ull), epochs});
  EXPECT_EQ(told.incarnation, Incarnation(~0ull));
  EXPECT_EQ(told.epochs, epochs);

  const ReapRequest reap = Pass(ReapRequest{.partition = PartitionId(9),
                                            .incarnation = Incarnation(8),
                                            .epoch = Epoch(7),
                                            .step = ReapStep::kMark,
                                            .keys = {{kRaw, 5}, {"k", ~0ull}}});
  EXPECT_EQ(reap.partition, PartitionId(9));
  EXPECT_EQ(reap.incarnation, Incarnation(8));
  EXPECT_EQ(reap.epoch, Epoch(7));
  EXPECT_EQ(reap.step, ReapStep::kMark);
  EXPECT_EQ(reap.keys, (std::vector<KeyDigest>{{kRaw, 5}, {"k", ~0ull}}));
  EXPECT_EQ(PassReply(ReapReply{{true, false}}).yes, (std::vector<bool>{true, false}));
  EXPECT_EQ(PassReply(ReapReply{}).yes, std::vector<bool>());
}

TEST(PeerCodec, RefusesAStepOfReapingThatDoesNotExist) {
  for (const uint32_t step : {0u, 7u}) {
    peer::v1::Request wire;
    wire.mutable_reap()->set_step(step);
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeRequest(&wire).status())) << step;
  }
}

TEST(PeerCodec, EstimatesSizesFromTheBytesInside) {
  EXPECT_GT(ApproximateSize(PeerRequest(ReplicateRequest{.record = Bytes(1000, 'r')})), 1000u);
  EXPECT_LT(ApproximateSize(PeerRequest(ReplicateRequest{.record = Bytes(1000, 'r')})), 1200u);
  EXPECT_GT(ApproximateSize(PeerReply(ReadReply{.record = Bytes(1000, 'r')})), 1000u);
  EXPECT_GT(ApproximateSize(PeerReply(RangeReply{.entries = {{"k", Bytes(1000, 'r')}}})), 1000u);
}

}  // namespace
}  // namespace annulus
