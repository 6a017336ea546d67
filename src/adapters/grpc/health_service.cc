#include "adapters/grpc/health_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/status_details.h"
#include "base/check.h"

namespace annulus {
namespace {

namespace pb = grpc::health::v1;

}  // namespace

class HealthService::CheckCall {
 public:
  explicit CheckCall(HealthService* health) : health_(health) {
    health_->checks_.insert(this);
    grpc::ServerCompletionQueue* queue = health_->loop_->queue();
    health_->service_.RequestCheck(&context_, &request_, &writer_, queue, queue,
                                   on_accepted_.tag());
  }
  ~CheckCall() { health_->checks_.erase(this); }

 private:
  void OnAccepted(bool ok) {
    if (!ok) {  // The server is shut down.
      delete this;
      return;
    }
    new CheckCall(health_);
    if (!health_->Known(request_.service())) {
      writer_.FinishWithError(
          ToGrpcStatus(absl::NotFoundError(absl::StrCat("no service ", request_.service()))),
          on_finished_.tag());
      return;
    }
    pb::HealthCheckResponse response;
    response.set_status(health_->serving_ ? Response::SERVING : Response::NOT_SERVING);
    writer_.Finish(response, grpc::Status::OK, on_finished_.tag());
  }
  void OnFinished(bool) { delete this; }

  HealthService* health_;
  grpc::ServerContext context_;
  pb::HealthCheckRequest request_;
  grpc::ServerAsyncResponseWriter<pb::HealthCheckResponse> writer_{&context_};
  MemberTag<CheckCall, &CheckCall::OnAccepted> on_accepted_{this};
  MemberTag<CheckCall, &CheckCall::OnFinished> on_finished_{this};
};

class HealthService::WatchStream {
 public:
  explicit WatchStream(HealthService* health) : health_(health) {
    health_->watches_.insert(this);
    context_.AsyncNotifyWhenDone(on_done_.tag());
    grpc::ServerCompletionQueue* queue = health_->loop_->queue();
    health_->service_.RequestWatch(&context_, &request_, &writer_, queue, queue,
                                   on_accepted_.tag());
  }
  ~WatchStream() { health_->watches_.erase(this); }

  // Tells the client what it does not know yet.
  void Update() {
    if (!accepted_ || writing_ || ending_) return;
    const auto status = !health_->Known(request_.service()) ? Response::SERVICE_UNKNOWN
                        : health_->serving_                 ? Response::SERVING
                                                            : Response::NOT_SERVING;
    if (told_ && response_.status() == status) return;
    told_ = true;
    response_.set_status(status);
    writing_ = true;
    writer_.Write(response_, on_written_.tag());
  }

  void End() {
    if (!accepted_) return;
    ending_ = true;
    FinishWhenWritten();
  }

 private:
  void OnAccepted(bool ok) {
    if (!ok) {  // The server is shut down; on_done_ does not come.
      delete this;
      return;
    }
    new WatchStream(health_);
    accepted_ = true;
    Update();
  }
  void OnWritten(bool) {
    writing_ = false;
    FinishWhenWritten();
    Update();
  }
  // The client has left, or the stream has ended.
  void OnDone(bool) {
    done_ = true;
    End();
    DeleteIfDone();
  }
  void OnFinished(bool) {
    finished_ = true;
    DeleteIfDone();
  }
  void FinishWhenWritten() {
    if (!ending_ || writing_ || finishing_) return;
    finishing_ = true;
    writer_.Finish(ToGrpcStatus(absl::UnavailableError("this process is stopping")),
                   on_finished_.tag());
  }
  void DeleteIfDone() {
    if (done_ && finished_) delete this;
  }

  HealthService* health_;
  grpc::ServerContext context_;
  pb::HealthCheckRequest request_;
  pb::HealthCheckResponse response_;
  grpc::ServerAsyncWriter<pb::HealthCheckResponse> writer_{&context_};
  bool accepted_ = false;
  bool told_ = false;
  bool writing_ = false;
  bool ending_ = false;
  bool finishing_ = false;
  bool finished_ = false;
  bool done_ = false;
  MemberTag<WatchStream, &WatchStream::OnAccepted> on_accepted_{this};
  MemberTag<WatchStream, &WatchStream::OnWritten> on_written_{this};
  MemberTag<WatchStream, &WatchStream::OnDone> on_done_{this};
  MemberTag<WatchStream, &WatchStream::OnFinished> on_finished_{this};
};

HealthService::HealthService(CqLoop* loop, std::vector<std::string> services)
    : loop_(loop), services_(std::move(services)) {}

HealthService::~HealthService() {
  ANNULUS_CHECK(checks_.empty());
  ANNULUS_CHECK(watches_.empty());
}

void HealthService::Accept() {
  new CheckCall(this);
  new WatchStream(this);
}

void HealthService::SetServing(bool serving) {
  if (serving == serving_) return;
  serving_ = serving;
  for (WatchStream* watch : watches_) watch->Update();
}

void HealthService::Stop() {
  for (WatchStream* watch : watches_) watch->End();
}

bool HealthService::Known(const std::string& service) const {
  return service.empty() ||
         std::find(services_.begin(), services_.end(), service) != services_.end();
}

}  // namespace annulus
