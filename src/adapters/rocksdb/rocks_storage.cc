#include "adapters/rocksdb/rocks_storage.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/rocksdb/data_directory.h"
#include "adapters/rocksdb/disk_watch.h"
#include "adapters/rocksdb/guarded_disk.h"
#include "adapters/rocksdb/memory_budget.h"
#include "adapters/rocksdb/rocks_log.h"
#include "adapters/rocksdb/rocks_status.h"
#include "adapters/rocksdb/wal_tail.h"
#include "adapters/rocksdb/xor_operator.h"
#include "base/check.h"
#include "rocksdb/cache.h"
#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/iterator.h"
#include "rocksdb/options.h"
#include "rocksdb/statistics.h"
#include "rocksdb/table.h"
#include "rocksdb/write_buffer_manager.h"

namespace annulus {

namespace {

constexpr size_t kMiB = 1u << 20;
constexpr int kBloomBitsPerKey = 10;  // 1 % of the reads of absent keys look in vain.
// Bounds what a start replays, and so how long it takes: 62 MiB of small records took 2.7 s.
constexpr uint64_t kLogBytesMax = 16 * kMiB;

// In the order of ColumnFamily. The names are on disk.
constexpr std::array<const char*, kColumnFamilies> kFamilyNames = {"data", "hint", "tree", "meta"};

RocksOptions WithDefaults(RocksOptions options) {
  if (options.warn == nullptr) {
    options.warn = [](const std::string& line) {
      std::fprintf(stderr, "annulus: %s\n", line.c_str());
    };
  }
  return options;
}

size_t MemoryBytes(const RocksOptions& options) {
  if (options.memory_bytes == 0) return StorageMemoryBytes(MemoryLimitBytes());
  return std::max(options.memory_bytes, kStorageMemoryBytesMin);
}

int OpenFilesMax(const RocksOptions& options) {
  if (options.open_files_max > 0) return options.open_files_max;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  // Each is open twice (GuardedDisk), and half of all are for connections.
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 4, 256, 65536));
}

rocksdb::CompressionType Compression() {
  const std::vector<rocksdb::CompressionType> known = rocksdb::GetSupportedCompressions();
  return std::find(known.begin(), known.end(), rocksdb::kLZ4Compression) != known.end()
             ? rocksdb::kLZ4Compression
             : rocksdb::kNoCompression;
}

// A torn end of the log is what a kill or a power failure leaves of a write that nobody was told
// succeeded, and is dropped. What to do about other damage differs:
// - Synced: kTolerateCorruptedTailRecords. The open fails, the node is quarantined and rebuilt from
// its
//   peers. kPointInTimeRecovery would open instead, at the state before the damage, and silently
//   without all the acknowledged writes behind it.
// - Not synced: kPointInTimeRecovery. After a power failure the log may have holes anywhere behind
// the
//   last sync, and a state without its last writes is what was promised.
rocksdb::WALRecoveryMode RecoveryMode(bool sync) {
  return sync ? rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords
              : rocksdb::WALRecoveryMode::kPointInTimeRecovery;
}

rocksdb::DBOptions DatabaseOptions(const RocksOptions& options, rocksdb::Env* env,
                                   size_t memory_bytes, std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::DBOptions db;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.env = env;
  db.listeners.push_back(std::make_shared<DiskWatch>(options.path, options.ends_when_damaged));
  db.statistics = options.statistics;

  db.paranoid_checks = true;
  db.wal_recovery_mode = RecoveryMode(options.sync);
  db.manual_wal_flush = false;  // Unsynced commits reach the kernel: they survive a kill.
  db.recycle_log_file_num = 0;  // Leftovers of an earlier log must not look like a torn end.
  db.max_total_wal_size = kLogBytesMax;

  // One thread writes; the paths for many only cost.
  db.enable_pipelined_write = false;
  db.unordered_write = false;
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;

  // Half the budget may be memtables, which are charged to the cache and so push blocks out of it.
  db.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 2, cache);
  db.max_open_files = OpenFilesMax(options);
  // Else a compaction asks the kernel for each block alone.
  db.compaction_readahead_size = 2 * kMiB;
  db.bytes_per_sync = kMiB;  // Tables reach the disk as they grow, not in one burst at their end.

  db.skip_stats_update_on_db_open = true;  // Reads of every table, at each start.
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.info_log = std::make_shared<RocksLog>(options.warn);
  return db;
}

rocksdb::ColumnFamilyOptions FamilyOptions(ColumnFamily family, size_t memory_bytes,
                                           std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kBloomBitsPerKey));
  table.optimize_filters_for_memory = true;
  // Inside the budget, and found by reads that must not wait.
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;

  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = Compression();
  options.level_compaction_dynamic_level_bytes = true;  // Keeps garbage near a tenth of the data.
  // A short log makes small tables: twice as many as usual are merged at once.
  options.level0_file_num_compaction_trigger = 8;
  // No more than twice the log, which is what flushes them.
  options.write_buffer_size = family == ColumnFamily::kMeta
                                  ? kMiB
                                  : std::clamp(memory_bytes / 8, 2 * kMiB, 2 * kLogBytesMax);
  options.max_write_buffer_number = 3;
  if (family == ColumnFamily::kData) {
    // A put looks up the record that it replaces, which most memtables do not have.
    options.memtable_prefix_bloom_size_ratio = 0.02;
    options.memtable_whole_key_filtering = true;
  }
  if (family == ColumnFamily::kTree) options.merge_operator = std::make_shared<XorOperator>();
  return options;
}

absl::Status OpenError(const rocksdb::Status& status, const std::string& path) {
  const std::string text = status.ToString();
  // RocksDB 7.8 has no code for a lock that is held: by another process, or by this one.
  if (status.IsIOError() && (absl::StrContains(text, "While lock file") ||
                             absl::StrContains(text, "lock hold by current process"))) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory ", path,
                     " is in use by another process; stop it first or choose another with "
                     "--data-dir"));
  }
  // RocksDB also calls a file damaged that it may not open.
  const bool not_damage =
      absl::StrContains(text, "Permission denied") || absl::StrContains(text, "Input/output error");
  if (not_damage || (status.IsIOError() && !IsNoSpace(status))) {
    return absl::UnavailableError(
        absl::StrCat("data directory ", path, " cannot be opened: ", text));
  }
  return FromRocks(status, "opening data directory", path);
}

rocksdb::Status ReadPage(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, const Bytes& begin,
                         const Bytes& end, size_t entries_max, size_t bytes_max,
                         StoragePage* page) {
  if (begin >= end) return rocksdb::Status::OK();
  rocksdb::ReadOptions options;
  const rocksdb::Slice upper(end);
  options.iterate_upper_bound = &upper;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> at(db->NewIterator(options, family));
  size_t bytes = 0;
  for (at->Seek(begin); at->Valid(); at->Next()) {
    if (!page->entries.empty() && (page->entries.size() >= entries_max || bytes >= bytes_max)) {
      page->more = true;
      break;
    }
    page->entries.emplace_back(at->key().ToString(), at->value().ToString());
    bytes += at->key().size() + at->value().size();
  }
  return at->status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksStorage>> RocksStorage::Open(RocksOptions options, Loop* loop) {
  if (absl::Status status = PrepareDataDirectory(options.path); !status.ok()) return status;
  std::unique_ptr<RocksStorage> storage(new RocksStorage(std::move(options), loop));
  if (absl::Status status = storage->OpenDatabase(); !status.ok()) return status;
  return storage;
}

RocksStorage::RocksStorage(RocksOptions options, Loop* loop)
    : options_(WithDefaults(std::move(options))), loop_(loop) {}

absl::Status RocksStorage::OpenDatabase() {
  disk_ = std::make_shared<GuardedDisk>(options_.env != nullptr ? options_.env->GetFileSystem()
                                                                : rocksdb::FileSystem::Default());
  env_ = rocksdb::NewCompositeEnv(disk_);
  const size_t memory_bytes = MemoryBytes(options_);
  // Few shards: one loop and a few readers look things up, and each shard must hold whole blocks
  // beside its part of the memtables' charge.
  const int shard_bits = memory_bytes >= 256 * kMiB ? 4 : 2;
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes, shard_bits);
  rocksdb::DBOptions db_options = DatabaseOptions(options_, env_.get(), memory_bytes, cache);

  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (int i = 0; i < kColumnFamilies; ++i) {
    families.emplace_back(kFamilyNames[i],
                          FamilyOptions(static_cast<ColumnFamily>(i), memory_bytes, cache));
  }
  families.emplace_back(rocksdb::kDefaultColumnFamilyName,
                        FamilyOptions(ColumnFamily::kMeta, memory_bytes, cache));

  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::Status status = rocksdb::DB::Open(db_options, options_.path, families, &handles, &db);
  if (status.IsCorruption() && options_.sync && FindLogDamage(options_.path) == LogDamage::kTail) {
    options_.warn(absl::StrCat("the log under ", options_.path,
                               " ends in a write that was cut short; it was never acknowledged and "
                               "is dropped (",
                               status.ToString(), ")"));
    db_options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    status = rocksdb::DB::Open(db_options, options_.path, families, &handles, &db);
  }
  if (!status.ok()) return OpenError(status, options_.path);

  db_.reset(db);
  sequence_at_open_ = db_->GetLatestSequenceNumber();
  std::copy_n(handles.begin(), kColumnFamilies, families_.begin());
  // The handle of the family that RocksDB insists on, and nobody uses.
  db_->DestroyColumnFamilyHandle(handles.back());
  readers_ = std::make_unique<ReadPool>(std::max(1, options_.reader_threads));
  committer_ = std::make_unique<CommitThread>(db_.get(), families_, options_.sync, disk_.get(),
                                              options_.path, loop_, alive_);
  return absl::OkStatus();
}

RocksStorage::~RocksStorage() {
  *alive_ = false;
  if (db_ == nullptr) return;
  HandOver();
  committer_.reset();
  readers_.reset();
  for (rocksdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
  // What it could still fail to write is not needed: the log has every commit.
  db_->Close().PermitUncheckedError();
}

absl::Status RocksStorage::ReadError(const rocksdb::Status& status) const {
  if (status.IsCorruption() && ends_at_damaged_reads_) {
    EndDamaged(options_.path, "a read", status);
  }
  return FromRocks(status, "reading", options_.path);
}

absl::StatusOr<std::optional<Bytes>> RocksStorage::Answer(const rocksdb::Status& status,
                                                          Bytes value) const {
  if (status.ok()) return std::optional<Bytes>(std::move(value));
  if (status.IsNotFound()) return std::optional<Bytes>();
  return ReadError(status);
}

void RocksStorage::Read(ColumnFamily family, Bytes key, ReadDone done) {
  Bytes value;
  rocksdb::Status status;
  {
    // What the kernel has in memory costs a system call; a reader thread costs two wake-ups.
    ReadsWithoutWaiting without_waiting;
    status = db_->Get(rocksdb::ReadOptions(), Handle(family), key, &value);
  }
  if (!status.IsBusy()) {
    done(Answer(status, std::move(value)));
    return;
  }
  readers_->Run([this, alive = alive_, family, key = std::move(key),
                 done = std::move(done)]() mutable {
    Bytes value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), Handle(family), key, &value);
    loop_->Post([alive = std::move(alive), done = std::move(done),
                 answer = Answer(status, std::move(value))]() mutable {
      if (*alive) done(std::move(answer));
    });
  });
}

void RocksStorage::ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max,
                             size_t bytes_max, PageDone done) {
  readers_->Run([this, alive = alive_, family, begin = std::move(begin), end = std::move(end),
                 entries_max, bytes_max, done = std::move(done)]() mutable {
    StoragePage page;
    const rocksdb::Status status =
        ReadPage(db_.get(), Handle(family), begin, end, entries_max, bytes_max, &page);
    absl::StatusOr<StoragePage> answer = std::move(page);
    if (!status.ok()) answer = ReadError(status);
    loop_->Post(
        [alive = std::move(alive), done = std::move(done), answer = std::move(answer)]() mutable {
          if (*alive) done(std::move(answer));
        });
  });
}

void RocksStorage::Commit(StorageBatch batch, CommitDone done) {
  if (turn_.empty()) {
    loop_->AtTurnEnd([this, alive = alive_] {
      if (*alive) HandOver();
    });
  }
  turn_.push_back({std::move(batch), std::move(done)});
}

uint64_t RocksStorage::Sequence() const {
  return options_.sync ? db_->GetLatestSequenceNumber() : sequence_at_open_;
}

void RocksStorage::HandOver() {
  if (!turn_.empty()) committer_->HandOver(&turn_);
}

}  // namespace annulus
