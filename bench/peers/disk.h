#pragma once

#include <string>

namespace annulus::peers {

// What the disk and RocksDB alone can do, in a folder of its own under `path` that it removes, as
// one line of JSON: microseconds of an append of 150 bytes with its fdatasync (median), and puts a
// second of 100-byte values by one thread, unsynced one at a time, and synced in batches of 128.
int MeasureDisk(const std::string& path, double seconds);

}  // namespace annulus::peers
