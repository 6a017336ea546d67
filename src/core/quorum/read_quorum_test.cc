#include "core/quorum/read_quorum.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

using Asks = ReadQuorum::Asks;
using Nodes = ReadQuorum::Nodes;

const NodeId kA{1}, kB{2}, kC{3}, kF{4}, kG{5};
const Item kItem{"default", "k", ""};

Record RecordWith(std::initializer_list<uint64_t> counters) {
  Record record;
  for (uint64_t counter : counters) {
    Sibling sibling{.dot = {ActorId{7}, counter}, .value = "v"};
    sibling.request_id[0] = static_cast<char>(counter);
    Write(&record, {}, sibling);
  }
  return record;
}

ReplicaAnswer Whole(Record record) {
  return {.found = true, .record = std::move(record), .stamp = Epoch{1}};
}
ReplicaAnswer Digest(const Record& record) {
  return {.found = true, .digest = DigestOf(kItem, record), .stamp = Epoch{1}};
}
ReplicaAnswer Nothing() { return {.found = false, .stamp = Epoch{1}}; }

bool Nobody(NodeId) { return false; }

TEST(ReadQuorum, AsksAsManyAsItNeedsAndOneOfThemForTheWholeRecord) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  EXPECT_EQ(quorum.Start(Nobody), (Asks{{kA, true}, {kB, false}}));
  EXPECT_EQ(quorum.NextAsks(), Asks{});
}

ReplicaAnswer At(ReplicaAnswer answer, uint64_t stamp, uint64_t closed) {
  answer.stamp = Epoch{stamp};
  answer.closed = Epoch{closed};
  return answer;
}

TEST(ReadQuorum, WhatWasReadBeforeAnotherOwnerClosedIsForgottenAndAskedForAgain) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}});
  quorum.Start(Nobody);
  quorum.Answer(kA, At(Whole(RecordWith({1})), 1, 1));
  quorum.Answer(kB, At(Nothing(), 2, 2));  // It has deleted that.
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.merged(), Record());
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kA, true}}));
  quorum.Answer(kA, At(Nothing(), 2, 2));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), Record());
}

TEST(ReadQuorum, ALateAnswerOfAnEarlierEpochIsNotMerged) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}});
  quorum.Start(Nobody);
  quorum.Answer(kB, At(Nothing(), 2, 2));
  quorum.Answer(kA, At(Whole(RecordWith({1})), 1, 1));
  EXPECT_EQ(quorum.merged(), Record());
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kA, true}}));
}

TEST(ReadQuorum, AnOwnerThatStaysBehindIsNotAskedForEver) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}});
  quorum.Start(Nobody);
  quorum.Answer(kB, At(Nothing(), 2, 2));
  for (int asks = 0; asks < 10; ++asks) {
    quorum.Answer(kA, At(Nothing(), 1, 1));
    if (quorum.NextAsks().empty()) break;
    EXPECT_LT(asks, 5);
  }
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
}

TEST(ReadQuorum, WhatAFallbackKeepsFromBeforeTheCloseHadBeenDelivered) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}, .fallbacks = {kF}});
  quorum.Start([](NodeId node) { return node == kA; });
  quorum.Answer(kB, At(Nothing(), 3, 3));
  quorum.Answer(kF, At(Whole(RecordWith({1})), 2, 0));
  EXPECT_EQ(quorum.merged(), Record());
}

TEST(ReadQuorum, AnEqualDigestSettles) {
  const Record record = RecordWith({1});
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  quorum.Answer(kB, Digest(record));
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kA, Whole(record));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), record);
}

TEST(ReadQuorum, ADigestThatDiffersIsAskedForTheWhole) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  quorum.Answer(kA, Whole(RecordWith({1})));
  quorum.Answer(kB, Digest(RecordWith({1, 2})));
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kB, true}}));
  quorum.Answer(kB, Whole(RecordWith({1, 2})));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), RecordWith({1, 2}));
}

TEST(ReadQuorum, AFailureAsksTheNextAndForTheWholeIfThatIsMissing) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  quorum.Fail(kA);
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kC, true}}));
  quorum.Fail(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
  EXPECT_EQ(quorum.Hedge(), (Asks{{kA, true}}));  // All have been asked: a failed one, then, again.
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
}

TEST(ReadQuorum, ThoseThatFailedAreAskedAgainInTurn) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  quorum.Answer(kA, Nothing());
  quorum.Fail(kB);
  quorum.NextAsks();
  quorum.Fail(kC);
  EXPECT_EQ(quorum.Hedge(), (Asks{{kB, true}}));
  quorum.Fail(kB);
  EXPECT_EQ(quorum.Hedge(), (Asks{{kC, true}}));
}

TEST(ReadQuorum, NothingThereIsAnAnswer) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  quorum.Answer(kA, Nothing());
  quorum.Answer(kA, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kB, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), Record{});
}

TEST(ReadQuorum, ASilenceAsksOneMore) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  EXPECT_EQ(quorum.Hedge(), (Asks{{kC, true}}));
  EXPECT_EQ(quorum.Hedge(), Asks{});
  quorum.Answer(kB, Whole(RecordWith({1})));
  quorum.Answer(kC, Whole(RecordWith({1})));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, AnEarlyHedgeAsksOneOwnerMoreAndTakesNobodyForSilent) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}, .fallbacks = {kF}});
  quorum.Start(Nobody);
  EXPECT_EQ(quorum.HedgeEarly(), (Asks{{kC, true}}));
  EXPECT_EQ(quorum.HedgeEarly(), Asks{});
  quorum.Answer(kA, Nothing());
  quorum.Answer(kF, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kC, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, WhatTheClientHasSeenIsAskedForUntilItIsThere) {
  const Record seen = RecordWith({1, 2});
  ReadQuorum quorum(kItem, 1, {.owners = {kA, kB, kC}}, seen.vector);
  EXPECT_EQ(quorum.Start(Nobody).size(), 1u);
  quorum.Answer(kA, Whole(RecordWith({1})));
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.NextAsks().size(), 2u);
  quorum.Fail(kC);  // One owner is down, and not needed once another has it.
  quorum.Answer(kB, Whole(seen));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, WhatNoOwnerHasWasReapedAndOneThatFailsMayHaveIt) {
  const Record seen = RecordWith({1, 2});
  ReadQuorum quorum(kItem, 1, {.owners = {kA, kB}}, seen.vector);
  quorum.Start(Nobody);
  quorum.Answer(kA, Nothing());
  quorum.NextAsks();
  quorum.Fail(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
  quorum.Hedge();
  quorum.Answer(kB, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);  // A hint may have reached them meanwhile.
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kA, true}, {kB, true}}));
  quorum.Answer(kA, Nothing());
  quorum.Answer(kB, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, AHintOfAnybodyCoversWhatTheClientHasSeen) {
  const Record seen = RecordWith({1, 2});
  ReadQuorum quorum(kItem, 1, {.owners = {kA}, .fallbacks = {kF}, .others = {kF, kG}}, seen.vector);
  quorum.Start(Nobody);
  quorum.Answer(kA, Nothing());
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kF, true}, {kG, true}}));
  quorum.Answer(kF, Nothing());
  quorum.Answer(kG, Whole(seen));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), seen);
}

TEST(ReadQuorum, AFallbackStandsInForAnOwnerThatFailed) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}, .fallbacks = {kF}});
  EXPECT_EQ(quorum.Start(Nobody), (Asks{{kA, true}, {kB, false}}));
  quorum.Fail(kB);
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kF, false}}));
  quorum.Answer(kF, Whole(RecordWith({2})));
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kA, Whole(RecordWith({1})));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), RecordWith({1, 2}));
  EXPECT_EQ(quorum.Lacking(), Nodes{kA});
}

TEST(ReadQuorum, AFallbackDoesNotCountWhileAnOwnerMayAnswer) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}, .fallbacks = {kF}});
  quorum.Start([](NodeId node) { return node == kC; });
  quorum.Answer(kA, Nothing());
  quorum.Answer(kF, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Hedge();  // From now on kB is taken for silent, as kC is from the start.
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, AnOwnerWhoseDigestDiffersIsAskedForTheWholeThoughFallbacksHaveAnswered) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}, .fallbacks = {kF}});
  quorum.Start(Nobody);
  quorum.Answer(kA, Whole(RecordWith({1})));
  quorum.Answer(kB, Digest(RecordWith({1, 2})));
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kB, true}}));
  EXPECT_EQ(quorum.HedgeEarly(), (Asks{{kC, false}}));
  quorum.Answer(kC, Digest(RecordWith({1, 2})));
  EXPECT_EQ(quorum.NextAsks(), Asks{});  // The whole of B is under way.
  EXPECT_EQ(quorum.Hedge(), (Asks{{kC, true}}));
  quorum.Answer(kC, Digest(RecordWith({1, 2, 3})));  // To the first question, late.
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kC, true}}));
  EXPECT_EQ(quorum.Hedge(), (Asks{{kF, false}}));
  quorum.Answer(kF, Nothing());
  quorum.Answer(kC, Digest(RecordWith({1, 2, 3})));
  quorum.Fail(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kC, true}}));
  quorum.Answer(kC, Whole(RecordWith({1, 2, 3})));
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, AStrictReadAsksOwnersThatAreSilentToo) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB}});
  EXPECT_EQ(quorum.Start([](NodeId node) { return node == kB; }), (Asks{{kA, true}, {kB, false}}));
  quorum.Answer(kA, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kB, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(ReadQuorum, AnOwnerThatIsRebuildingIsMergedAndDoesNotCount) {
  ReadQuorum quorum(kItem, 2, {.owners = {kA, kB, kC}});
  quorum.Start(Nobody);
  ReplicaAnswer rebuilding = Whole(RecordWith({1}));
  rebuilding.rebuilding = true;
  quorum.Answer(kA, rebuilding);
  EXPECT_EQ(quorum.NextAsks(), (Asks{{kC, false}}));
  quorum.Answer(kB, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Answer(kC, Nothing());
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.merged(), RecordWith({1}));
  EXPECT_EQ(quorum.Lacking(), (Nodes{kB, kC}));
  EXPECT_EQ(quorum.Level(), Nodes{kA});
}

}  // namespace
}  // namespace annulus
