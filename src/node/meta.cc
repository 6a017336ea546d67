#include "node/meta.h"

#include <utility>

#include "task/await.h"

namespace annulus {

Task<absl::StatusOr<std::optional<Bytes>>> ReadMeta(Env env, std::string name) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Found found = co_await Await<Found>(
      [&](auto done) { env.storage->Read(ColumnFamily::kMeta, std::move(name), std::move(done)); });
  co_return found;
}

Task<absl::Status> WriteMeta(Env env, std::string name, Bytes value) {
  StorageBatch batch;
  batch.push_back({ColumnFamily::kMeta, std::move(name), std::move(value)});
  absl::Status status = co_await CommitMeta(env, std::move(batch));
  co_return status;
}

Task<absl::Status> CommitMeta(Env env, StorageBatch batch) {
  absl::Status status = co_await Await<absl::Status>(
      [&](auto done) { env.storage->Commit(std::move(batch), std::move(done)); });
  co_return status;
}

}  // namespace annulus
