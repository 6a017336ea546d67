#include "client/pipeline.h"

#include <atomic>

#include "absl/strings/str_cat.h"
#include "client/fake_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

kv::v1::Operation Put(const std::string& key, const std::string& value) {
  kv::v1::Operation operation;
  operation.mutable_put()->set_bucket("b");
  operation.mutable_put()->set_key(key);
  operation.mutable_put()->set_value(value);
  return operation;
}

PipelineOptions Options(std::vector<std::string> endpoints, int retries) {
  PipelineOptions options;
  options.client.endpoints = std::move(endpoints);
  options.client.retries = retries;
  options.client.timeout = milliseconds(2000);
  options.operations_max = 64;
  return options;
}

struct Tally {
  std::atomic<int> ok{0}, failed{0}, unknown{0};
  Pipeline::Callback Count() {
    return [this](const absl::StatusOr<kv::v1::OperationResult>& result) {
      if (result.ok()) {
        ++ok;
      } else {
        ++failed;
        unknown += DetailsOf(result.status()).outcome == Outcome::kUnknown;
      }
    };
  }
};

TEST(PipelineTest, AnswersEveryOperationOnce) {
  FakeStore store;
  Pipeline pipeline(Options({store.Serve()}, 0));
  ASSERT_TRUE(pipeline.Connect().ok());
  Tally tally;
  for (int i = 0; i < 5000; ++i) pipeline.Start(Put(absl::StrCat("k", i), "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 5000);
  EXPECT_EQ(store.puts(), 5000u);
  EXPECT_EQ(pipeline.retried(), 0u);
}

TEST(PipelineTest, StartsTheNextStepFromACallback) {
  FakeStore store;
  Pipeline pipeline(Options({store.Serve()}, 0));
  Tally tally;
  for (int i = 0; i < 300; ++i) {
    pipeline.Start(Put(absl::StrCat("k", i), "1"), [&](auto result) {
      ASSERT_TRUE(result.ok());
      pipeline.StartChained(Put("other", "2"), tally.Count());
    });
  }
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 300);
}

TEST(PipelineTest, RefusesWhatIsTooLargeWithoutBreakingTheRest) {
  FakeStore store;
  Pipeline pipeline(Options({store.Serve()}, 0));
  Tally tally;
  pipeline.Start(Put("a", "v"), tally.Count());
  pipeline.Start(Put("b", std::string(3 << 20, 'x')), tally.Count());
  pipeline.Start(Put("c", "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 2);
  EXPECT_EQ(tally.failed, 1);
  EXPECT_EQ(tally.unknown, 0);
}

TEST(PipelineTest, RepeatsUnderTheSameRequestId) {
  FakeStore store;
  // Every third operation is carried out, and says that it is not known.
  store.SetFault([](uint64_t number, const kv::v1::Operation&) {
    FakeStore::Fault fault;
    if (number % 3 == 0) {
      fault.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "planted");
      fault.applied = true;
    }
    return fault;
  });
  Pipeline pipeline(Options({store.Serve()}, 20));
  Tally tally;
  for (int i = 0; i < 300; ++i) {
    pipeline.Start(Put(absl::StrCat("k", i), absl::StrCat(i)), tally.Count());
  }
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 300);
  EXPECT_GT(pipeline.retried(), 0u);
  for (int i = 0; i < 300; ++i) {
    EXPECT_THAT(store.Values("b", absl::StrCat("k", i)), ElementsAre(absl::StrCat(i)));
  }
}

TEST(PipelineTest, WithoutRetriesAnOperationIsTriedOnce) {
  FakeStore store;
  store.SetFault([](uint64_t number, const kv::v1::Operation&) {
    FakeStore::Fault fault;
    if (number % 2 == 0) fault.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "planted");
    return fault;
  });
  Pipeline pipeline(Options({store.Serve()}, 0));
  Tally tally;
  for (int i = 0; i < 100; ++i) pipeline.Start(Put(absl::StrCat("k", i), "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 50);
  EXPECT_EQ(tally.failed, 50);
  EXPECT_EQ(store.operations(), 100u);
  EXPECT_EQ(pipeline.retried(), 0u);
}

TEST(PipelineTest, GoesOnThroughStreamsThatBreak) {
  FakeStore store;
  store.SetStreamLife(50);
  Pipeline pipeline(Options({store.Serve(), store.Serve()}, 30));
  Tally tally;
  for (int i = 0; i < 1000; ++i) {
    pipeline.Start(Put(absl::StrCat("k", i), absl::StrCat(i)), tally.Count());
  }
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 1000);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(store.Values("b", absl::StrCat("k", i)), ElementsAre(absl::StrCat(i)));
  }
}

TEST(PipelineTest, TheDeathOfOneEndpointCostsOnlyItsCallsUnderWay) {
  FakeStore store;
  const std::string first = store.Serve(), second = store.Serve();
  Pipeline pipeline(Options({first, second}, 0));
  ASSERT_TRUE(pipeline.Connect().ok());
  Tally tally;
  for (int i = 0; i < 4000; ++i) {
    if (i == 1000) store.Kill(first);
    pipeline.Start(Put(absl::StrCat("k", i), "v"), tally.Count());
  }
  pipeline.Drain();
  EXPECT_EQ(tally.ok + tally.failed, 4000);
  EXPECT_LE(tally.failed, 64);
  EXPECT_EQ(tally.unknown, tally.failed);
  EXPECT_THAT(pipeline.Unreachable(), ElementsAre(first));
}

TEST(PipelineTest, AnEndpointThatIsNotThereCostsNothing) {
  FakeStore store;
  const std::string gone = store.Serve();
  store.Kill(gone);
  Pipeline pipeline(Options({gone, store.Serve()}, 0));
  ASSERT_TRUE(pipeline.Connect().ok());
  Tally tally;
  for (int i = 0; i < 1000; ++i) pipeline.Start(Put(absl::StrCat("k", i), "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.ok, 1000);
}

TEST(PipelineTest, GivesUpWhenNobodyIsLeft) {
  FakeStore store;
  const std::string gone = store.Serve();
  store.Kill(gone);
  PipelineOptions options = Options({gone}, 5);
  options.client.timeout = milliseconds(300);
  Pipeline pipeline(options);
  EXPECT_EQ(DetailsOf(pipeline.Connect()).reason, kUnreachable);
  Tally tally;
  pipeline.Start(Put("k", "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.failed, 1);
  EXPECT_EQ(tally.unknown, 0);
}

TEST(PipelineTest, OperationsWithoutAnAnswerEnd) {
  FakeStore store;
  store.SetFault([](uint64_t number, const kv::v1::Operation&) {
    if (number == 0) std::this_thread::sleep_for(milliseconds(700));
    return FakeStore::Fault{};
  });
  PipelineOptions options = Options({store.Serve()}, 0);
  options.client.timeout = milliseconds(200);
  Pipeline pipeline(options);
  ASSERT_TRUE(pipeline.Connect().ok());
  Tally tally;
  pipeline.Start(Put("k", "v"), tally.Count());
  pipeline.Drain();
  EXPECT_EQ(tally.unknown, 1);
}

TEST(PipelineTest, IsClosedWithWorkLeft) {
  Tally tally;
  FakeStore store;
  store.SetFault([](uint64_t, const kv::v1::Operation&) {
    std::this_thread::sleep_for(milliseconds(5));
    return FakeStore::Fault{};
  });
  {
    Pipeline pipeline(Options({store.Serve()}, 5));
    for (int i = 0; i < 60; ++i) pipeline.Start(Put(absl::StrCat("k", i), "v"), tally.Count());
  }
  EXPECT_EQ(tally.ok + tally.failed, 60);
}

}  // namespace
}  // namespace annulus
