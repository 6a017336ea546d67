#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "adapters/loop/cq_loop.h"
#include "base/random.h"
#include "cql_connection.h"
#include "load/target.h"

namespace annulus::peers {

struct CassandraOptions {
  std::vector<std::string> endpoints;  // Of all nodes.
  size_t value_bytes = 100;
};

// A Cassandra cluster of which every node has every key: each operation one prepared statement with
// consistency QUORUM, to the nodes in turn. Whichever it goes to is an owner, so a driver that knew
// the tokens would gain nothing.
class CassandraTarget final : public load::Target {
 public:
  CassandraTarget(CqLoop* loop, CassandraOptions options)
      : loop_(loop), options_(std::move(options)) {}

  // Makes the keyspace (3 copies) and the table where they are absent, and waits until each node
  // serves. REQUIRES: the loop does not run yet.
  absl::Status Connect();

  void Read(uint64_t key, Done done) override;
  void Write(uint64_t key, Done done) override;
  void Scan(uint64_t key, Done done) override;

 private:
  struct Node {
    std::unique_ptr<CqlConnection> connection;
    Bytes read_id, write_id;  // What it calls the prepared statements.
  };

  Node* NextNode() { return &nodes_[next_++ % nodes_.size()]; }

  CqLoop* const loop_;
  const CassandraOptions options_;
  std::vector<Node> nodes_;
  size_t next_ = 0;
  Random random_{1};
};

}  // namespace annulus::peers
