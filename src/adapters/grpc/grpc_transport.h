#pragma once

#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "adapters/grpc/transport_options.h"
#include "adapters/loop/cq_loop.h"
#include "env/transport.h"

namespace grpc {
class Service;
}

namespace annulus {

class GrpcLink;
class PeerService;

// The real Transport: one bidirectional Exchange stream for each link (proto/annulus/peer/v1), on
// the loop's queue. Outgoing links are in grpc_link.h, incoming streams in peer_service.h.
//
// REQUIRES: used and destroyed on the loop's thread, after every Link.
class GrpcTransport final : public Transport {
 public:
  GrpcTransport(CqLoop* loop, TransportOptions options, TransportEvents events);
  ~GrpcTransport() override;

  std::unique_ptr<Link> Open(std::string address, NodeId expected) override;
  void Serve(Handler handler) override;

  void SetIdentity(NodeId id, Incarnation incarnation) override;

  // To be registered with the server of the peer port (server.h).
  grpc::Service* service();
  // That server is running: incoming streams are taken from now on.
  void ServerStarted();
  // Ends every incoming stream and calls the handler no more. The node may go away afterwards.
  void StopServing();

  // Outgoing links that stand, and all of them.
  size_t links_up() const;
  size_t links() const { return links_.size(); }
  // Streams that gRPC still holds, those of closed links among them. The loop may end when there
  // are none.
  size_t client_streams() const { return client_streams_; }

 private:
  friend class GrpcLink;

  void AcceptWhenReady();

  CqLoop* loop_;
  const TransportOptions options_;
  TransportEvents events_;
  PeerIdentity identity_;
  absl::flat_hash_set<GrpcLink*> links_;
  size_t client_streams_ = 0;
  Handler handler_;
  bool server_started_ = false;
  bool accepting_ = false;
  std::unique_ptr<PeerService> peer_service_;
};

}  // namespace annulus
