#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

namespace annulus {

// A generated service whose requests come as bytes, to be parsed by Parse. gRPC itself answers a
// call whose request it cannot parse as INTERNAL, and ends a stream as if the client had.
//
// `method`: the method's place in its service, in the .proto.
template <class AsyncService>
class UnparsedService final : public AsyncService {
 public:
  template <class Response>
  void RequestUnary(int method, grpc::ServerContext* context, grpc::ByteBuffer* request,
                    grpc::ServerAsyncResponseWriter<Response>* writer,
                    grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* queue,
                    void* tag) {
    this->RequestAsyncUnary(method, context, request, writer, call_queue, queue, tag);
  }
  template <class Response>
  void RequestServerStream(int method, grpc::ServerContext* context, grpc::ByteBuffer* request,
                           grpc::ServerAsyncWriter<Response>* writer,
                           grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* queue,
                           void* tag) {
    this->RequestAsyncServerStreaming(method, context, request, writer, call_queue, queue, tag);
  }
  template <class Response>
  void RequestBidiStream(int method, grpc::ServerContext* context,
                         grpc::ServerAsyncReaderWriter<Response, grpc::ByteBuffer>* stream,
                         grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* queue,
                         void* tag) {
    this->RequestAsyncBidiStreaming(method, context, stream, call_queue, queue, tag);
  }
};

// Takes the bytes. INVALID_ARGUMENT: they are no such message, or a string in it is no UTF-8.
template <class Message>
absl::Status Parse(grpc::ByteBuffer* bytes, Message* out) {
  const bool ok = grpc::SerializationTraits<Message>::Deserialize(bytes, out).ok();
  bytes->Clear();
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError("the request is malformed: no such message, or no UTF-8");
}

}  // namespace annulus
