#include "sim/fleet.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/check.h"

namespace annulus::sim {

namespace {

// The numbers of a report, in the order in which they cross the pipe.
constexpr uint64_t RunReport::*kNumbers[] = {
    &RunReport::seed,
    &RunReport::trace_hash,
    &RunReport::operations,
    &RunReport::acknowledged,
    &RunReport::events,
    &RunReport::messages,
    &RunReport::simulated_ms,
    &RunReport::scans,
    &RunReport::siblings_max,
    &RunReport::sibling_reads,
    &RunReport::crashes,
    &RunReport::crashes_that_lost,
    &RunReport::batches_lost,
    &RunReport::commits_failed,
    &RunReport::forwards_again,
    &RunReport::several_minters,
    &RunReport::exempted,
    &RunReport::acknowledged_writes,
    &RunReport::lost_with_disks,
};

void PutStrings(Bytes* out, const std::vector<std::string>& strings) {
  PutVarint(out, strings.size());
  for (const std::string& string : strings) PutSized(out, string);
}

void TakeStrings(ByteReader* reader, std::vector<std::string>* strings) {
  uint64_t count = 0;
  reader->Varint(&count);
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    BytesView string;
    reader->Sized(&string);
    strings->emplace_back(string);
  }
}

Bytes Encode(const RunReport& report) {
  Bytes out;
  for (const auto number : kNumbers) PutFixed64(&out, report.*number);
  for (const uint32_t count : report.faults) PutVarint(&out, count);
  for (const uint64_t count : report.sights) PutVarint(&out, count);
  PutVarint(&out, report.episodes.size());
  for (const uint64_t episode : report.episodes) PutVarint(&out, episode);
  PutStrings(&out, report.violations);
  PutStrings(&out, report.violation_history);
  PutStrings(&out, report.story);
  return out;
}

RunReport Decode(BytesView bytes) {
  RunReport report;
  ByteReader reader(bytes);
  for (const auto number : kNumbers) reader.Fixed64(&(report.*number));
  for (uint32_t& count : report.faults) {
    uint64_t value = 0;
    reader.Varint(&value);
    count = static_cast<uint32_t>(value);
  }
  for (uint64_t& count : report.sights) reader.Varint(&count);
  uint64_t episodes = 0;
  reader.Varint(&episodes);
  for (uint64_t i = 0; i < episodes && reader.ok(); ++i) {
    reader.Varint(&report.episodes.emplace_back());
  }
  TakeStrings(&reader, &report.violations);
  TakeStrings(&reader, &report.violation_history);
  TakeStrings(&reader, &report.story);
  ANNULUS_CHECK(reader.done());
  return report;
}

void WriteAll(int fd, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(3);  // The parent is gone.
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// One process that runs every jobs-th seed and sends its reports home.
class Worker {
 public:
  Worker(const FleetOptions& options, uint64_t first) : options_(options), next_(first) { Start(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(fd_);
  }

  bool running() const { return pid_ > 0; }
  int fd() const { return fd_; }

  // Takes what the pipe has; adds the reports that are complete.
  void Read(std::map<uint64_t, RunReport>* reports) {
    char chunk[1 << 16];
    const ssize_t size = read(fd_, chunk, sizeof(chunk));
    if (size < 0 && errno == EINTR) return;
    if (size > 0) {
      input_.append(chunk, static_cast<size_t>(size));
    } else {
      Finish(reports);
      return;
    }
    while (input_.size() >= 8) {
      uint64_t length = 0;
      ByteReader(input_).Fixed64(&length);
      if (input_.size() < 8 + length) break;
      RunReport report = Decode(BytesView(input_).substr(8, length));
      input_.erase(0, 8 + length);
      next_ = report.seed + static_cast<uint64_t>(options_.jobs);
      reports->emplace(report.seed, std::move(report));
    }
  }

 private:
  bool HasMore() const { return next_ < options_.first_seed + options_.seeds; }

  void Start() {
    if (!HasMore()) return;
    int ends[2];
    ANNULUS_CHECK(pipe(ends) == 0);
    std::fflush(nullptr);
    pid_ = fork();
    ANNULUS_CHECK(pid_ >= 0);
    if (pid_ == 0) {
      close(ends[0]);
      while (HasMore()) {
        const Bytes report = Encode(RunSeed(next_, options_.run));
        Bytes framed;
        PutFixed64(&framed, report.size());
        WriteAll(ends[1], framed + report);
        next_ += static_cast<uint64_t>(options_.jobs);
      }
      // Not exit: what the parent has buffered is the parent's.
      _exit(0);
    }
    close(ends[1]);
    fd_ = ends[0];
  }

  void Finish(std::map<uint64_t, RunReport>* reports) {
    int status = 0;
    waitpid(pid_, &status, 0);
    close(fd_);
    pid_ = 0;
    input_.clear();
    if (!HasMore()) return;
    RunReport report{.seed = next_};
    report.violations.push_back(
        WIFSIGNALED(status)
            ? absl::StrCat("the run ends by signal ", WTERMSIG(status), " (",
                           strsignal(WTERMSIG(status)),
                           "): an invariant does not hold, or memory was misused")
            : absl::StrCat("the run ends the process with code ", WEXITSTATUS(status)));
    reports->emplace(next_, std::move(report));
    next_ += static_cast<uint64_t>(options_.jobs);
    Start();
  }

  const FleetOptions& options_;
  uint64_t next_;
  pid_t pid_ = 0;
  int fd_ = -1;
  Bytes input_;
};

}  // namespace

void RunFleet(const FleetOptions& options, const std::function<bool(const RunReport&)>& on_report) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.jobs; ++i) {
    workers.push_back(
        std::make_unique<Worker>(options, options.first_seed + static_cast<uint64_t>(i)));
  }
  std::map<uint64_t, RunReport> reports;  // Those that wait for one before them.
  uint64_t next = options.first_seed;
  const uint64_t end = options.first_seed + options.seeds;
  while (next < end) {
    std::vector<pollfd> fds;
    std::vector<Worker*> polled;
    for (const std::unique_ptr<Worker>& worker : workers) {
      if (!worker->running()) continue;
      fds.push_back({.fd = worker->fd(), .events = POLLIN, .revents = 0});
      polled.push_back(worker.get());
    }
    ANNULUS_CHECK(!fds.empty());
    if (poll(fds.data(), fds.size(), -1) < 0) {
      ANNULUS_CHECK(errno == EINTR);
      continue;
    }
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents != 0) polled[i]->Read(&reports);
    }
    for (auto report = reports.find(next); report != reports.end(); report = reports.find(next)) {
      const bool go_on = on_report(report->second);
      reports.erase(report);
      ++next;
      if (!go_on) return;
    }
  }
}

}  // namespace annulus::sim
