#include "cassandra_target.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "load/random_value.h"

namespace annulus::peers {
namespace {

using std::chrono::steady_clock;

constexpr char kCreateKeyspace[] =
    "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = "
    "{'class': 'SimpleStrategy', 'replication_factor': 3}";
constexpr char kCreateTable[] =
    "CREATE TABLE IF NOT EXISTS bench.items (key text PRIMARY KEY, value blob)";
constexpr char kRead[] = "SELECT value FROM bench.items WHERE key = ?";
constexpr char kWrite[] = "INSERT INTO bench.items (key, value) VALUES (?, ?)";
constexpr char kProbe[] = "SELECT value FROM bench.items WHERE key = 'probe'";

constexpr std::chrono::seconds kPatience{30};

// Who is up, and what the tables are, takes a moment to be known everywhere.
template <class Try>
absl::Status Patiently(Try attempt) {
  const auto until = steady_clock::now() + kPatience;
  while (true) {
    absl::Status status = attempt();
    if (status.ok() || steady_clock::now() > until) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

absl::Status CassandraTarget::Connect() {
  for (const std::string& endpoint : options_.endpoints) {
    auto connection = std::make_unique<CqlConnection>(loop_);
    if (absl::Status opened = connection->Open(endpoint); !opened.ok()) return opened;
    nodes_.push_back({std::move(connection), {}, {}});
  }
  for (const char* create : {kCreateKeyspace, kCreateTable}) {
    absl::Status created = Patiently([&] { return nodes_[0].connection->Query(create); });
    if (!created.ok()) return created;
  }
  for (Node& node : nodes_) {
    absl::Status ready = Patiently([&] {
      absl::StatusOr<Bytes> read = node.connection->Prepare(kRead);
      if (!read.ok()) return read.status();
      absl::StatusOr<Bytes> write = node.connection->Prepare(kWrite);
      if (!write.ok()) return write.status();
      node.read_id = *std::move(read);
      node.write_id = *std::move(write);
      return node.connection->Query(kProbe);
    });
    if (!ready.ok()) return ready;
  }
  for (Node& node : nodes_) node.connection->Start();
  return absl::OkStatus();
}

void CassandraTarget::Read(uint64_t key, Done done) {
  const Node* node = NextNode();
  node->connection->Execute(
      node->read_id, {absl::StrCat(key)},
      [done = std::move(done)](const absl::StatusOr<cql::Answer>& answer) mutable {
        const bool missed = answer.ok() && answer->rows == 0;
        done(missed ? absl::NotFoundError("a key that was filled is not there") : answer.status());
      });
}

void CassandraTarget::Write(uint64_t key, Done done) {
  const Bytes value = load::RandomValue(options_.value_bytes, &random_);
  const Node* node = NextNode();
  node->connection->Execute(
      node->write_id, {absl::StrCat(key), value},
      [done = std::move(done)](const absl::StatusOr<cql::Answer>& answer) mutable {
        done(answer.status());
      });
}

void CassandraTarget::Scan(uint64_t, Done done) {
  loop_->Post([done = std::move(done)]() mutable {
    done(absl::UnimplementedError("this benchmark scans nothing of Cassandra"));
  });
}

}  // namespace annulus::peers
