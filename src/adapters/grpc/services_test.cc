#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/admin_service.h"
#include "adapters/grpc/fake_node.h"
#include "adapters/grpc/health_service.h"
#include "adapters/grpc/kv_service.h"
#include "adapters/grpc/reflection_service.h"
#include "adapters/grpc/server.h"
#include "adapters/loop/test_loop.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

// Counts what the door reports.
struct CountingObserver final : RequestObserver {
  void OnStart(PublicOp) override { ++started; }
  void OnEnd(PublicOp op, const absl::Status& status, Duration elapsed, BytesView) override {
    ++ended;
    last_op = op;
    last_code = status.code();
    EXPECT_GE(elapsed, Duration{0});
  }
  int started = 0;
  int ended = 0;
  PublicOp last_op = PublicOp::kPut;
  absl::StatusCode last_code = absl::StatusCode::kOk;
};

// The public port of a process, on loopback, in front of a FakeNode.
class Door : public testing::Test {
 protected:
  void SetUp() override {
    loop_.On([this] {
      node_ = std::make_unique<FakeNode>(loop_.get());
      door_ = {.loop = loop_.get(), .node = node_.get(), .observer = &observer_};
      kv_ = std::make_unique<KvService>(&door_);
      admin_ = std::make_unique<AdminService>(&door_, "1.2.3");
      health_ = std::make_unique<HealthService>(loop_.get(),
                                                std::vector<std::string>{"annulus.kv.v1.KVStore"});
      reflection_ = std::make_unique<ReflectionService>(
          loop_.get(), std::vector<std::string>{"annulus.kv.v1.KVStore", "annulus.admin.v1.Admin"});
      std::vector<grpc::Service*> services = reflection_->services();
      services.insert(services.end(), {kv_->service(), admin_->service(), health_->service()});
      auto server = GrpcServer::Start(loop_.get(), PublicServerOptions("127.0.0.1:0"), services);
      ASSERT_TRUE(server.ok()) << server.status();
      server_ = *std::move(server);
      kv_->Accept();
      admin_->Accept();
      health_->Accept();
      reflection_->Accept();
    });
    channel_ = NewChannel();
    stub_ = pb::KVStore::NewStub(channel_);
  }

  void TearDown() override {
    DropNode();
    std::promise<void> ended;
    loop_.On([&] {
      health_->Stop();
      server_->Shutdown(50ms, [&] { ended.set_value(); });
    });
    ended.get_future().get();
    server_.reset();
    loop_.End();
  }

  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                     grpc::InsecureChannelCredentials(), args);
  }
  void DropNode() {
    loop_.On([this] {
      door_.node = nullptr;
      node_.reset();
    });
  }
  // Changes or reads the node, on the loop.
  template <class Function>
  auto OnNode(Function function) {
    return loop_.On([&] { return function(node_.get()); });
  }

  static pb::PutRequest PutOf(const std::string& key, const std::string& value) {
    pb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    return request;
  }

  CountingObserver observer_;
  DoorContext door_;
  std::unique_ptr<FakeNode> node_;
  std::unique_ptr<KvService> kv_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<HealthService> health_;
  std::unique_ptr<ReflectionService> reflection_;
  TestLoop loop_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::KVStore::Stub> stub_;
};

TEST_F(Door, PutsGetsAndDeletes) {
  grpc::ClientContext put_context;
  put_context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
  pb::PutRequest put = PutOf("k", std::string(1 << 20, 'v'));
  put.set_sort_key("s");
  put.set_context("seen");
  put.mutable_options()->set_w(2);
  put.mutable_options()->set_ttl_ms(99);
  put.mutable_options()->set_request_id("0123456789abcdef");
  put.mutable_options()->set_explain(true);
  pb::PutResponse put_answer;
  grpc::Status status = stub_->Put(&put_context, put, &put_answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(put_answer.context(), "context");
  EXPECT_EQ(put_answer.outcome(), pb::OUTCOME_APPLIED);
  EXPECT_EQ(put_answer.acks().primaries(), 2u);
  EXPECT_EQ(put_answer.acks().fallbacks(), 1u);
  EXPECT_EQ(put_answer.siblings(), 3u);
  EXPECT_EQ(put_answer.request_id().size(), 16u);
  EXPECT_TRUE(put_answer.durable());
  ASSERT_EQ(put_answer.explain().hops_size(), 1);
  EXPECT_EQ(put_answer.explain().hops(0).kind(), "replicate");
  EXPECT_EQ(put_answer.explain().hops(0).answered_us(), 6u);
  OnNode([&](FakeNode* node) {
    EXPECT_EQ(node->last_write.item, (Item{"default", "k", "s"}));
    EXPECT_EQ(node->last_write.context, "seen");
    EXPECT_EQ(node->last_write.w.number, 2u);
    EXPECT_EQ(node->last_write.ttl_ms, 99u);
    EXPECT_EQ(node->last_write.request_id, "0123456789abcdef");
    EXPECT_GT(node->last_deadline, loop_->Now() + 1s);
    EXPECT_LT(node->last_deadline, loop_->Now() + 4s);
  });

  grpc::ClientContext get_context;
  pb::GetRequest get;
  get.set_bucket("b");
  get.set_key("k");
  get.mutable_options()->set_consistency(pb::CONSISTENCY_ALL);
  get.mutable_options()->set_at_least("at");
  pb::GetResponse got;
  ASSERT_TRUE(stub_->Get(&get_context, get, &got).ok());
  ASSERT_EQ(got.siblings_size(), 1);
  EXPECT_EQ(got.siblings(0).value(), std::string(1 << 20, 'v'));
  EXPECT_EQ(got.siblings(0).write_time_us(), 11);
  EXPECT_EQ(got.siblings(0).expires_us(), 12);
  EXPECT_EQ(got.answers(), 2u);
  OnNode([&](FakeNode* node) {
    EXPECT_EQ(node->last_get.item, (Item{"b", "k", ""}));
    EXPECT_EQ(node->last_get.r.level, Consistency::kAll);
    EXPECT_EQ(node->last_get.at_least, "at");
    EXPECT_EQ(node->last_deadline, kForever);  // The client gave none.
  });

  grpc::ClientContext delete_context;
  pb::DeleteRequest remove;
  remove.set_key("k");
  remove.set_blind(true);
  remove.mutable_options()->set_ttl_ms(5);
  pb::DeleteResponse removed;
  ASSERT_TRUE(stub_->Delete(&delete_context, remove, &removed).ok());
  EXPECT_EQ(removed.outcome(), pb::OUTCOME_APPLIED);
  OnNode([&](FakeNode* node) {
    EXPECT_TRUE(node->last_write.is_delete);
    EXPECT_TRUE(node->last_write.blind_delete);
    EXPECT_EQ(node->last_write.ttl_ms, 0u);
    EXPECT_TRUE(node->values.empty());
  });
  loop_.On([&] {
    EXPECT_EQ(observer_.started, 3);
    EXPECT_EQ(observer_.ended, 3);
    EXPECT_EQ(observer_.last_op, PublicOp::kDelete);
  });
}

TEST_F(Door, SendsTheDetailsOfAFailure) {
  OnNode([](FakeNode* node) {
    node->fail = WithDetails(absl::UnavailableError("one of two"), {.reason = "QUORUM_NOT_REACHED",
                                                                    .outcome = Outcome::kUnknown,
                                                                    .acks = {1, 0, 2},
                                                                    .retry_after = 1500ms});
  });
  grpc::ClientContext context;
  pb::PutResponse answer;
  const grpc::Status status = stub_->Put(&context, PutOf("k", "v"), &answer);
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), grpc::UNAVAILABLE);
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "QUORUM_NOT_REACHED");
  EXPECT_EQ(info.domain(), "annulus");
  EXPECT_EQ(info.metadata().at("outcome"), "UNKNOWN");
  EXPECT_EQ(info.metadata().at("acks_primaries"), "1");
  EXPECT_EQ(info.metadata().at("acks_required"), "2");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST_F(Door, RefusesAConsistencyThatItDoesNotKnow) {
  grpc::ClientContext context;
  pb::PutRequest put = PutOf("k", "v");
  put.mutable_options()->set_consistency(static_cast<pb::Consistency>(42));
  pb::PutResponse answer;
  EXPECT_EQ(stub_->Put(&context, put, &answer).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->calls; }), 0);
}

TEST_F(Door, RefusesAMessageOverTheLimitBeforeTheNodeSeesIt) {
  grpc::ClientContext context;
  pb::PutResponse answer;
  const grpc::Status status = stub_->Put(&context, PutOf("k", std::string(3 << 20, 'v')), &answer);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->calls; }), 0);
}

TEST_F(Door, ServesManyCallsAtOnce) {
  OnNode([](FakeNode* node) { node->delay = 20ms; });
  std::vector<std::thread> clients;
  std::atomic<int> ok{0};
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) {
        grpc::ClientContext context;
        pb::PutResponse answer;
        if (stub_->Put(&context, PutOf(absl::StrCat(c, ".", i), "v"), &answer).ok()) ++ok;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(ok, 160);
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->values.size(); }), 160u);
}

TEST_F(Door, EndsACallWhoseNodeGoesAway) {
  OnNode([](FakeNode* node) { node->delay = 1h; });
  grpc::ClientContext context;
  pb::PutResponse answer;
  auto status = std::async(std::launch::async,
                           [&] { return stub_->Put(&context, PutOf("k", "v"), &answer); });
  ASSERT_TRUE(Eventually([&] { return OnNode([](FakeNode* node) { return node->calls == 1; }); }));
  DropNode();
  const grpc::Status ended = status.get();
  EXPECT_EQ(ended.error_code(), grpc::UNAVAILABLE);
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.ParseFromString(ended.error_details()));
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.metadata().at("outcome"), "UNKNOWN");  // It may have been applied.

  grpc::ClientContext late_context;
  const grpc::Status late = stub_->Put(&late_context, PutOf("k", "v"), &answer);
  EXPECT_EQ(late.error_code(), grpc::UNAVAILABLE);
  ASSERT_TRUE(details.ParseFromString(late.error_details()));
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.metadata().at("outcome"), "NOT_APPLIED");
  google::rpc::RetryInfo retry;
  ASSERT_EQ(details.details_size(), 2);
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().nanos(), 100'000'000);
}

TEST_F(Door, RunsABatchInOrderOfTheAnswer) {
  OnNode([](FakeNode* node) { node->delay = 1ms; });
  pb::BatchRequest batch;
  for (int i = 0; i < 300; ++i) {
    *batch.add_operations()->mutable_put() = PutOf(absl::StrCat("k", i), "v");
  }
  batch.add_operations();  // None of put, get, delete.
  batch.add_operations()->mutable_get()->set_key("absent");
  grpc::ClientContext context;
  pb::BatchResponse answer;
  ASSERT_TRUE(stub_->Batch(&context, batch, &answer).ok());
  ASSERT_EQ(answer.results_size(), 302);
  for (int i = 0; i < 300; ++i) EXPECT_TRUE(answer.results(i).has_put()) << i;
  EXPECT_EQ(answer.results(300).error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(answer.results(301).get().siblings_size(), 0);
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->values.size(); }), 300u);
}

TEST_F(Door, RefusesABatchOfNoneOrTooMany) {
  for (const int count : {0, 1001}) {
    pb::BatchRequest batch;
    for (int i = 0; i < count; ++i) batch.add_operations()->mutable_get()->set_key("k");
    grpc::ClientContext context;
    pb::BatchResponse answer;
    EXPECT_EQ(stub_->Batch(&context, batch, &answer).error_code(), grpc::INVALID_ARGUMENT);
  }
}

TEST_F(Door, KeepsABatchesAnswerWithinWhatAStockClientTakes) {
  OnNode([](FakeNode* node) {
    for (int i = 0; i < 10; ++i) node->values[absl::StrCat("k", i)] = Bytes(900'000, 'v');
  });
  pb::BatchRequest batch;
  for (int i = 0; i < 10; ++i) batch.add_operations()->mutable_get()->set_key(absl::StrCat("k", i));
  grpc::ClientContext context;
  pb::BatchResponse answer;
  const grpc::Status status = stub_->Batch(&context, batch, &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(answer.results(0).has_get());
  EXPECT_TRUE(answer.results(3).has_get());
  EXPECT_EQ(answer.results(9).error().reason(), "BATCH_ANSWER_TOO_LARGE");
}

TEST_F(Door, StartsNoMoreGetsOfABatchWhoseAnswerIsFull) {
  OnNode([](FakeNode* node) {
    node->values["large"] = Bytes(3'500'000, 'v');
    node->delay = 1ms;
  });
  pb::BatchRequest batch;
  for (int i = 0; i < 999; ++i) batch.add_operations()->mutable_get()->set_key("large");
  *batch.add_operations()->mutable_put() = PutOf("k", "v");
  grpc::ClientContext context;
  pb::BatchResponse answer;
  const grpc::Status status = stub_->Batch(&context, batch, &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  int got = 0;
  for (int i = 0; i < 999; ++i) {
    if (answer.results(i).has_get()) {
      ++got;
    } else {
      EXPECT_EQ(answer.results(i).error().code(), grpc::RESOURCE_EXHAUSTED);
      EXPECT_EQ(answer.results(i).error().reason(), "BATCH_ANSWER_TOO_LARGE");
    }
  }
  EXPECT_EQ(got, 1);
  EXPECT_TRUE(answer.results(999).has_put());
  EXPECT_LE(OnNode([](FakeNode* node) { return node->calls; }), 32);
}

TEST_F(Door, RunsAtMostSoManyGetsOfABatchAtATime) {
  OnNode([](FakeNode* node) { node->delay = 2ms; });
  pb::BatchRequest batch;
  for (int i = 0; i < 200; ++i) batch.add_operations()->mutable_get()->set_key("absent");
  grpc::ClientContext context;
  pb::BatchResponse answer;
  ASSERT_TRUE(stub_->Batch(&context, batch, &answer).ok());
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(answer.results(i).has_get()) << i;
  EXPECT_LE(OnNode([](FakeNode* node) { return node->gets_max; }), 32);
}

TEST_F(Door, KeepsNoLargeBuffersOfCallsThatHaveEnded) {
  constexpr int kCalls = 64;
  OnNode([](FakeNode* node) {
    node->values["large"] = Bytes(1 << 20, 'v');
    node->delay = 200ms;  // All are under way at once.
  });
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  {
    std::vector<std::thread> clients;
    std::atomic<int> ok{0};
    for (int c = 0; c < kCalls; ++c) {
      clients.emplace_back([&] {
        grpc::ClientContext context;
        pb::GetRequest get;
        get.set_key("large");
        pb::GetResponse answer;
        if (stub_->Get(&context, get, &answer).ok()) ++ok;
      });
    }
    for (std::thread& client : clients) client.join();
    ASSERT_EQ(ok, kCalls);
  }
  EXPECT_TRUE(Eventually(
      [&] { return mallinfo2().uordblks + mallinfo2().hblkhd < before + (kCalls << 20) / 4; }));
}

TEST_F(Door, PipelinesOperations) {
  constexpr int kMessages = 60;
  constexpr int kEach = 200;
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  std::thread writer([&] {
    for (int m = 0; m < kMessages; ++m) {
      pb::PipelineRequest request;
      for (int i = 0; i < kEach; ++i) {
        pb::PipelineOperation* operation = request.add_operations();
        operation->set_id(m * kEach + i);
        *operation->mutable_operation()->mutable_put() =
            PutOf(absl::StrCat("k", m * kEach + i), std::string(50, 'v'));
      }
      ASSERT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  std::set<uint64_t> ids;
  int messages = 0;
  pb::PipelineResponse response;
  while (stream->Read(&response)) {
    ++messages;
    for (const pb::PipelineResult& result : response.results()) {
      EXPECT_TRUE(result.result().has_put());
      ids.insert(result.id());
    }
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(ids.size(), static_cast<size_t>(kMessages) * kEach);
  EXPECT_LT(messages, kMessages * 10);  // Batched.
}

TEST_F(Door, PipelineStopsReadingWhileTooMuchIsUnderWay) {
  OnNode([](FakeNode* node) { node->delay = 1h; });
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  std::atomic<int> written{0};
  std::thread writer([&] {
    pb::PipelineRequest request;
    for (int i = 0; i < 1000; ++i) {
      *request.add_operations()->mutable_operation()->mutable_put() =
          PutOf("k", std::string(1000, 'v'));
    }
    while (stream->Write(request)) ++written;
  });
  ASSERT_TRUE(
      Eventually([&] { return OnNode([](FakeNode* node) { return node->calls >= 4096; }); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->calls; }), 4096);
  EXPECT_LT(written, 50);  // Flow control holds the client.
  context.TryCancel();
  writer.join();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(Door, PipelineHoldsFewLargeRequests) {
  OnNode([](FakeNode* node) { node->delay = 1h; });
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  std::thread writer([&] {
    pb::PipelineRequest request;
    *request.add_operations()->mutable_operation()->mutable_put() =
        PutOf("k", std::string(1 << 20, 'v'));
    for (int i = 0; i < 40 && stream->Write(request); ++i) {
    }
  });
  ASSERT_TRUE(Eventually([&] { return OnNode([](FakeNode* node) { return node->calls >= 8; }); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(OnNode([](FakeNode* node) { return node->calls; }), 9);
  context.TryCancel();
  writer.join();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(Door, PipelineRunsFewLargeGetsWhoseAnswersNobodyReads) {
  OnNode([](FakeNode* node) {
    node->values["large"] = Bytes(1 << 20, 'v');
    node->delay = 20ms;
  });
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  pb::PipelineRequest request;
  for (int i = 0; i < 1000; ++i) {
    request.add_operations()->mutable_operation()->mutable_get()->set_key("large");
  }
  ASSERT_TRUE(stream->Write(request));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_LE(OnNode([](FakeNode* node) { return node->calls; }), 32);
  // Nothing is lost for it.
  stream->WritesDone();
  int got = 0;
  pb::PipelineResponse response;
  while (got < 100 && stream->Read(&response)) {
    for (const pb::PipelineResult& result : response.results()) got += result.result().has_get();
  }
  EXPECT_GE(got, 100);
  context.TryCancel();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(Door, PipelineDropsUnexpectedlyLargeAnswersThatNobodyReads) {
  OnNode([](FakeNode* node) { node->values["large"] = Bytes(1 << 20, 'v'); });
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  pb::PipelineRequest small;
  for (int i = 0; i < 1000; ++i) {
    small.add_operations()->mutable_operation()->mutable_get()->set_key("absent");
  }
  ASSERT_TRUE(stream->Write(small));
  pb::PipelineResponse response;
  for (int read = 0; read < 1000; read += response.results_size()) {
    ASSERT_TRUE(stream->Read(&response));
  }
  OnNode([](FakeNode* node) { node->delay = 50ms; });
  pb::PipelineRequest large;
  for (int i = 0; i < 100; ++i) {
    large.add_operations()->mutable_operation()->mutable_get()->set_key("large");
  }
  ASSERT_TRUE(stream->Write(large));
  stream->WritesDone();
  int results = 0;
  int dropped = 0;
  while (stream->Read(&response)) {
    for (const pb::PipelineResult& result : response.results()) {
      ++results;
      if (!result.result().has_error()) continue;
      ++dropped;
      EXPECT_EQ(result.result().error().code(), grpc::RESOURCE_EXHAUSTED);
      EXPECT_EQ(result.result().error().reason(), "PIPELINE_FULL");
      EXPECT_EQ(result.result().error().retry_after_ms(), 100u);
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(results, 100);
  EXPECT_GT(dropped, 50);  // They ended in one turn, before any could be sent.
  EXPECT_LT(dropped, 100);
}

TEST_F(Door, PipelineAnswersWhatTheNodeLeftBehind) {
  OnNode([](FakeNode* node) { node->delay = 1h; });
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  pb::PipelineRequest request;
  request.add_operations()->set_id(7);
  *request.mutable_operations(0)->mutable_operation()->mutable_put() = PutOf("k", "v");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(Eventually([&] { return OnNode([](FakeNode* node) { return node->calls == 1; }); }));
  DropNode();
  pb::PipelineResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.results(0).id(), 7u);
  EXPECT_EQ(response.results(0).result().error().outcome(), pb::OUTCOME_UNKNOWN);
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(Door, PipelineRefusesAnEmptyMessage) {
  grpc::ClientContext context;
  auto stream = stub_->Pipeline(&context);
  ASSERT_TRUE(stream->Write({}));
  pb::PipelineResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::INVALID_ARGUMENT);
}

// So is what only a newer client knows. It counted as a get when it ended, but not when it began.
TEST_F(Door, PipelineGoesOnBehindOperationsOfNoKind) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto stream = stub_->Pipeline(&context);
  pb::PipelineRequest request;
  constexpr int kNone = 3;
  for (int i = 0; i < kNone; ++i) request.add_operations()->set_id(i);
  for (int i = 0; i < 2; ++i) {
    pb::PipelineOperation* operation = request.add_operations();
    operation->set_id(kNone + i);
    *operation->mutable_operation()->mutable_put() = PutOf("k", "v");
  }
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  int refused = 0;
  int puts = 0;
  pb::PipelineResponse response;
  while (stream->Read(&response)) {
    for (const pb::PipelineResult& result : response.results()) {
      const bool is_none = result.id() < kNone;
      EXPECT_EQ(result.result().has_put(), !is_none);
      EXPECT_EQ(result.result().error().code(), is_none ? grpc::INVALID_ARGUMENT : grpc::OK);
      ++(is_none ? refused : puts);
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(refused, kNone);
  EXPECT_EQ(puts, 2);
}

// A stock client written in C++ sends such a string, and only logs it.
TEST_F(Door, RefusesWhatIsNoValidProtobuf) {
  const std::string no_utf8 = "\xff\xfe";
  {
    grpc::ClientContext context;
    pb::PutRequest put = PutOf("k", "v");
    put.set_bucket(no_utf8);
    pb::PutResponse answer;
    const grpc::Status status = stub_->Put(&context, put, &answer);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    google::rpc::Status details;
    google::rpc::ErrorInfo info;
    ASSERT_TRUE(details.ParseFromString(status.error_details()));
    ASSERT_TRUE(details.details(0).UnpackTo(&info));
    EXPECT_EQ(info.metadata().at("outcome"), "NOT_APPLIED");
  }
  {
    grpc::ClientContext context;
    pb::ScanRequest scan;
    scan.set_bucket(no_utf8);
    pb::ScanResponse page;
    auto stream = stub_->Scan(&context, scan);
    EXPECT_FALSE(stream->Read(&page));
    EXPECT_EQ(stream->Finish().error_code(), grpc::INVALID_ARGUMENT);
  }
  {
    grpc::ClientContext context;
    pb::PipelineRequest request;
    request.add_operations()->mutable_operation()->mutable_get()->set_bucket(no_utf8);
    pb::PipelineResponse response;
    auto stream = stub_->Pipeline(&context);
    ASSERT_TRUE(stream->Write(request));
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::INVALID_ARGUMENT);
  }
  EXPECT_EQ(OnNode([](FakeNode* node) { return node->calls; }), 0);
}

TEST_F(Door, ScansPageByPage) {
  OnNode([](FakeNode* node) {
    for (int i = 0; i < 9; ++i) node->values[absl::StrCat("k", i)] = absl::StrCat("v", i);
  });
  for (const uint64_t limit : {0, 5, 9, 20}) {
    grpc::ClientContext context;
    pb::ScanRequest request;
    request.set_values(true);
    request.set_limit(limit);
    auto stream = stub_->Scan(&context, request);
    pb::ScanResponse page;
    std::vector<std::string> keys;
    std::string token = "none";
    while (stream->Read(&page)) {
      for (const pb::ScanItem& item : page.items()) {
        keys.push_back(item.key());
        EXPECT_EQ(item.siblings(0).value(), "v" + item.key().substr(1));
      }
      token = page.page_token();
    }
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_EQ(keys.size(), limit == 0 ? 9 : std::min<uint64_t>(limit, 9));
    EXPECT_EQ(token, limit == 5 ? "k4" : "");  // Empty: the end was reached.
  }
}

TEST_F(Door, ScanSendsAnEndForAnEmptyBucketAndRefusesWhatIsNotForScans) {
  grpc::ClientContext context;
  auto stream = stub_->Scan(&context, {});
  pb::ScanResponse page;
  EXPECT_TRUE(stream->Read(&page));
  EXPECT_EQ(page.items_size(), 0);
  EXPECT_FALSE(stream->Read(&page));
  EXPECT_TRUE(stream->Finish().ok());

  grpc::ClientContext bad_context;
  pb::ScanRequest bad;
  bad.mutable_options()->set_at_least("x");
  auto refused = stub_->Scan(&bad_context, bad);
  EXPECT_FALSE(refused->Read(&page));
  EXPECT_EQ(refused->Finish().error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(Door, ScanReadsNoFurtherThanTheClient) {
  OnNode([](FakeNode* node) {
    for (int i = 0; i < 2000; ++i) node->values[absl::StrCat("k", i)] = Bytes(100'000, 'v');
  });
  grpc::ClientContext context;
  pb::ScanRequest request;
  request.set_values(true);
  auto stream = stub_->Scan(&context, request);
  pb::ScanResponse page;
  ASSERT_TRUE(stream->Read(&page));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(OnNode([](FakeNode* node) { return node->calls; }), 200);  // Of 1000 pages.
  context.TryCancel();
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return OnNode([](FakeNode* node) { return node->busy() == 0; }); }));
}

TEST_F(Door, ScanEndsWhenTheNodeGoesAway) {
  OnNode([](FakeNode* node) { node->delay = 1h; });
  grpc::ClientContext context;
  auto stream = stub_->Scan(&context, {});
  ASSERT_TRUE(Eventually([&] { return OnNode([](FakeNode* node) { return node->calls == 1; }); }));
  DropNode();
  pb::ScanResponse page;
  EXPECT_FALSE(stream->Read(&page));
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(Door, AnswersOperators) {
  auto layout = Layout::Form("test", LayoutVersion(3),
                             {{.id = NodeId(8), .name = "node-8", .peer_address = "h:1"},
                              {.id = NodeId(9), .name = "node-9", .peer_address = "h:2"}},
                             4, 3, nullptr);
  ASSERT_TRUE(layout.ok());
  OnNode([&](FakeNode* node) {
    node->layout_ptr = &*layout;
    node->status = {.cluster = "test",
                    .name = "node-8",
                    .storage = false,
                    .id = NodeId(8),
                    .layout_version = LayoutVersion(3),
                    .uptime = 61s,
                    .ready = true};
    node->status.members.push_back(
        {.member = layout->members()[0], .state = "self", .partitions = 4});
  });
  auto admin = admin::v1::Admin::NewStub(channel_);
  grpc::ClientContext status_context;
  admin::v1::StatusResponse status;
  ASSERT_TRUE(admin->Status(&status_context, {}, &status).ok());
  EXPECT_EQ(status.role(), "coordinator");
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.uptime_s(), 61u);
  EXPECT_TRUE(status.ready());
  EXPECT_EQ(status.members(0).name(), "node-8");

  grpc::ClientContext layout_context;
  admin::v1::LayoutResponse shown;
  ASSERT_TRUE(admin->Layout(&layout_context, {}, &shown).ok());
  EXPECT_EQ(shown.version(), 3u);
  EXPECT_EQ(shown.members_size(), 2);
  ASSERT_EQ(shown.partitions_size(), 4);
  EXPECT_EQ(shown.partitions(0).owners_size(), 2);

  grpc::ClientContext locate_context;
  admin::v1::LocateRequest locate;
  locate.set_key("key");
  admin::v1::LocateResponse located;
  ASSERT_TRUE(admin->Locate(&locate_context, locate, &located).ok());
  EXPECT_EQ(located.partition(), 6u);
  EXPECT_EQ(located.holders(0).versions(0).size(), 3u);
}

TEST_F(Door, SetsFaultsOnlyWhereTheyAreEnabled) {
  auto admin = admin::v1::Admin::NewStub(channel_);
  const auto set = [&](const admin::v1::SetFaultsRequest& request) {
    grpc::ClientContext context;
    admin::v1::SetFaultsResponse response;
    const grpc::Status status = admin->SetFaults(&context, request, &response);
    return std::pair(status.error_code(), response);
  };
  admin::v1::SetFaultsRequest request;
  request.set_clear(true);
  EXPECT_EQ(set(request).first, grpc::StatusCode::PERMISSION_DENIED);

  FaultPlane plane(loop_.get(), Random(1));
  auto layout =
      Layout::Form("test", LayoutVersion(1),
                   {{.id = NodeId(8), .name = "node-8", .peer_address = "h:1"}}, 4, 1, nullptr);
  ASSERT_TRUE(layout.ok());
  OnNode([&](FakeNode* node) { node->layout_ptr = &*layout; });
  loop_.On([&] { door_.faults = &plane; });
  admin::v1::LinkFault* link = request.add_faults()->mutable_link();
  link->set_peer("node-8");
  link->set_delay_us(1500);
  link->set_loss(0.5);
  admin::v1::Fault* clock = request.add_faults();
  clock->set_duration_ms(60'000);
  clock->mutable_clock()->set_skew_us(-7);
  const auto [code, answer] = set(request);
  ASSERT_EQ(code, grpc::StatusCode::OK);
  ASSERT_EQ(answer.faults_size(), 3);  // Both directions are two.
  EXPECT_EQ(answer.faults(0).link().peer(), "node-8");
  EXPECT_EQ(answer.faults(0).link().direction(), admin::v1::FAULT_DIRECTION_OUT);
  EXPECT_EQ(answer.faults(1).link().direction(), admin::v1::FAULT_DIRECTION_IN);
  EXPECT_EQ(answer.faults(1).link().delay_us(), 1500u);
  EXPECT_EQ(answer.faults(1).duration_ms(), 0u);
  EXPECT_EQ(answer.faults(2).clock().skew_us(), -7);
  EXPECT_GT(answer.faults(2).duration_ms(), 50'000u);

  // One that is wrong: none is set, and nothing is cleared.
  for (const char* peer : {"node-9", "", "00000000000000zz"}) {
    link->set_peer(peer);
    EXPECT_EQ(set(request).first, grpc::StatusCode::INVALID_ARGUMENT) << peer;
  }
  link->set_peer("*");
  link->set_loss(1.5);
  EXPECT_EQ(set(request).first, grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext get_context;
  admin::v1::GetFaultsResponse got;
  ASSERT_TRUE(admin->GetFaults(&get_context, {}, &got).ok());
  EXPECT_EQ(got.faults_size(), 3);

  grpc::ClientContext status_context;
  admin::v1::StatusResponse status;
  ASSERT_TRUE(admin->Status(&status_context, {}, &status).ok());
  EXPECT_TRUE(status.faults_enabled());
  EXPECT_EQ(status.faults_active(), 3u);
  request.clear_faults();
  EXPECT_EQ(set(request).second.faults_size(), 0);
  loop_.On([&] { door_.faults = nullptr; });
}

TEST_F(Door, HurriesRepairs) {
  auto admin = admin::v1::Admin::NewStub(channel_);
  const auto repair = [&](const admin::v1::RepairRequest& request) {
    grpc::ClientContext context;
    admin::v1::RepairResponse response;
    const grpc::Status status = admin->Repair(&context, request, &response);
    return std::make_pair(status.error_code(), response);
  };
  admin::v1::RepairRequest request;
  auto [code, answer] = repair(request);
  EXPECT_EQ(code, grpc::StatusCode::OK);
  EXPECT_EQ(answer.partitions(), 4u);
  EXPECT_EQ(answer.level(), 0u);
  ASSERT_EQ(answer.missing_size(), 1);
  EXPECT_EQ(answer.missing(0), "node-2");
  request.set_age_ms(~0ull);
  request.set_partition(0);
  EXPECT_EQ(repair(request).second.level(), 1u);
  request.set_partition(99);
  EXPECT_EQ(repair(request).first, grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Door, ReportsHealthAndItsChanges) {
  auto health = grpc::health::v1::Health::NewStub(channel_);
  using Response = grpc::health::v1::HealthCheckResponse;
  const auto check = [&](const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    Response response;
    const grpc::Status status = health->Check(&context, request, &response);
    return status.ok() ? std::string(Response::ServingStatus_Name(response.status()))
                       : absl::StrCat("code ", status.error_code());
  };
  EXPECT_EQ(check(""), "NOT_SERVING");
  EXPECT_EQ(check("no.such.Service"), absl::StrCat("code ", grpc::NOT_FOUND));

  grpc::ClientContext watch_context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("annulus.kv.v1.KVStore");
  auto watch = health->Watch(&watch_context, request);
  Response response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::NOT_SERVING);
  loop_.On([&] { health_->SetServing(true); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVING);
  EXPECT_EQ(check("annulus.kv.v1.KVStore"), "SERVING");
  loop_.On([&] { health_->SetServing(false); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::NOT_SERVING);

  grpc::ClientContext unknown_context;
  request.set_service("no.such.Service");
  auto unknown = health->Watch(&unknown_context, request);
  ASSERT_TRUE(unknown->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVICE_UNKNOWN);
  unknown_context.TryCancel();
  EXPECT_FALSE(unknown->Read(&response));
  EXPECT_EQ(unknown->Finish().error_code(), grpc::CANCELLED);

  loop_.On([&] { health_->Stop(); });
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
}

// Lists the services, then fetches what it takes to call one, as a stock tool does.
template <class Service, class Request, class Response>
void Reflect(const std::shared_ptr<grpc::Channel>& channel) {
  auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  Request request;
  Response response;
  request.set_list_services("*");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.list_services_response().service_size(), 2);
  EXPECT_EQ(response.list_services_response().service(0).name(), "annulus.kv.v1.KVStore");

  request.set_file_containing_symbol("annulus.kv.v1.KVStore.Put");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_GE(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_EQ(file.name(), "annulus/kv/v1/kv.proto");
  EXPECT_EQ(response.original_request().file_containing_symbol(), "annulus.kv.v1.KVStore.Put");

  request.set_file_by_filename("google/rpc/error_details.proto");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  // With what it imports.
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 2);

  request.set_file_containing_symbol("no.such.Symbol");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::NOT_FOUND);

  request.clear_message_request();
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::INVALID_ARGUMENT);

  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(Door, DescribesItself) {
  Reflect<grpc::reflection::v1::ServerReflection, grpc::reflection::v1::ServerReflectionRequest,
          grpc::reflection::v1::ServerReflectionResponse>(channel_);
}

TEST_F(Door, DescribesItselfToOlderTools) {
  Reflect<grpc::reflection::v1alpha::ServerReflection,
          grpc::reflection::v1alpha::ServerReflectionRequest,
          grpc::reflection::v1alpha::ServerReflectionResponse>(channel_);
}

TEST_F(Door, ServesAnotherConnectionBesideTheFirst) {
  auto other = pb::KVStore::NewStub(NewChannel());
  grpc::ClientContext context;
  pb::PutResponse answer;
  EXPECT_TRUE(other->Put(&context, PutOf("k", "v"), &answer).ok());
}

}  // namespace
}  // namespace annulus
