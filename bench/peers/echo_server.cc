#include "echo_server.h"

#include <grpcpp/alarm.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "adapters/loop/cq_loop.h"
#include "annulus/kv/v1/kv.grpc.pb.h"

namespace annulus::peers {
namespace {

namespace pb = kv::v1;

constexpr size_t kValueBytes = 100;
constexpr size_t kContextBytes = 44;
// As many as make it fastest: each tag is looked for among all that are posted.
constexpr int kPosted = 16;

void Fill(pb::PutResponse* response) {
  response->set_context(std::string(kContextBytes, 'c'));
  response->mutable_acks()->set_primaries(2);
  response->mutable_acks()->set_required(2);
}

void Fill(pb::GetResponse* response) {
  pb::Sibling* sibling = response->add_siblings();
  sibling->set_value(std::string(kValueBytes, 'v'));
  sibling->set_request_id(std::string(16, 'r'));
  response->set_context(std::string(kContextBytes, 'c'));
}

// Keeps SIGTERM from all threads that are started from now on: gRPC's would take it.
sigset_t KeepTermination() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Awaits the signal on a thread of its own. What `stop` uses outlives that thread.
std::jthread AtTermination(sigset_t signals, std::function<void()> stop) {
  return std::jthread([signals, stop = std::move(stop)] {
    int signal = 0;
    sigwait(&signals, &signal);
    stop();
  });
}

// One posted unary call; it posts itself again.
template <class Request, class Response>
class UnaryEcho final : public CqTag {
 public:
  using Post = void (pb::KVStore::AsyncService::*)(grpc::ServerContext*, Request*,
                                                   grpc::ServerAsyncResponseWriter<Response>*,
                                                   grpc::CompletionQueue*,
                                                   grpc::ServerCompletionQueue*, void*);
  UnaryEcho(pb::KVStore::AsyncService* service, grpc::ServerCompletionQueue* queue, Post post)
      : service_(service), queue_(queue), post_(post) {
    PostOne();
  }

  void Proceed(bool ok) override {
    if (!ok && !answering_) return;
    if (answering_) return PostOne();
    answering_ = true;
    response_.Clear();
    Fill(&response_);
    writer_->Finish(response_, grpc::Status::OK, tag());
  }

 private:
  void PostOne() {
    answering_ = false;
    writer_.reset();
    context_.emplace();
    writer_.emplace(&*context_);
    (service_->*post_)(&*context_, &request_, &*writer_, queue_, queue_, tag());
  }

  pb::KVStore::AsyncService* service_;
  grpc::ServerCompletionQueue* queue_;
  Post post_;
  bool answering_ = false;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<Response>> writer_;
  Request request_;
  Response response_;
};

// One stream; each message of operations becomes one message of results.
class StreamEcho final : public CqTag {
 public:
  StreamEcho(pb::KVStore::AsyncService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue) {
    service_->RequestPipeline(&context_, &rw_, queue_, queue_, tag());
  }

  void Proceed(bool ok) override {
    switch (state_) {
      case State::kPosted:
        if (!ok) return;
        new StreamEcho(service_, queue_);
        return Read();
      case State::kReading:
        if (!ok) {
          state_ = State::kEnding;
          return rw_.Finish(grpc::Status::OK, tag());
        }
        state_ = State::kWriting;
        response_.Clear();
        for (const pb::PipelineOperation& operation : request_.operations()) {
          pb::PipelineResult* result = response_.add_results();
          result->set_id(operation.id());
          if (operation.operation().has_get()) {
            Fill(result->mutable_result()->mutable_get());
          } else {
            Fill(result->mutable_result()->mutable_put());
          }
        }
        return rw_.Write(response_, tag());
      case State::kWriting:
        return Read();
      case State::kEnding:
        delete this;
    }
  }

 private:
  enum class State { kPosted, kReading, kWriting, kEnding };

  void Read() {
    state_ = State::kReading;
    rw_.Read(&request_, tag());
  }

  pb::KVStore::AsyncService* service_;
  grpc::ServerCompletionQueue* queue_;
  State state_ = State::kPosted;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<pb::PipelineResponse, pb::PipelineRequest> rw_{&context_};
  pb::PipelineRequest request_;
  pb::PipelineResponse response_;
};

class CallbackEcho final : public pb::KVStore::CallbackService {
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const pb::PutRequest*,
                                pb::PutResponse* response) override {
    return Answer(context, response);
  }
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const pb::GetRequest*,
                                pb::GetResponse* response) override {
    return Answer(context, response);
  }

  template <class Response>
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          Response* response) {
    Fill(response);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

std::unique_ptr<grpc::Server> Start(grpc::ServerBuilder* builder, const std::string& address,
                                    grpc::Service* service) {
  builder->AddListeningPort(address, grpc::InsecureServerCredentials());
  builder->RegisterService(service);
  builder->SetMaxReceiveMessageSize(64 << 20);
  std::unique_ptr<grpc::Server> server = builder->BuildAndStart();
  if (server == nullptr) std::fprintf(stderr, "cannot listen on %s\n", address.c_str());
  return server;
}

}  // namespace

int ServeOnQueue(const std::string& address) {
  const sigset_t termination = KeepTermination();
  pb::KVStore::AsyncService service;
  grpc::ServerBuilder builder;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = Start(&builder, address, &service);
  if (server == nullptr) return 1;
  using PutEcho = UnaryEcho<pb::PutRequest, pb::PutResponse>;
  using GetEcho = UnaryEcho<pb::GetRequest, pb::GetResponse>;
  std::vector<std::unique_ptr<PutEcho>> puts;
  std::vector<std::unique_ptr<GetEcho>> gets;
  for (int i = 0; i < kPosted; ++i) {
    puts.push_back(
        std::make_unique<PutEcho>(&service, queue.get(), &pb::KVStore::AsyncService::RequestPut));
    gets.push_back(
        std::make_unique<GetEcho>(&service, queue.get(), &pb::KVStore::AsyncService::RequestGet));
  }
  new StreamEcho(&service, queue.get());
  grpc::Alarm stopped;
  const std::jthread stopper = AtTermination(termination, [&] {
    server->Shutdown(std::chrono::system_clock::now());
    stopped.Set(queue.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), nullptr);
  });
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok) && tag != nullptr) static_cast<CqTag*>(tag)->Proceed(ok);
  // By the thread that begins operations, so that none is begun on a queue that is shut down.
  queue->Shutdown();
  while (queue->Next(&tag, &ok)) continue;
  return 0;
}

int ServeWithCallbacks(const std::string& address) {
  const sigset_t termination = KeepTermination();
  CallbackEcho service;
  grpc::ServerBuilder builder;
  const std::unique_ptr<grpc::Server> server = Start(&builder, address, &service);
  if (server == nullptr) return 1;
  const std::jthread stopper =
      AtTermination(termination, [&] { server->Shutdown(std::chrono::system_clock::now()); });
  server->Wait();
  return 0;
}

}  // namespace annulus::peers
