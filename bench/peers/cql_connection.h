#pragma once

#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "adapters/loop/cq_loop.h"
#include "cql.h"

namespace annulus::peers {

// A connection to one node of Cassandra. First whoever asks waits for the answer; from Start on
// many requests are under way at once, and their answers come on the loop.
//
// Requests of a turn are sent together at its end. A thread waits for answers, and posts all that
// came together as one job.
class CqlConnection {
 public:
  using Done = absl::AnyInvocable<void(const absl::StatusOr<cql::Answer>&)>;

  explicit CqlConnection(CqLoop* loop) : loop_(loop) {}
  // REQUIRES: the loop does not run.
  ~CqlConnection();
  CqlConnection(const CqlConnection&) = delete;
  CqlConnection& operator=(const CqlConnection&) = delete;

  // `endpoint`: address and port, as numbers.
  absl::Status Open(const std::string& endpoint);
  // REQUIRES, for these two: it is open and not started.
  absl::Status Query(BytesView query);
  absl::StatusOr<Bytes> Prepare(BytesView query);

  void Start();
  // On the loop, after Start.
  void Execute(BytesView id, std::initializer_list<BytesView> values, Done done);

 private:
  struct Reply {
    uint16_t stream;
    absl::StatusOr<cql::Answer> answer;
  };

  absl::StatusOr<cql::Answer> Ask(BytesView request);
  absl::Status Send(BytesView bytes);
  // Waits until at least one came whole.
  absl::StatusOr<std::vector<Reply>> Receive();
  void ReadUntilClosed();

  void Flush();
  void Deliver(std::vector<Reply> replies);
  // All that is under way fails, and all that comes.
  void Lose(const absl::Status& why);

  CqLoop* const loop_;
  std::string endpoint_;
  int socket_ = -1;
  Bytes received_;  // Of the reader once that runs.
  std::thread reader_;

  // Below: on the loop.
  Bytes outgoing_;
  absl::Status lost_;
  std::vector<Done> under_way_;  // By stream; null where it is free.
  std::vector<uint16_t> free_streams_;
};

}  // namespace annulus::peers
