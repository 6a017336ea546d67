#include "etcd_target.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "load/random_value.h"

namespace annulus::peers {
namespace {

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

EtcdTarget::EtcdTarget(CqLoop* loop, const EtcdOptions& options) : loop_(loop), options_(options) {
  for (int i = 0; i < options_.connections; ++i) {
    for (const std::string& endpoint : options_.endpoints) {
      channels_.push_back(OpenChannel(endpoint));
      stubs_.push_back(etcdserverpb::KV::NewStub(channels_.back()));
    }
  }
}

EtcdTarget::~EtcdTarget() = default;

bool EtcdTarget::Connect() {
  const auto deadline = std::chrono::system_clock::now() + options_.timeout;
  for (const auto& channel : channels_) {
    if (!AwaitConnected(*channel, deadline)) return false;
  }
  return true;
}

etcdserverpb::KV::Stub* EtcdTarget::NextStub() { return stubs_[next_++ % stubs_.size()].get(); }

void EtcdTarget::Read(uint64_t key, Done done) {
  etcdserverpb::RangeRequest request;
  request.set_key(absl::StrCat(key));
  request.set_serializable(options_.serializable);
  (new UnaryCall<etcdserverpb::RangeResponse>(
       &calls_, options_.timeout,
       [done = std::move(done)](const grpc::Status& status, auto*) mutable {
         done(ToAbsl(status));
       }))
      ->Start([&](grpc::ClientContext* context) {
        return NextStub()->PrepareAsyncRange(context, request, loop_->queue());
      });
}

void EtcdTarget::Write(uint64_t key, Done done) {
  etcdserverpb::PutRequest request;
  request.set_key(absl::StrCat(key));
  request.set_value(load::RandomValue(options_.value_bytes, &random_));
  (new UnaryCall<etcdserverpb::PutResponse>(
       &calls_, options_.timeout,
       [done = std::move(done)](const grpc::Status& status, auto*) mutable {
         done(ToAbsl(status));
       }))
      ->Start([&](grpc::ClientContext* context) {
        return NextStub()->PrepareAsyncPut(context, request, loop_->queue());
      });
}

void EtcdTarget::Scan(uint64_t, Done done) {
  loop_->Post([done = std::move(done)]() mutable {
    done(absl::UnimplementedError("this benchmark scans nothing of etcd"));
  });
}

}  // namespace annulus::peers
