#include "adapters/rocksdb/data_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace annulus {

namespace {

constexpr char kTemporarySuffix[] = ".tmp";

absl::Status CannotUse(const std::string& path, const char* doing, int error) {
  return absl::ErrnoToStatus(
      error, absl::StrCat("data directory ", path, " cannot be used (", doing,
                          "); make it writable for this user or choose another with --data-dir"));
}

// Written under another name first: the file is there whole, or not at all.
absl::Status WriteFormat(const std::string& path) {
  const std::string file = absl::StrCat(path, "/", kFormatFile);
  const std::string temporary = file + kTemporarySuffix;
  const std::string content = absl::StrCat(kStorageFormat, " ", ANNULUS_VERSION, "\n");

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
  const int directory = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return CannotUse(path, "opening it", errno);
  const bool synced = fsync(directory) == 0;
  const int sync_error = errno;
  close(directory);
  return synced ? absl::OkStatus() : CannotUse(path, "syncing it", sync_error);
}

absl::Status CheckFormat(const std::string& path) {
  std::ifstream file(absl::StrCat(path, "/", kFormatFile));
  std::string format_word;
  std::string writer;
  int format = 0;
  if (!(file >> format_word >> writer) || !absl::SimpleAtoi(format_word, &format) || format < 1) {
    return absl::DataLossError(
        absl::StrCat("data directory ", path, ": the file ", kFormatFile,
                     " is damaged or cannot be read; restore it from a backup, or start this node "
                     "with an empty directory: it is rebuilt from the others"));
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

}  // namespace

absl::Status PrepareDataDirectory(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("no data directory given; use --data-dir");
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
    return CannotUse(path, "creating it", errno);

  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) return CannotUse(path, "opening it", errno);

  std::error_code error;
  bool formatted = false;
  bool database = false;
  std::string foreign;
  std::string data;
  for (auto entry = std::filesystem::directory_iterator(path, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == kFormatFile) {
      formatted = true;
    } else if (name != absl::StrCat(kFormatFile, kTemporarySuffix) && name != "lost+found") {
      // A volume's root has a lost+found, and a start that was cut short leaves the other.
      foreign = name;
    }
    if (name == "CURRENT") database = true;
    if (EndsLikeData(name)) data = name;
  }
  if (error) return CannotUse(path, "listing it", error.value());

  if (formatted) {
    if (absl::Status status = CheckFormat(path); !status.ok()) return status;
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

}  // namespace annulus
