#include "adapters/grpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace annulus {
namespace {

namespace pb = google::protobuf;

// The file and all it imports, each once, imports behind their importers.
template <class FileResponse>
void AddFile(const pb::FileDescriptor* file, absl::flat_hash_set<const pb::FileDescriptor*>* seen,
             FileResponse* out) {
  if (!seen->insert(file).second) return;
  pb::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, out);
}

template <class Response>
void NotFound(const std::string& what, Response* response) {
  response->mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
  response->mutable_error_response()->set_error_message(absl::StrCat("not found: ", what));
}

template <class Response>
void AnswerFile(const pb::FileDescriptor* file, const std::string& what, Response* response) {
  if (file == nullptr) return NotFound(what, response);
  absl::flat_hash_set<const pb::FileDescriptor*> seen;
  AddFile(file, &seen, response->mutable_file_descriptor_response());
}

// The two versions differ in their package only.
template <class Request, class Response>
void Answer(const std::vector<std::string>& services, const Request& request, Response* response) {
  const pb::DescriptorPool* pool = pb::DescriptorPool::generated_pool();
  response->Clear();
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return AnswerFile(pool->FindFileByName(request.file_by_filename()),
                        request.file_by_filename(), response);
    case Request::kFileContainingSymbol:
      return AnswerFile(pool->FindFileContainingSymbol(request.file_containing_symbol()),
                        request.file_containing_symbol(), response);
    case Request::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const pb::Descriptor* type = pool->FindMessageTypeByName(wanted.containing_type());
      const pb::FieldDescriptor* field =
          type == nullptr ? nullptr : pool->FindExtensionByNumber(type, wanted.extension_number());
      return AnswerFile(field == nullptr ? nullptr : field->file(), wanted.containing_type(),
                        response);
    }
    case Request::kAllExtensionNumbersOfType: {
      const std::string& name = request.all_extension_numbers_of_type();
      const pb::Descriptor* type = pool->FindMessageTypeByName(name);
      if (type == nullptr) return NotFound(name, response);
      auto* numbers = response->mutable_all_extension_numbers_response();
      numbers->set_base_type_name(name);
      std::vector<const pb::FieldDescriptor*> extensions;
      pool->FindAllExtensions(type, &extensions);
      for (const pb::FieldDescriptor* extension : extensions) {
        numbers->add_extension_number(extension->number());
      }
      return;
    }
    case Request::kListServices:
      for (const std::string& service : services) {
        response->mutable_list_services_response()->add_service()->set_name(service);
      }
      return;
    case Request::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  response->mutable_error_response()->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
  response->mutable_error_response()->set_error_message("a request that asks for nothing");
}

}  // namespace

struct ReflectionService::V1 {
  using Service = grpc::reflection::v1::ServerReflection::AsyncService;
  using Request = grpc::reflection::v1::ServerReflectionRequest;
  using Response = grpc::reflection::v1::ServerReflectionResponse;
};
struct ReflectionService::V1Alpha {
  using Service = grpc::reflection::v1alpha::ServerReflection::AsyncService;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
};

template <class Version>
class ReflectionService::Impl {
 public:
  Impl(CqLoop* loop, std::vector<std::string> services)
      : loop_(loop), services_(std::move(services)) {}
  ~Impl() { ANNULUS_CHECK(streams_.empty()); }

  grpc::Service* service() { return &service_; }
  void Accept() { new Stream(this); }

 private:
  // Reads one request, answers it, and reads the next.
  class Stream {
   public:
    explicit Stream(Impl* impl) : impl_(impl) {
      impl_->streams_.insert(this);
      grpc::ServerCompletionQueue* queue = impl_->loop_->queue();
      impl_->service_.RequestServerReflectionInfo(&context_, &rw_, queue, queue,
                                                  on_accepted_.tag());
    }
    ~Stream() { impl_->streams_.erase(this); }

   private:
    void OnAccepted(bool ok) {
      if (!ok) {  // The server is shut down.
        delete this;
        return;
      }
      new Stream(impl_);
      rw_.Read(&request_, on_read_.tag());
    }
    void OnRead(bool ok) {
      if (!ok) return rw_.Finish(grpc::Status::OK, on_finished_.tag());
      Answer(impl_->services_, request_, &response_);
      rw_.Write(response_, on_written_.tag());
    }
    void OnWritten(bool ok) {
      if (!ok) return rw_.Finish(grpc::Status::OK, on_finished_.tag());
      rw_.Read(&request_, on_read_.tag());
    }
    void OnFinished(bool) { delete this; }

    Impl* impl_;
    grpc::ServerContext context_;
    grpc::ServerAsyncReaderWriter<typename Version::Response, typename Version::Request> rw_{
        &context_};
    typename Version::Request request_;
    typename Version::Response response_;
    MemberTag<Stream, &Stream::OnAccepted> on_accepted_{this};
    MemberTag<Stream, &Stream::OnRead> on_read_{this};
    MemberTag<Stream, &Stream::OnWritten> on_written_{this};
    MemberTag<Stream, &Stream::OnFinished> on_finished_{this};
  };

  CqLoop* loop_;
  const std::vector<std::string> services_;
  typename Version::Service service_;
  absl::flat_hash_set<Stream*> streams_;
};

ReflectionService::ReflectionService(CqLoop* loop, std::vector<std::string> services)
    : v1_(std::make_unique<Impl<V1>>(loop, services)),
      v1alpha_(std::make_unique<Impl<V1Alpha>>(loop, std::move(services))) {}

ReflectionService::~ReflectionService() = default;

std::vector<grpc::Service*> ReflectionService::services() {
  return {v1_->service(), v1alpha_->service()};
}

void ReflectionService::Accept() {
  v1_->Accept();
  v1alpha_->Accept();
}

}  // namespace annulus
