#include "adapters/faults/faulty_storage.h"

#include <algorithm>

#include "core/error.h"

namespace annulus {

void FaultyStorage::Commit(StorageBatch batch, CommitDone done) {
  const DiskFault fault = plane_->disk();
  if (fault.full && !OnlyRemoves(batch)) {
    loop_->Post([done = std::move(done)]() mutable {
      done(WithDetails(absl::ResourceExhaustedError("the disk is full: a fault that was set"),
                       {.reason = kReasonDiskFull, .retry_after = 1s}));
    });
    return;
  }
  if (held_.empty() && fault.commit_delay == Duration{0}) {
    store_->Commit(std::move(batch), std::move(done));
    return;
  }
  Instant at = loop_->Now() + fault.commit_delay;
  const bool first = held_.empty();
  if (!first) at = std::max(at, held_.back().at);
  held_.push_back({std::move(batch), std::move(done), at});
  if (first) line_.At(at, [this] { Release(); });
}

void FaultyStorage::Release() {
  const Instant now = loop_->Now();
  while (!held_.empty() && held_.front().at <= now) {
    Held held = std::move(held_.front());
    held_.pop_front();
    store_->Commit(std::move(held.batch), std::move(held.done));
  }
  if (!held_.empty()) line_.At(held_.front().at, [this] { Release(); });
}

}  // namespace annulus
