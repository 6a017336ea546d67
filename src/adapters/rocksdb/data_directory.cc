#include "adapters/rocksdb/data_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "rocksdb/env.h"

namespace annulus {

namespace {

constexpr char kTemporarySuffix[] = ".tmp";
constexpr char kLockFile[] = "LOCK";  // RocksDB's.
constexpr char kNamingFile[] = "CURRENT";

absl::Status CannotUse(const std::string& path, const char* doing, int error) {
  return absl::ErrnoToStatus(
      error, absl::StrCat("data directory ", path, " cannot be used (", doing,
                          "); make it writable for this user or choose another with --data-dir"));
}

absl::Status SyncDirectory(const std::string& path) {
  const int directory = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return CannotUse(path, "opening it", errno);
  const bool synced = fsync(directory) == 0;
  const int error = errno;
  close(directory);
  return synced ? absl::OkStatus() : CannotUse(path, "syncing it", error);
}

// Written under another name first: the file is there whole, or not at all.
absl::Status WriteFile(const std::string& path, const char* name, const std::string& content) {
  const std::string file = absl::StrCat(path, "/", name);
  const std::string temporary = file + kTemporarySuffix;

  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return CannotUse(path, "creating a file in it", errno);
  int error = 0;
  const ssize_t written = write(fd, content.data(), content.size());
  if (written != static_cast<ssize_t>(content.size())) {
    error = written < 0 ? errno : ENOSPC;
  } else if (fsync(fd) != 0) {
    error = errno;
  }
  close(fd);
  if (error != 0) return CannotUse(path, "writing to it", error);

  if (rename(temporary.c_str(), file.c_str()) != 0) {
    return CannotUse(path, "renaming a file in it", errno);
  }
  return SyncDirectory(path);
}

absl::Status WriteFormat(const std::string& path) {
  return WriteFile(path, kFormatFile, absl::StrCat(kStorageFormat, " ", ANNULUS_VERSION, "\n"));
}

absl::Status CheckFormat(const std::string& path) {
  const std::string name = absl::StrCat(path, "/", kFormatFile);
  // One that may not be read is not damaged.
  if (access(name.c_str(), R_OK) != 0) return CannotUse(path, "reading a file in it", errno);
  std::ifstream file(name);
  std::string format_word;
  std::string writer;
  int format = 0;
  if (!(file >> format_word >> writer) || !absl::SimpleAtoi(format_word, &format) || format < 1) {
    return absl::DataLossError(
        absl::StrCat("data directory ", path, ": the file ", kFormatFile,
                     " is damaged; restore it from a backup, or start this node with an empty "
                     "directory: it is rebuilt from the others"));
  }
  if (format > kStorageFormat) {
    return absl::FailedPreconditionError(absl::StrCat(
        "data directory ", path, " has storage format ", format, ", written by annulus ", writer,
        "; this is annulus ", ANNULUS_VERSION, ", which knows format ", kStorageFormat,
        " and older: use annulus ", writer, " or newer"));
  }
  return absl::OkStatus();
}

bool EndsLikeData(const std::string& name) {
  return absl::EndsWith(name, ".sst") || absl::EndsWith(name, ".log");
}

bool IsSetAside(const std::string& name) { return absl::StartsWith(name, kQuarantinePrefix); }

absl::Status CheckMark(const std::string& path) {
  std::ifstream file(absl::StrCat(path, "/", kDamagedFile));
  const std::string why((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return absl::DataLossError(absl::StrCat(
      "data directory ", path, " was found damaged while it was in use (", why,
      "); restore it from a backup, or start this node with an empty directory: it is rebuilt from "
      "the others"));
}

}  // namespace

absl::Status PrepareDataDirectory(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("no data directory given; use --data-dir");
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
    return CannotUse(path, "creating it", errno);

  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) return CannotUse(path, "opening it", errno);

  std::error_code error;
  bool formatted = false;
  bool database = false;
  bool marked = false;
  std::string foreign;
  std::string data;
  for (auto entry = std::filesystem::directory_iterator(path, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == kFormatFile) {
      formatted = true;
    } else if (name == kDamagedFile) {
      marked = true;
    } else if (name != absl::StrCat(kFormatFile, kTemporarySuffix) && name != "lost+found" &&
               name != kLockFile && !IsSetAside(name)) {
      // A volume's root has a lost+found, and a start that was cut short leaves the others.
      foreign = name;
    }
    if (name == kNamingFile) database = true;
    if (EndsLikeData(name)) data = name;
  }
  if (error) return CannotUse(path, "listing it", error.value());

  if (formatted) {
    if (absl::Status status = CheckFormat(path); !status.ok()) return status;
    if (marked) return CheckMark(path);
    if (!database && !data.empty()) {
      return absl::DataLossError(
          absl::StrCat("data directory ", path, " has ", data,
                       " but no file CURRENT; restore the directory from a backup, or start this "
                       "node with an empty one: it is rebuilt from the others"));
    }
    return absl::OkStatus();
  }
  if (!foreign.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "data directory ", path, " holds ", database ? "another program's database" : "other files",
        " (", foreign, ") and no ", kFormatFile, "; choose an empty directory with --data-dir"));
  }
  return WriteFormat(path);
}

absl::Status MarkDamaged(const std::string& path, const std::string& why) {
  return WriteFile(path, kDamagedFile, why);
}

absl::StatusOr<std::string> SetDatabaseAside(const std::string& path) {
  rocksdb::Env* env = rocksdb::Env::Default();
  rocksdb::FileLock* lock = nullptr;
  const std::string lock_file = absl::StrCat(path, "/", kLockFile);
  if (rocksdb::Status locked = env->LockFile(lock_file, &lock); !locked.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory ", path,
                     " is damaged, and in use by another process: ", locked.ToString()));
  }
  const absl::Cleanup unlock = [&] { env->UnlockFile(lock).PermitUncheckedError(); };

  std::error_code error;
  std::vector<std::string> names;
  for (auto entry = std::filesystem::directory_iterator(path, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kFormatFile && name != kLockFile && name != "lost+found" && !IsSetAside(name)) {
      names.push_back(name);
    }
  }
  if (error) return CannotUse(path, "listing it", error.value());
  // First the file without which nobody opens the rest, last the mark: whatever is left where this
  // is cut short is found damaged again. The format file stays, and says whose directory this is.
  std::sort(names.begin(), names.end());
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name != kDamagedFile; });
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name == kNamingFile; });
  if (absl::IsDataLoss(CheckFormat(path))) names.push_back(kFormatFile);

  std::string aside;
  for (int number = 1;; ++number) {
    aside = absl::StrCat(path, "/", kQuarantinePrefix, number);
    if (mkdir(aside.c_str(), 0755) == 0) break;
    if (errno != EEXIST) return CannotUse(path, "creating a directory in it", errno);
  }
  for (const std::string& name : names) {
    if (rename(absl::StrCat(path, "/", name).c_str(), absl::StrCat(aside, "/", name).c_str()) !=
        0) {
      return CannotUse(path, "renaming a file in it", errno);
    }
  }
  if (absl::Status synced = SyncDirectory(aside); !synced.ok()) return synced;
  if (absl::Status synced = SyncDirectory(path); !synced.ok()) return synced;
  return aside;
}

int DatabasesSetAside(const std::string& path) {
  int count = 0;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(path, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    count += IsSetAside(entry->path().filename().string());
  }
  return count;
}

}  // namespace annulus
