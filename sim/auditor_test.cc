#include "sim/auditor.h"

#include "core/hint/hint.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/epochs.h"

namespace annulus::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// What each rule says when it is broken: by batches and messages that no node would write or send.
class AuditorTest : public testing::Test {
 protected:
  AuditorTest() {
    EXPECT_TRUE(cluster_.WaitReady());
    world_.RunFor(2s);
    EXPECT_TRUE(client_.With(Consistency::kAll).Put("k", "v").ok());
    owners_ = cluster_.OwnersOf(kItem);
    for (int i = 1; i <= cluster_.nodes(); ++i) {
      if (std::find(owners_.begin(), owners_.end(), i) == owners_.end()) other_ = i;
    }
    EXPECT_THAT(auditor_.violations(), IsEmpty());
  }

  const std::vector<std::string>& Said() const { return auditor_.violations(); }
  StoredRecord HeldBy(int node) {
    return *DecodeStored(*cluster_.Node(node).disk().Peek(ColumnFamily::kData, key_));
  }
  NodeId IdOf(int node) { return cluster_.Node(node).node()->id(); }
  void Write(int node, ColumnFamily family, Bytes key, std::optional<Bytes> value) {
    const StorageBatch batch = {{family, std::move(key), std::move(value)}};
    auditor_.OnApply(static_cast<uint16_t>(node), batch);
    cluster_.Node(node).disk().ApplyForTest(batch);
  }
  void SetEpochs(int node, Epoch current, Epoch closed) {
    Write(node, ColumnFamily::kMeta, EpochsKey(LeafOf(key_).partition),
          Encode(PartitionEpochs{current, closed}));
  }
  // A record with one more value.
  static StoredRecord Changed(StoredRecord stored, Epoch epoch) {
    annulus::Write(&stored.record, stored.record.vector,
                   Sibling{.dot = {ActorId{77}, 1}, .value = "w"});
    stored.epoch = epoch;
    return stored;
  }
  void KeepHint(const StoredRecord& stored) {
    Write(other_, ColumnFamily::kHint, HintKey(IdOf(owners_[0]), key_),
          Encode(Hint{.counted = true, .stored = stored}));
  }

  const Item kItem = Client::ItemOf("k");
  World world_{1};
  Cluster cluster_{&world_, {.nodes = 4, .repair_interval = 1h, .reap_interval = 1h}};
  Auditor auditor_{&cluster_};
  Client client_{&cluster_, 1};
  Bytes key_ = DataKey(kItem, cluster_.options().partitions);
  std::vector<int> owners_;
  int other_ = 0;
};

TEST_F(AuditorTest, AnAcknowledgementWithoutItsCopies) {
  absl::StatusOr<WriteAnswer> answer = client_.Put("k", "w");
  ASSERT_TRUE(answer.ok());
  auditor_.OnWritten(kItem, answer, world_.now());
  EXPECT_THAT(Said(), IsEmpty());
  answer->acks.required = 4;
  auditor_.OnWritten(kItem, answer, world_.now());
  EXPECT_THAT(Said(), ElementsAre(StartsWith("FEWER COPIES k")));
}

TEST_F(AuditorTest, AHintThatGoesUndelivered) {
  const StoredRecord held = HeldBy(owners_[0]);
  KeepHint(held);
  Write(other_, ColumnFamily::kHint, HintKey(IdOf(owners_[0]), key_), std::nullopt);
  EXPECT_THAT(Said(), IsEmpty());  // Its target has it.
  KeepHint(Changed(held, Epoch(1)));
  Write(other_, ColumnFamily::kHint, HintKey(IdOf(owners_[0]), key_), std::nullopt);
  EXPECT_THAT(Said(), ElementsAre(StartsWith("HINT DROPPED k")));
}

TEST_F(AuditorTest, AHintOfAStampThatIsNotTakenAnyMoreOrRises) {
  SetEpochs(other_, Epoch(3), Epoch(3));
  KeepHint(Changed(HeldBy(owners_[0]), Epoch(2)));
  EXPECT_THAT(Said(), ElementsAre(StartsWith("KEEPS STALE k")));
  KeepHint(Changed(HeldBy(owners_[0]), Epoch(3)));
  EXPECT_THAT(Said(), ElementsAre(StartsWith("KEEPS STALE k"), StartsWith("STAMP RISES k")));
}

TEST_F(AuditorTest, ARecordThatIsDeletedUnmarkedOrThoughItChanged) {
  Write(owners_[0], ColumnFamily::kData, key_, std::nullopt);
  EXPECT_THAT(Said(), ElementsAre(StartsWith("NOT MARKED k"), StartsWith("CHANGED SINCE k")));
}

TEST_F(AuditorTest, AValueThatWasSentAndIsStillTakenAfterItsSuccessorIsDeletedForGood) {
  const int owner = owners_[0];
  const StoredRecord old = HeldBy(owner);
  StoredRecord dead = old;
  annulus::Write(&dead.record, dead.record.vector,
                 Sibling{.dot = {ActorId{77}, 1}, .tombstone = true});
  dead.marked = true;
  Write(owner, ColumnFamily::kData, key_, Encode(dead));
  auditor_.OnCall(1, 1, ReplicateRequest{kItem, Encode(old.record), Epoch(2)});
  SetEpochs(owner, Epoch(3), Epoch(3));
  Write(owner, ColumnFamily::kData, key_, std::nullopt);
  EXPECT_THAT(Said(), IsEmpty());  // Stamp 2 is refused.
  auditor_.OnCall(1, 2, ReplicateRequest{kItem, Encode(old.record), Epoch(3)});
  EXPECT_THAT(Said(), ElementsAre(StartsWith("BRINGS BACK k")));
}

TEST_F(AuditorTest, AMarkedRecordInAnExchange) {
  StoredRecord marked = HeldBy(owners_[0]);
  marked.marked = true;
  Write(owners_[0], ColumnFamily::kData, key_, Encode(marked));
  world_.RunFor(5s);
  KeysReply reply{.keys = {{key_, 7}}};
  auditor_.OnAnswer(static_cast<uint16_t>(owners_[0]), 1, 1, PeerReply(reply));
  EXPECT_THAT(Said(), ElementsAre(StartsWith("MARKED IS NAMED k")));
}

TEST_F(AuditorTest, AnOwnerThatTakesSomethingUntold) {
  const StoredRecord held = HeldBy(owners_[0]);
  SimProcess& owner = cluster_.Node(owners_[0]);
  owner.Crash();
  owner.Restart();
  Write(owners_[0], ColumnFamily::kData, key_, Encode(Changed(held, Epoch(1))));
  EXPECT_THAT(Said(), ElementsAre(StartsWith("NOT TOLD k")));
}

TEST_F(AuditorTest, AReadOfWhatAnOwnerTakesNoMore) {
  const auto process = static_cast<uint16_t>(other_);
  const auto by = static_cast<uint16_t>(owners_[0]);
  Record record = HeldBy(owners_[0]).record;
  GetAnswer shown;
  shown.siblings.push_back({.value = "v", .request_id = record.siblings[0].request_id});
  for (const bool closes : {false, true}) {
    auditor_.OnGet(process, {.item = kItem, .r = {.number = 1}});
    for (const uint64_t call : {1, 2}) auditor_.OnCall(process, call, ReadRequest{kItem});
    ReadReply old{.found = true, .record = Encode(record), .epoch = Epoch(1), .closed = Epoch(1)};
    auditor_.OnAnswer(by, process, 1, PeerReply(old));
    auditor_.OnAnswerArrived(by, process, 1, PeerReply(old));
    ReadReply other{.epoch = Epoch(2), .closed = Epoch(closes ? 2 : 1)};
    auditor_.OnAnswer(by, process, 2, PeerReply(other));
    auditor_.OnAnswerArrived(by, process, 2, PeerReply(other));
    auditor_.OnGot(process, kItem, shown);
    if (!closes) {
      EXPECT_THAT(Said(), IsEmpty());
    }
  }
  EXPECT_THAT(Said(), ElementsAre(StartsWith("STALE READ k")));
}

TEST_F(AuditorTest, AStrictReadOfTooFew) {
  const auto process = static_cast<uint16_t>(other_);
  const auto by = static_cast<uint16_t>(owners_[0]);
  for (const bool rebuilding : {false, true}) {
    auditor_.OnGet(process, {.item = kItem, .r = {.number = 1}, .sloppy = false});
    auditor_.OnCall(process, 1, ReadRequest{kItem});
    ReadReply reply{.epoch = Epoch(1), .closed = Epoch(1), .rebuilding = rebuilding};
    auditor_.OnAnswer(by, process, 1, PeerReply(reply));
    auditor_.OnAnswerArrived(by, process, 1, PeerReply(reply));
    auditor_.OnGot(process, kItem, GetAnswer());
    if (!rebuilding) {
      EXPECT_THAT(Said(), IsEmpty());
    }
  }
  EXPECT_THAT(Said(), ElementsAre(StartsWith("TOO FEW ANSWERS k")));
}

}  // namespace
}  // namespace annulus::sim
