// What is there after the process, or the power, has gone.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "adapters/rocksdb/test_store.h"
#include "adapters/rocksdb/wal_tail.h"

namespace annulus {
namespace {

constexpr char kPathVariable[] = "ANNULUS_TEST_STORE";
constexpr char kFirstVariable[] = "ANNULUS_TEST_FIRST";
constexpr int kAckFd = 3;
constexpr int kWriters = 64;
constexpr int kKeys = 500;

// The write with number `n`, so that what it must have left can be told from `n`.
std::string KeyOf(uint64_t n) { return absl::StrCat("key-", n % kKeys); }
std::string ValueOf(uint64_t n) { return absl::StrCat(n, " ", std::string(n % 700, 'x')); }
uint64_t NumberIn(const std::string& value) {
  uint64_t n = 0;
  ANNULUS_CHECK(absl::SimpleAtoi(value.substr(0, value.find(' ')), &n));
  return n;
}

// Not a test: the program that is killed. It writes, and says on a pipe which writes were
// acknowledged, until it dies.
TEST(StoreCrash, DISABLED_Writer) {
  if (std::getenv(kPathVariable) == nullptr) GTEST_SKIP() << "started by another test";
  uint64_t next = std::stoull(std::getenv(kFirstVariable));
  TestStore store(std::string(std::getenv(kPathVariable)));
  ASSERT_TRUE(store.Open().ok());
  std::function<void()> write = [&] {
    const uint64_t n = next++;
    store.storage->Commit({{ColumnFamily::kData, KeyOf(n), ValueOf(n)},
                           {ColumnFamily::kTree, KeyOf(n), absl::StrCat(n)},
                           {ColumnFamily::kHint, absl::StrCat("gone-", n % kKeys), std::nullopt}},
                          [&write, n](absl::Status status) {
                            ANNULUS_CHECK(status.ok());
                            ANNULUS_CHECK(::write(kAckFd, &n, sizeof n) == sizeof n);
                            write();
                          });
  };
  for (int i = 0; i < kWriters; ++i) write();
  store.loop.RunUntil([] { return false; });
}

class WriterProcess {
 public:
  WriterProcess(const std::string& path, uint64_t first) {
    std::array<int, 2> pipe_fds;
    ANNULUS_CHECK(pipe2(pipe_fds.data(), O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], kAckFd);
    std::vector<std::string> words = {"writer", "--gtest_filter=StoreCrash.DISABLED_Writer",
                                      "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    setenv(kPathVariable, path.c_str(), 1);
    setenv(kFirstVariable, std::to_string(first).c_str(), 1);
    ANNULUS_CHECK(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ) ==
                  0);
    unsetenv(kPathVariable);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    acks_ = pipe_fds[0];
  }
  ~WriterProcess() { close(acks_); }

  // Blocks for the next number; false once the process is dead and all was read.
  bool NextAck(uint64_t* n) { return read(acks_, n, sizeof *n) == sizeof *n; }

  void Kill() {
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }

 private:
  pid_t pid_ = 0;
  int acks_ = -1;
};

TEST(StoreCrash, KilledProcessKeepsAllItAcknowledged) {
  TestDirectory directory;
  std::map<std::string, uint64_t> acknowledged;  // The last number by key.
  uint64_t first = 0;
  uint64_t total = 0;
  for (int round = 0; round < 8; ++round) {
    WriterProcess writer(directory.path("store"), first);
    uint64_t n = 0;
    const uint64_t kill_after = 500 + 700 * static_cast<uint64_t>(round);
    for (uint64_t acks = 0; writer.NextAck(&n); ++total) {
      uint64_t& last = acknowledged[KeyOf(n)];
      EXPECT_GE(n, last);
      last = n;
      if (++acks == kill_after) writer.Kill();
    }

    TestStore store(directory.path("store"));
    ASSERT_TRUE(store.Open().ok());
    for (const auto& [key, number] : acknowledged) {
      absl::StatusOr<std::optional<Bytes>> value = store.Read(key);
      ASSERT_TRUE(value.ok() && value->has_value()) << key << " in round " << round;
      // A later write that was not acknowledged any more may be there too, whole.
      const uint64_t stored = NumberIn(**value);
      EXPECT_GE(stored, number);
      EXPECT_EQ(KeyOf(stored), key);
      EXPECT_EQ(**value, ValueOf(stored));
      EXPECT_EQ(store.Text(key, ColumnFamily::kTree), absl::StrCat(stored)) << "half a batch";
      first = std::max(first, stored + 1);
    }
  }
  EXPECT_GE(total, 20'000u);
}

// A store with ten commits in its log, copied while it is open: as a power failure leaves it, with
// the zeros that lie ahead of the log's end or without them.
class StoreLog : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    TestStore store(directory_.path("store"));
    ASSERT_TRUE(store.Open().ok());
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(store.Put(absl::StrCat("k", i), Bytes(60'000, static_cast<char>('a' + i))).ok());
    }
    std::filesystem::copy(directory_.path("store"), directory_.path("copy"));
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path("copy"))) {
      if (entry.path().extension() == ".log" && entry.file_size() > 0) log_ = entry.path();
    }
    std::ifstream file(log_, std::ios::binary);
    const std::string log((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    size_ = log.find_last_not_of('\0') + 1;
    ASSERT_GT(size_, 600'000u);
    ASSERT_GT(log.size(), size_);
    if (!GetParam()) std::filesystem::resize_file(log_, size_);
  }

  void Overwrite(size_t at, size_t size, char with) {
    std::fstream file(log_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << std::string(size, with);
  }
  // Of what was written.
  size_t size() const { return size_; }

  // Which of the ten are there, as "1111111110"; the error's code where it does not open.
  std::string Found(bool sync = true) {
    warnings_.clear();
    TestStore store(RocksOptions{.path = directory_.path("copy"),
                                 .sync = sync,
                                 .warn = [this](const auto& line) { warnings_ += line + "\n"; }});
    if (absl::Status status = store.Open(); !status.ok()) {
      return absl::StatusCodeToString(status.code());
    }
    std::string found;
    for (int i = 0; i < 10; ++i) {
      const std::string text = store.Text(absl::StrCat("k", i));
      found += text == Bytes(60'000, static_cast<char>('a' + i)) ? "1" : text == "-" ? "0" : "?";
    }
    return found;
  }

  TestDirectory directory_;
  std::filesystem::path log_;
  size_t size_ = 0;
  std::string warnings_;
};

INSTANTIATE_TEST_SUITE_P(ZerosBehindIt, StoreLog, ::testing::Bool());

TEST_P(StoreLog, Whole) { EXPECT_EQ(Found(), "1111111111"); }

TEST_P(StoreLog, CutOffEndIsDropped) {
  std::filesystem::resize_file(log_, size() - 10'000);
  EXPECT_EQ(Found(), "1111111110");
}

TEST_P(StoreLog, PageMissingFromTheLastWriteIsDropped) {
  Overwrite(size() - 30'000, 4096, '\0');
  EXPECT_EQ(Found(), "1111111110");
  EXPECT_THAT(warnings_, ::testing::HasSubstr("ends in a write that was cut short"));
  EXPECT_EQ(Found(), "1111111110");
}

TEST_P(StoreLog, EndThatNeverReachedTheDiskIsDropped) {
  Overwrite(size() - 40'000, 40'000, '\0');
  EXPECT_EQ(Found(), "1111111110");
}

// RocksDB closes a log some time after it has begun the next one, and does not cut it before.
TEST_P(StoreLog, ZerosBehindAnOlderLogAreNoDamage) {
  const std::filesystem::path logs = directory_.path("logs");
  std::filesystem::create_directory(logs);
  std::filesystem::copy(log_, logs / "000001.log");
  EXPECT_EQ(FindLogDamage(logs), LogDamage::kNone);
  Overwrite(size() - 30'000, 4096, '\0');
  std::filesystem::copy(log_, logs / "000002.log");
  EXPECT_EQ(FindLogDamage(logs), LogDamage::kTail);
  std::filesystem::copy(logs / "000001.log", logs / "000003.log");
  EXPECT_EQ(FindLogDamage(logs), LogDamage::kInside);
}

TEST_P(StoreLog, DamageBeforeAnAcknowledgedWriteIsDataLoss) {
  Overwrite(size() - 100'000, 1, '?');
  EXPECT_EQ(Found(), "DATA_LOSS");
  EXPECT_EQ(Found(), "DATA_LOSS") << "looking does not repair it";
}

TEST_P(StoreLog, UnsyncedStoreGoesBackToTheStateBeforeTheDamage) {
  Overwrite(size() - 100'000, 1, '?');
  EXPECT_EQ(Found(/*sync=*/false), "1111111100");
}

}  // namespace
}  // namespace annulus
