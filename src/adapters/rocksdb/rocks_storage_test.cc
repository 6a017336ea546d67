#include "adapters/rocksdb/rocks_storage.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "adapters/rocksdb/data_directory.h"
#include "adapters/rocksdb/test_store.h"
#include "base/random.h"
#include "rocksdb/statistics.h"

namespace annulus {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string Key(int i) { return absl::StrFormat("key-%06d", i); }

// Of RocksDB's logs.
size_t LogBytes(const std::string& path) {
  size_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    std::error_code gone;
    const auto size = entry.file_size(gone);
    if (entry.path().extension() == ".log" && !gone) bytes += size;
  }
  return bytes;
}

TEST(RocksStorage, KeepsFamiliesApartAndRemoves) {
  TestDirectory directory;
  TestStore store(directory.path("store"));
  ASSERT_TRUE(store.Open().ok());
  EXPECT_TRUE(store.storage->Syncs());
  EXPECT_EQ(store.Text("k"), "-");

  ASSERT_TRUE(store
                  .Commit({{ColumnFamily::kData, "k", "data"},
                           {ColumnFamily::kHint, "k", "hint"},
                           {ColumnFamily::kTree, "k", "tree"},
                           {ColumnFamily::kMeta, "k", ""}})
                  .ok());
  EXPECT_EQ(store.Text("k", ColumnFamily::kData), "data");
  EXPECT_EQ(store.Text("k", ColumnFamily::kHint), "hint");
  EXPECT_EQ(store.Text("k", ColumnFamily::kTree), "tree");
  EXPECT_EQ(store.Text("k", ColumnFamily::kMeta), "");

  ASSERT_TRUE(store.Remove("k").ok());
  EXPECT_EQ(store.Text("k"), "-");
  EXPECT_EQ(store.Text("k", ColumnFamily::kHint), "hint");
}

TEST(RocksStorage, LaterWritesWinWithinATurnAndWithinABatch) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    store.storage->Commit(
        {{ColumnFamily::kData, "k", std::nullopt}, {ColumnFamily::kData, "k", absl::StrCat(i)}},
        [&order, i](absl::Status status) {
          EXPECT_TRUE(status.ok());
          order.push_back(i);
        });
  }
  EXPECT_TRUE(order.empty()) << "nothing is written before the turn ends";
  ASSERT_TRUE(store.loop.RunUntil([&] { return order.size() == 100; }));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(store.Text("k"), "99");
}

TEST(RocksStorage, MixedWritesAddUpThroughRestartsAndCompactions) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  auto fixed = [](uint64_t number) {
    Bytes bytes;
    PutFixed64(&bytes, number);
    return bytes;
  };
  Random random(1);
  std::vector<uint64_t> leaves(4, 0);
  for (int round = 0; round < 5; ++round) {
    int pending = 0;
    for (int i = 0; i < 200; ++i) {
      const size_t leaf = random.Below(leaves.size());
      const uint64_t delta = random.Next();
      leaves[leaf] ^= delta;
      ++pending;
      store.storage->Commit({{ColumnFamily::kData, Key(i), "v"},
                             {.family = ColumnFamily::kTree,
                              .key = absl::StrCat("leaf-", leaf),
                              .value = fixed(delta),
                              .mixes = true}},
                            [&pending](absl::Status status) {
                              EXPECT_TRUE(status.ok());
                              --pending;
                            });
    }
    ASSERT_TRUE(store.loop.RunUntil([&] { return pending == 0; }));
    for (size_t leaf = 0; leaf < leaves.size(); ++leaf) {
      EXPECT_EQ(store.Text(absl::StrCat("leaf-", leaf), ColumnFamily::kTree), fixed(leaves[leaf]));
    }
    store.Close();
    ASSERT_TRUE(store.Open().ok());  // Makes a table of the log.
  }
  EXPECT_EQ(store.Range("leaf-0", "leaf-9", 10, 1 << 20, ColumnFamily::kTree)->entries.size(), 4u);
  // One that was put, or removed, is mixed into too.
  ASSERT_TRUE(store.Put("leaf-0", fixed(7), ColumnFamily::kTree).ok());
  ASSERT_TRUE(store.Remove("leaf-1", ColumnFamily::kTree).ok());
  for (const char* leaf : {"leaf-0", "leaf-1"}) {
    ASSERT_TRUE(
        store
            .Commit(
                {{.family = ColumnFamily::kTree, .key = leaf, .value = fixed(2), .mixes = true}})
            .ok());
  }
  EXPECT_EQ(store.Text("leaf-0", ColumnFamily::kTree), fixed(5));
  EXPECT_EQ(store.Text("leaf-1", ColumnFamily::kTree), fixed(2));
}

TEST(RocksStorage, EmptyCommitIsAnsweredInItsOrder) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  std::vector<int> order;
  store.storage->Commit({{ColumnFamily::kData, "k", "v"}},
                        [&](absl::Status) { order.push_back(1); });
  store.storage->Commit({}, [&](absl::Status status) {
    EXPECT_TRUE(status.ok());
    order.push_back(2);
  });
  ASSERT_TRUE(store.loop.RunUntil([&] { return order.size() == 2; }));
  EXPECT_THAT(order, ElementsAre(1, 2));
  EXPECT_TRUE(store.Commit({}).ok());
}

TEST(RocksStorage, ReadInMemoryAnswersBeforeItReturns) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  ASSERT_TRUE(store.Put("k", "v").ok());
  bool answered = false;
  store.storage->Read(ColumnFamily::kData, "k", [&](absl::StatusOr<std::optional<Bytes>> value) {
    answered = true;
    EXPECT_EQ(**value, "v");
  });
  EXPECT_TRUE(answered);
}

TEST(RocksStorage, RangesAreHalfOpenAndPaged) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  StorageBatch batch;
  for (const char* key : {"a", "b", "c", "d", "e"}) {
    batch.push_back({ColumnFamily::kData, key, absl::StrCat("value of ", key)});
  }
  batch.push_back({ColumnFamily::kHint, "bb", "elsewhere"});
  ASSERT_TRUE(store.Commit(std::move(batch)).ok());

  absl::StatusOr<StoragePage> page = store.Range("b", "d");
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(page->entries, ElementsAre(Pair("b", "value of b"), Pair("c", "value of c")));
  EXPECT_FALSE(page->more);

  page = store.Range("", "z", 2);
  EXPECT_THAT(page->entries, ElementsAre(Pair("a", "value of a"), Pair("b", "value of b")));
  EXPECT_TRUE(page->more);
  page = store.Range("d", "z", 2);
  EXPECT_EQ(page->entries.size(), 2u);
  EXPECT_FALSE(page->more) << "the page is full, but nothing is behind it";

  page = store.Range("a", "z", 100, 1);
  EXPECT_EQ(page->entries.size(), 1u) << "at least one, however large";
  EXPECT_TRUE(page->more);
  page = store.Range("a", "z", 0, 0);
  EXPECT_EQ(page->entries.size(), 1u);

  for (const auto& [begin, end] : {std::pair("d", "b"), {"b", "b"}, {"x", "z"}, {"a", ""}}) {
    page = store.Range(begin, end);
    ASSERT_TRUE(page.ok());
    EXPECT_TRUE(page->entries.empty());
    EXPECT_FALSE(page->more);
  }
}

TEST(RocksStorage, WaitingCommitsShareOneSync) {
  TestDirectory directory;
  const std::shared_ptr<rocksdb::Statistics> statistics = rocksdb::CreateDBStatistics();
  TestStore store(RocksOptions{.path = directory.path(), .statistics = statistics});
  ASSERT_TRUE(store.Open().ok());
  constexpr int kWriters = 200;
  constexpr int kRounds = 20;
  const uint64_t syncs_before = statistics->getTickerCount(rocksdb::WAL_FILE_SYNCED);
  const uint64_t posts_before = store.loop.posts();

  int done = 0;
  std::vector<int> rounds(kWriters, 0);
  std::function<void(int)> write = [&](int writer) {
    store.storage->Commit({{ColumnFamily::kData, Key(writer), absl::StrCat(rounds[writer])}},
                          [&, writer](absl::Status status) {
                            ASSERT_TRUE(status.ok());
                            ++done;
                            if (++rounds[writer] < kRounds) write(writer);
                          });
  };
  for (int writer = 0; writer < kWriters; ++writer) write(writer);
  ASSERT_TRUE(store.loop.RunUntil([&] { return done == kWriters * kRounds; }));

  // All writers of a round end in one turn, so each round is one group: one sync, one wake-up.
  EXPECT_EQ(statistics->getTickerCount(rocksdb::WAL_FILE_SYNCED) - syncs_before, kRounds);
  EXPECT_EQ(store.loop.posts() - posts_before, kRounds);
}

TEST(RocksStorage, UnsyncedCommitsDoNotSync) {
  TestDirectory directory;
  const std::shared_ptr<rocksdb::Statistics> statistics = rocksdb::CreateDBStatistics();
  TestStore store(RocksOptions{.path = directory.path(), .sync = false, .statistics = statistics});
  ASSERT_TRUE(store.Open().ok());
  EXPECT_FALSE(store.storage->Syncs());
  ASSERT_TRUE(store.Put("k", "v").ok());
  EXPECT_EQ(statistics->getTickerCount(rocksdb::WAL_FILE_SYNCED), 0u);
  store.Close();
  ASSERT_TRUE(store.Open().ok());
  EXPECT_EQ(store.Text("k"), "v");
}

TEST(RocksStorage, GroupsAreCutWhereTheyGrowTooLarge) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  int done = 0;
  for (int i = 0; i < 40; ++i) {  // 40 MiB in one turn.
    store.storage->Commit({{ColumnFamily::kData, Key(i), Bytes(1u << 20, static_cast<char>(i))}},
                          [&](absl::Status status) {
                            EXPECT_TRUE(status.ok());
                            ++done;
                          });
  }
  ASSERT_TRUE(store.loop.RunUntil([&] { return done == 40; }));
  EXPECT_GE(store.loop.posts(), 5u);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(store.Text(Key(i)), Bytes(1u << 20, static_cast<char>(i)));
  }
}

// However much memory there is for what is not in tables yet.
TEST(RocksStorage, TheLogIsKeptShortSoThatAStartIs) {
  TestDirectory directory;
  TestStore store(RocksOptions{.path = directory.path(), .memory_bytes = 512u << 20});
  ASSERT_TRUE(store.Open().ok());
  ASSERT_TRUE(store.Put("rare", "v", ColumnFamily::kMeta).ok());
  for (int i = 0; i < 48; ++i) {
    ASSERT_TRUE(store.Put(Key(i), Bytes(1u << 20, static_cast<char>(i))).ok());
  }
  EXPECT_TRUE(store.loop.RunUntil([&] { return LogBytes(directory.path()) <= 20u << 20; }));
}

// A store whose keys lie in tables of which RocksDB has no block in its cache.
class ColdReads : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(store_.Open().ok());
    for (int i = 0; i < kKeys; ++i) {
      store_.storage->Commit({{ColumnFamily::kData, Key(i), Value()}}, [](absl::Status) {});
    }
    ASSERT_TRUE(store_.Put("last", "v").ok());
    store_.Close();
    ASSERT_TRUE(store_.Open().ok());  // The memtables become tables.
  }

  // Reads many keys, and returns how many answers came before Read returned.
  int InlineAnswers() {
    int inline_answers = 0;
    int answers = 0;
    bool calling = false;
    for (int i = 0; i < kKeys; i += 10) {
      calling = true;
      store_.storage->Read(ColumnFamily::kData, Key(i),
                           [&](absl::StatusOr<std::optional<Bytes>> value) {
                             EXPECT_EQ(**value, Value());
                             inline_answers += calling ? 1 : 0;
                             ++answers;
                           });
      calling = false;
    }
    EXPECT_TRUE(store_.loop.RunUntil([&] { return answers == kReads; }));
    return inline_answers;
  }

  // Whether the kernel forgot what it had of the tables; that of a tmpfs it cannot.
  bool ForgetTables() {
    struct statfs disk = {};
    if (statfs(directory_.path().c_str(), &disk) != 0 || disk.f_type == TMPFS_MAGIC) return false;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      if (entry.path().extension() != ".sst") continue;
      const int file = open(entry.path().c_str(), O_RDONLY);
      EXPECT_EQ(fdatasync(file), 0);  // Only what is on the disk can be forgotten.
      EXPECT_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
      close(file);
    }
    return true;
  }

  // Whether the file system says what it has in memory.
  bool TellsWhatIsInMemory() {
    const int file = open(directory_.path("probe").c_str(), O_RDWR | O_CREAT, 0600);
    char byte = 'p';
    const iovec at{&byte, 1};
    const bool tells = write(file, &byte, 1) == 1 && preadv2(file, &at, 1, 0, RWF_NOWAIT) == 1;
    close(file);
    return tells;
  }

  static Bytes Value() { return Bytes(1000, 'x'); }

  static constexpr int kKeys = 2000;
  static constexpr int kReads = kKeys / 10;
  TestDirectory directory_;
  TestStore store_{directory_.path()};
};

TEST_F(ColdReads, AreAnsweredByTheReadersWhereTheDiskIsAsked) {
  if (!ForgetTables()) GTEST_SKIP() << "what lies in a tmpfs is in memory";
  EXPECT_LT(InlineAnswers(), kReads);
  EXPECT_EQ(InlineAnswers(), kReads) << "the second time it is in the cache";
}

TEST_F(ColdReads, AreAnsweredAtOnceWhereTheKernelHasThem) {
  if (!TellsWhatIsInMemory()) GTEST_SKIP() << "this file system has no RWF_NOWAIT";
  EXPECT_EQ(InlineAnswers(), kReads);
}

TEST(RocksStorage, ValuesInTablesThatAreNotOpenAreFound) {
  TestDirectory directory;
  // RocksDB opens two tables at its start then, and others when they are read.
  TestStore store(RocksOptions{.path = directory.path(), .open_files_max = 20});
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(store.Open().ok());
    const ColumnFamily family = static_cast<ColumnFamily>(i % kColumnFamilies);
    ASSERT_TRUE(store.Put(Key(i), absl::StrCat("value ", i), family).ok());
    ASSERT_TRUE(store.Put("empty", "", family).ok());
    store.Close();
  }
  ASSERT_TRUE(store.Open().ok());
  for (int i = 0; i < 12; ++i) {
    const ColumnFamily family = static_cast<ColumnFamily>(i % kColumnFamilies);
    EXPECT_EQ(store.Text(Key(i), family), absl::StrCat("value ", i));
    EXPECT_EQ(store.Text("empty", family), "");
  }
}

TEST(RocksStorage, DestructionFinishesCommitsAndCallsNobody) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  int called = 0;
  auto witness = std::make_shared<int>(0);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) {
      store.storage->Commit({{ColumnFamily::kData, Key(round * 100 + i), "v"}},
                            [&called, witness](absl::Status) { ++called; });
    }
    // One round is handed over, and may be under way; the last one has not left the turn.
    if (round < 2)
      store.storage->ReadRange(ColumnFamily::kData, "", "z", 10, 1000,
                               [&called, witness](absl::StatusOr<StoragePage>) { ++called; });
    if (round == 0) store.loop.Turn();
  }
  store.Close();
  const int before = called;
  store.loop.RunUntil([] { return false; }, 50ms);
  EXPECT_EQ(called, before);
  EXPECT_EQ(witness.use_count(), 1) << "what was not called is destroyed";

  ASSERT_TRUE(store.Open().ok());
  EXPECT_EQ(store.Range("", "z")->entries.size(), 300u);
}

TEST(RocksStorage, CallbackMayDestroyTheStore) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  int called = 0;
  for (int i = 0; i < 10; ++i) {
    store.storage->Commit({{ColumnFamily::kData, Key(i), "v"}}, [&](absl::Status) {
      ++called;
      store.Close();
    });
  }
  ASSERT_TRUE(store.loop.RunUntil([&] { return store.storage == nullptr; }));
  store.loop.RunUntil([] { return false; }, 20ms);
  EXPECT_EQ(called, 1);
}

TEST(RocksStorage, ReadSeesEveryAcknowledgedCommit) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  int acknowledged = -1;
  for (int called = 0; acknowledged < 300; ++called) {
    store.storage->Commit({{ColumnFamily::kData, "k", absl::StrCat(called)}},
                          [&acknowledged, called](absl::Status) { acknowledged = called; });
    store.loop.Turn();
    const int acknowledged_before = acknowledged;
    const std::string text = store.Text("k");
    const int read = text == "-" ? -1 : std::stoi(text);
    EXPECT_GE(read, acknowledged_before);
    EXPECT_LE(read, called);
  }
}

TEST(RocksStorage, TheSequenceRisesWithCommitsAndSurvivesRestarts) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  uint64_t last = store.storage->Sequence();
  for (int life = 0; life < 4; ++life) {
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(store.Put(Key(i), "v").ok());
      EXPECT_GT(store.storage->Sequence(), last);
      last = store.storage->Sequence();
    }
    store.Close();
    ASSERT_TRUE(store.Open().ok());
    EXPECT_GE(store.storage->Sequence(), last);
  }
}

TEST(RocksStorage, UnsyncedTheSequenceIsWhatWasFoundOnTheDisk) {
  TestDirectory directory;
  TestStore store(RocksOptions{.path = directory.path(), .sync = false});
  ASSERT_TRUE(store.Open().ok());
  const uint64_t first = store.storage->Sequence();
  ASSERT_TRUE(store.Put("k", "v").ok());
  EXPECT_EQ(store.storage->Sequence(), first);
  store.Close();
  ASSERT_TRUE(store.Open().ok());
  EXPECT_GT(store.storage->Sequence(), first);
}

TEST(RocksStorage, SecondOpenerIsRefused) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  TestStore second(directory.path());
  const absl::Status status = second.Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("data directory " + directory.path() +
                        " is in use by another process; stop it first or choose another with "
                        "--data-dir"));
  ASSERT_TRUE(store.Put("k", "v").ok());
  store.Close();
  EXPECT_TRUE(second.Open().ok());
  EXPECT_EQ(second.Text("k"), "v");
}

TEST(RocksStorage, NewerFormatIsRefusedAndNothingIsTouched) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  store.Close();
  const std::string file = directory.path(kFormatFile);
  std::ofstream(file) << "2 9.8.7\n";
  const absl::Status status = store.Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("written by annulus 9.8.7"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("use annulus 9.8.7 or newer"));
  std::ofstream(file) << "";
  EXPECT_EQ(store.Open().code(), absl::StatusCode::kDataLoss);
  std::ofstream(file) << "1 0.1.0\n";
  EXPECT_TRUE(store.Open().ok());
}

TEST(RocksStorage, ForeignDirectoryIsRefusedAndNothingIsTouched) {
  TestDirectory directory;
  std::ofstream(directory.path("holiday.jpg")) << "x";
  TestStore store(directory.path());
  absl::Status status = store.Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("holiday.jpg"));
  EXPECT_FALSE(std::filesystem::exists(directory.path("CURRENT")));
  EXPECT_FALSE(std::filesystem::exists(directory.path(kFormatFile)));
}

TEST(RocksStorage, MountedVolumeAndInterruptedFirstStartAreAccepted) {
  TestDirectory directory;
  std::filesystem::create_directory(directory.path("lost+found"));
  std::ofstream(directory.path(std::string(kFormatFile) + ".tmp")) << "";
  TestStore store(directory.path());
  EXPECT_TRUE(store.Open().ok());
}

TEST(RocksStorage, UnusablePathsSaySo) {
  TestDirectory directory;
  EXPECT_EQ(TestStore(std::string()).Open().code(), absl::StatusCode::kInvalidArgument);

  TestStore no_parent(directory.path("a/b"));
  EXPECT_EQ(no_parent.Open().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(no_parent.Open().message()), HasSubstr("--data-dir"));

  std::ofstream(directory.path("file")) << "x";
  TestStore file(directory.path("file"));
  EXPECT_FALSE(file.Open().ok());
  EXPECT_THAT(std::string(file.Open().message()), HasSubstr(directory.path("file")));
}

TEST(RocksStorage, DamagedTableIsDataLossAndTheRestStaysReadable) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    Bytes value;
    for (int word = 0; word < 25; ++word) PutFixed64(&value, random.Next());
    store.storage->Commit({{ColumnFamily::kData, Key(i), std::move(value)}}, [](absl::Status) {});
  }
  ASSERT_TRUE(store.Put("last", "v").ok());
  store.Close();
  ASSERT_TRUE(store.Open().ok());  // Makes a table of the log.
  store.Close();

  int damaged_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() != ".sst" || entry.file_size() < 100'000) continue;
    ++damaged_files;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(50'000);
    const char byte = static_cast<char>(file.get());
    file.seekp(50'000);
    file.put(static_cast<char>(byte ^ 0x10));
  }
  ASSERT_EQ(damaged_files, 1);

  ASSERT_TRUE(store.Open().ok()) << "one block is damaged, the rest can still be read";
  int lost = 0;
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = store.Text(Key(i));
    if (text == "DATA_LOSS") {
      ++lost;
    } else if (text.size() != 200) {
      ++wrong;
    }
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 40);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(store.Range("", "z", 10000).status().code(), absl::StatusCode::kDataLoss);
}

void Flip(const std::string& file, int offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(offset);
  const char byte = static_cast<char>(stream.get());
  stream.seekp(offset);
  stream.put(static_cast<char>(byte ^ 0x10));
}

std::vector<std::string> FilesOf(const std::string& path, const std::string& start) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(start)) files.push_back(name);
  }
  return files;
}

TEST(RocksStorage, ADamagedDatabaseIsSetAsideAndNothingOfItIsLost) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  ASSERT_TRUE(store.Put("k", "v").ok());
  EXPECT_EQ(SetDatabaseAside(directory.path()).status().code(),
            absl::StatusCode::kFailedPrecondition)
      << "it is open";
  store.Close();
  for (int times = 1; times <= 2; ++times) {
    const std::vector<std::string> manifests = FilesOf(directory.path(), "MANIFEST");
    ASSERT_EQ(manifests.size(), 1u);
    Flip(directory.path(manifests[0]), 20);
    EXPECT_EQ(store.Open().code(), absl::StatusCode::kDataLoss);
    const absl::StatusOr<std::string> aside = SetDatabaseAside(directory.path());
    ASSERT_TRUE(aside.ok()) << aside.status();
    EXPECT_EQ(*aside, directory.path(absl::StrCat("quarantine-", times)));
    EXPECT_EQ(DatabasesSetAside(directory.path()), times);
    EXPECT_TRUE(std::filesystem::exists(*aside + "/CURRENT"));
    EXPECT_TRUE(std::filesystem::exists(*aside + "/" + manifests[0]));
    EXPECT_FALSE(FilesOf(*aside, "0").empty());
    ASSERT_TRUE(store.Open().ok());
    EXPECT_EQ(store.Text("k"), "-");
    ASSERT_TRUE(store.Put("k", "new").ok());
    store.Close();
    ASSERT_TRUE(store.Open().ok());
    EXPECT_EQ(store.Text("k"), "new");
    store.Close();
  }
}

TEST(RocksStorage, SettingAsideGoesOnWhereItWasCutShort) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  ASSERT_TRUE(store.Put("k", "v").ok());
  store.Close();
  // As it is after the first file was moved.
  std::filesystem::create_directory(directory.path("quarantine-1"));
  std::filesystem::rename(directory.path("CURRENT"), directory.path("quarantine-1/CURRENT"));
  EXPECT_EQ(store.Open().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(SetDatabaseAside(directory.path()).ok());
  EXPECT_FALSE(FilesOf(directory.path("quarantine-2"), "0").empty());
  EXPECT_TRUE(store.Open().ok());
}

TEST(RocksStorage, ADamagedFormatFileIsSetAsideToo) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  store.Close();
  std::ofstream(directory.path(kFormatFile)) << "";
  EXPECT_EQ(store.Open().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(SetDatabaseAside(directory.path()).ok());
  EXPECT_TRUE(store.Open().ok());
}

TEST(RocksStorage, AMarkedDatabaseIsNotOpenedAgain) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  store.Close();
  ASSERT_TRUE(MarkDamaged(directory.path(), "a block of 000007.sst").ok());
  const absl::Status status = store.Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("000007.sst"));
  ASSERT_TRUE(SetDatabaseAside(directory.path()).ok());
  EXPECT_TRUE(store.Open().ok());
}

TEST(RocksStorage, DatabaseWithoutItsNameFileIsNotStartedAnew) {
  TestDirectory directory;
  TestStore store(directory.path());
  ASSERT_TRUE(store.Open().ok());
  ASSERT_TRUE(store.Put("k", "v").ok());
  store.Close();
  std::filesystem::rename(directory.path("CURRENT"), directory.path() + "-CURRENT");
  EXPECT_EQ(store.Open().code(), absl::StatusCode::kDataLoss);
  std::filesystem::rename(directory.path() + "-CURRENT", directory.path("CURRENT"));
  ASSERT_TRUE(store.Open().ok());
  EXPECT_EQ(store.Text("k"), "v");
}

}  // namespace
}  // namespace annulus
