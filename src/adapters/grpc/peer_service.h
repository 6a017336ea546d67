#pragma once

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "adapters/grpc/transport_options.h"
#include "adapters/loop/cq_loop.h"
#include "annulus/peer/v1/peer.grpc.pb.h"
#include "env/transport.h"

namespace annulus {

// The server's side of the peer port: takes Exchange streams, checks their hellos, hands their
// requests to the handler, and sends back whatever answers a turn brought in one frame.
class PeerService {
 public:
  // All outlive it.
  PeerService(CqLoop* loop, const TransportOptions* options, const PeerIdentity* identity,
              TransportEvents* events);
  ~PeerService();

  grpc::Service* service() { return &service_; }

  // Takes streams from now on. REQUIRES: the server runs, our identity is known.
  void Accept(Transport::Handler* handler);
  // Cancels every stream; the handler is not called again.
  void Stop();

 private:
  class Stream;

  void Post();

  CqLoop* loop_;
  const TransportOptions* options_;
  const PeerIdentity* identity_;
  TransportEvents* events_;
  Transport::Handler* handler_ = nullptr;
  peer::v1::Peer::AsyncService service_;
  absl::flat_hash_set<Stream*> streams_;
};

}  // namespace annulus
