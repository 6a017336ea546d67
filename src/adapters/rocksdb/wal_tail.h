#pragma once

#include <string>

namespace annulus {

enum class LogDamage {
  kNone,    // Nothing is wrong with the logs, or their ends are merely cut off.
  kTail,    // What cannot be read has no readable record behind it.
  kInside,  // Readable records follow what cannot be read.
};

// Looks for damage in RocksDB's logs (*.log) under `path`, to tell a power failure from decay.
//
// A commit's record is appended only after the one before it was synced and acknowledged. So a
// damaged record with another behind it was acknowledged, and the disk lost it; one with none
// behind it is the write that was under way when the power went, of which some pages reached the
// disk. (Decay of exactly the last record looks the same.) RocksDB itself takes only a cut-off end
// for such a tail, and calls pages missing from its middle corruption.
LogDamage FindLogDamage(const std::string& path);

}  // namespace annulus
