#pragma once

#include <deque>
#include <utility>

#include "adapters/faults/delay_line.h"
#include "adapters/faults/fault_plane.h"
#include "env/storage.h"

namespace annulus {

// A Storage whose commits the plane delays or refuses. Their order stays.
class FaultyStorage final : public Storage {
 public:
  // All outlive it.
  FaultyStorage(Storage* inner, Loop* loop, FaultPlane* plane)
      : inner_(inner), loop_(loop), plane_(plane), line_(loop) {}

  void Read(ColumnFamily family, Bytes key, ReadDone done) override {
    inner_->Read(family, std::move(key), std::move(done));
  }
  void Commit(StorageBatch batch, CommitDone done) override;
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t bytes_max,
                 PageDone done) override {
    inner_->ReadRange(family, std::move(begin), std::move(end), entries_max, bytes_max,
                      std::move(done));
  }
  bool Syncs() const override { return inner_->Syncs(); }
  uint64_t Sequence() const override { return inner_->Sequence(); }

 private:
  struct Held {
    StorageBatch batch;
    CommitDone done;
    Instant at;
  };
  void Release();

  Storage* inner_;
  Loop* loop_;
  FaultPlane* plane_;
  std::deque<Held> held_;  // Ascending by `at`; a timer waits for the first.
  DelayLine line_;
};

}  // namespace annulus
