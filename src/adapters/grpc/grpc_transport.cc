#include "adapters/grpc/grpc_transport.h"

#include <utility>

#include "adapters/grpc/grpc_link.h"
#include "adapters/grpc/peer_service.h"
#include "base/check.h"

namespace annulus {

GrpcTransport::GrpcTransport(CqLoop* loop, TransportOptions options, TransportEvents events)
    : loop_(loop),
      options_(std::move(options)),
      events_(std::move(events)),
      peer_service_(std::make_unique<PeerService>(loop, &options_, &identity_, &events_)) {}

GrpcTransport::~GrpcTransport() { ANNULUS_CHECK(links_.empty()); }

std::unique_ptr<Link> GrpcTransport::Open(std::string address, NodeId expected) {
  return std::make_unique<GrpcLink>(this, std::move(address), expected);
}

void GrpcTransport::Serve(Handler handler) {
  ANNULUS_CHECK(!handler_);
  handler_ = std::move(handler);
  AcceptWhenReady();
}

void GrpcTransport::SetIdentity(NodeId id, Incarnation incarnation) {
  const bool first = !identity_.known;
  identity_ = {.known = true, .id = id, .incarnation = incarnation};
  if (!first) return;
  for (GrpcLink* link : links_) link->Dial();
  AcceptWhenReady();
}

grpc::Service* GrpcTransport::service() { return peer_service_->service(); }

void GrpcTransport::ServerStarted() {
  server_started_ = true;
  AcceptWhenReady();
}

void GrpcTransport::StopServing() { peer_service_->Stop(); }

size_t GrpcTransport::links_up() const {
  size_t up = 0;
  for (const GrpcLink* link : links_) up += link->Connected() ? 1 : 0;
  return up;
}

void GrpcTransport::AcceptWhenReady() {
  if (accepting_ || !handler_ || !server_started_ || !identity_.known) return;
  accepting_ = true;
  peer_service_->Accept(&handler_);
}

}  // namespace annulus
