#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/commands.h"
#include "cli/commands/importer.h"
#include "cli/commands/verifier.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/progress.h"
#include "cli/record_file.h"

namespace annulus::cli {
namespace {

struct ImportFlags {
  std::string file;
  std::string bucket = "default";
  std::string format;
  std::string mode = "replace";
  std::string ttl;
  ConsistencyFlags consistency;
  uint32_t concurrency = 256;
  bool skip_bad = false;
  bool verify = false;
};

// Prints the first few of what may be a million lines.
class Complaints {
 public:
  explicit Complaints(Progress* progress) : progress_(progress) {}
  void Add(const std::string& line) {
    constexpr uint64_t kShown = 10;
    const uint64_t count = ++count_;
    if (count <= kShown) progress_->Say(absl::StrCat("annulus: ", line));
    if (count == kShown) progress_->Say("annulus: ... (further ones are only counted)");
  }

 private:
  Progress* const progress_;
  std::atomic<uint64_t> count_{0};
};

// Reads `reader` to its end and hands each record to `take`, until that says that the cluster is
// gone. Counts malformed lines; without skip_bad the first one ends it, as does SIGINT. Returns
// what the command should exit with.
int ReadAll(RecordReader& reader, bool skip_bad, Complaints& complaints, uint64_t* bad,
            const std::function<bool(Record)>& take) {
  InterruptGuard interrupt;
  for (;;) {
    Record record;
    auto next = reader.Next(&record);
    if (interrupt.interrupted()) return kExitInterrupted;
    if (!next.ok()) {
      complaints.Add(std::string(next.status().message()));
      if (next.status().code() != absl::StatusCode::kInvalidArgument) return kExitFailed;
      ++*bad;
      if (skip_bad) continue;
      complaints.Add("  to do: correct the line, or pass --skip-bad to go on without it");
      return kExitFailed;
    }
    if (!*next) return kExitOk;
    if (!take(std::move(record))) return kExitUnreachable;
  }
}

void WarnUnreachable(const Pipeline& pipeline, const ClientOptions& client) {
  if (client.endpoints.size() < 2) return;
  for (const std::string& endpoint : pipeline.Unreachable()) {
    std::fprintf(stderr, "annulus: no connection to %s yet; going on with the others\n",
                 endpoint.c_str());
  }
}

void SayCutOff(const RecordReader& reader) {
  std::fprintf(
      stderr,
      "annulus: no endpoint could be reached for a whole --timeout: stopped at line %s; what "
      "is counted as written is there\n",
      Grouped(reader.line_number()).c_str());
}

double Rounded(double seconds) { return static_cast<int64_t>(seconds * 1000) / 1000.0; }

int RunImport(Invocation& invocation, const ImportFlags& flags, RecordReader& reader,
              const PipelineOptions& pipeline_options) {
  Importer::Options options;
  options.bucket = flags.bucket;
  options.consistency = flags.consistency.value();
  options.w = flags.consistency.number;
  options.create = flags.mode == "create";
  options.records_max = flags.concurrency;
  if (!flags.ttl.empty()) {
    auto ttl = ParseDuration(flags.ttl, "--ttl");
    if (!ttl.ok()) return UsageError(ttl.status());
    options.ttl = *ttl;
  }
  Pipeline pipeline(pipeline_options);
  if (absl::Status status = pipeline.Connect(); !status.ok()) {
    return Fail(invocation, "import", status);
  }
  WarnUnreachable(pipeline, pipeline_options.client);

  std::atomic<uint64_t> bytes{0};
  std::optional<Importer> importer;
  Progress progress("import", reader.bytes_total(), [&] {
    return ProgressSnapshot{importer ? importer->ended() : 0, bytes};
  });
  Complaints complaints(&progress);
  importer.emplace(&pipeline, options,
                   [&](const std::string& complaint) { complaints.Add(complaint); });
  uint64_t bad = 0;
  int code = ReadAll(reader, flags.skip_bad, complaints, &bad, [&](Record record) {
    importer->Write(std::move(record));
    bytes = reader.bytes_read();
    return !importer->cut_off();
  });
  importer->Drain();

  const Importer::Counts counts = importer->counts();
  const double seconds = progress.seconds();
  if (invocation.json()) {
    PrintJson({{"read", counts.read},
               {"written", counts.written},
               {"failed", counts.failed},
               {"unknown", counts.unknown},
               {"retried", pipeline.retried()},
               {"bad_lines", bad},
               {"skipped", counts.skipped},
               {"seconds", Rounded(seconds)}});
  } else {
    std::string text =
        absl::StrFormat("read %s, written %s, failed %s, retried %s, %s (%s/s)",
                        Grouped(counts.read), Grouped(counts.written), Grouped(counts.failed),
                        Grouped(pipeline.retried()), HumanDuration(seconds),
                        Grouped(static_cast<uint64_t>(static_cast<double>(counts.written) /
                                                      std::max(seconds, 1e-3))));
    if (counts.unknown > 0) absl::StrAppend(&text, "; of the failed, unknown ", counts.unknown);
    if (bad > 0) absl::StrAppend(&text, "; bad lines ", bad);
    if (counts.skipped > 0)
      absl::StrAppend(&text, "; skipped (expired or deleted) ", counts.skipped);
    std::printf("%s\n", text.c_str());
  }
  if (code == kExitOk && counts.failed > 0) code = kExitFailed;
  if (code == kExitInterrupted) {
    std::fputs("annulus: interrupted; the lines read so far are written as counted\n", stderr);
  }
  if (code == kExitUnreachable) SayCutOff(reader);
  return code;
}

int RunVerify(Invocation& invocation, const ImportFlags& flags, RecordReader& reader,
              const PipelineOptions& pipeline_options) {
  Pipeline pipeline(pipeline_options);
  if (absl::Status status = pipeline.Connect(); !status.ok()) {
    return Fail(invocation, "verify", status);
  }
  WarnUnreachable(pipeline, pipeline_options.client);

  Verifier::Options options;
  options.bucket = flags.bucket;
  options.consistency = flags.consistency.value();
  options.r = flags.consistency.number;
  std::atomic<uint64_t> bytes{0};
  std::optional<Verifier> verifier;
  Progress progress("verify", reader.bytes_total(), [&] {
    return ProgressSnapshot{verifier ? verifier->ended() : 0, bytes};
  });
  Complaints complaints(&progress);
  verifier.emplace(&pipeline, options,
                   [&](const std::string& complaint) { complaints.Add(complaint); });
  uint64_t bad = 0;
  // Once to learn which line of a key is its last, once to compare.
  int code = ReadAll(reader, flags.skip_bad, complaints, &bad, [&](const Record& record) {
    verifier->Note(record);
    return true;
  });
  if (code == kExitOk) {
    if (absl::Status status = reader.Rewind(); !status.ok()) {
      return Fail(invocation, "verify", status);
    }
    uint64_t bad_again = 0;
    Complaints silent(&progress);
    code = ReadAll(reader, /*skip_bad=*/true, silent, &bad_again, [&](Record record) {
      verifier->Compare(std::move(record));
      bytes = reader.bytes_read();
      return !verifier->cut_off();
    });
  }
  pipeline.Drain();

  const Verifier::Counts counts = verifier->counts();
  const double seconds = progress.seconds();
  if (invocation.json()) {
    PrintJson({{"read", counts.read},
               {"compared", counts.compared},
               {"missing", counts.missing},
               {"different", counts.different},
               {"failed", counts.failed},
               {"retried", pipeline.retried()},
               {"bad_lines", bad},
               {"repeated_keys", counts.repeated},
               {"seconds", Rounded(seconds)}});
  } else {
    std::string text =
        absl::StrFormat("read %s, compared %s, missing %s, different %s, failed %s, %s (%s/s)",
                        Grouped(counts.read), Grouped(counts.compared), Grouped(counts.missing),
                        Grouped(counts.different), Grouped(counts.failed), HumanDuration(seconds),
                        Grouped(static_cast<uint64_t>(static_cast<double>(counts.compared) /
                                                      std::max(seconds, 1e-3))));
    if (counts.repeated > 0) {
      absl::StrAppend(&text, "; lines whose key comes again later ", counts.repeated);
    }
    if (bad > 0) absl::StrAppend(&text, "; bad lines ", bad);
    std::printf("%s\n", text.c_str());
  }
  if (code == kExitUnreachable) SayCutOff(reader);
  if (code == kExitOk && counts.missing + counts.different + counts.failed > 0) code = kExitFailed;
  return code;
}

// Standard input can be read once only, and a comparison reads twice.
absl::Status Spool(const std::string& path) {
  std::FILE* copy = std::tmpfile();
  if (copy == nullptr) return absl::UnavailableError("cannot make a temporary file");
  char buffer[64 << 10];
  size_t got;
  while ((got = std::fread(buffer, 1, sizeof(buffer), stdin)) > 0) {
    if (std::fwrite(buffer, 1, got, copy) != got) {
      std::fclose(copy);
      return absl::UnavailableError("the temporary file for standard input cannot be written");
    }
  }
  std::fflush(copy);
  std::rewind(copy);
  const bool moved = dup2(fileno(copy), STDIN_FILENO) >= 0;
  std::fclose(copy);
  std::clearerr(stdin);
  if (!moved) return absl::UnavailableError(absl::StrCat("cannot read ", path));
  return absl::OkStatus();
}

int Run(Invocation& invocation, const ImportFlags& flags) {
  auto format = FormatOf(flags.format, flags.file);
  if (!format.ok()) return UsageError(format.status());
  auto client = invocation.client_options();
  if (!client.ok()) return UsageError(client.status());
  if (flags.verify && flags.file == "-") {
    if (absl::Status status = Spool("standard input"); !status.ok()) {
      return Fail(invocation, "verify", status);
    }
  }
  auto reader = RecordReader::Open(flags.file, *format);
  if (!reader.ok()) return UsageError(reader.status());
  PipelineOptions options;
  options.client = *client;
  options.operations_max = flags.concurrency;
  return flags.verify ? RunVerify(invocation, flags, **reader, options)
                      : RunImport(invocation, flags, **reader, options);
}

}  // namespace

void AddImport(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "import", "Write the records of a file, or compare them (--verify)",
      "  annulus import people.jsonl\n"
      "  annulus import words.tsv --bucket words --endpoints node-1:50051,node-2:50051\n"
      "  generate | annulus import -\n"
      "  annulus import people.jsonl --verify     # writes nothing; exit code 0 if all is there\n"
      "JSON Lines: {\"key\": \"k\", \"value\": \"v\"}, with \"key_base64\" and \"value_base64\" "
      "for bytes\n"
      "that are no text, and \"sort_key\"; what `annulus export` writes. TSV: key, tab, value.\n"
      "A key that comes twice ends with its last line. By default each key is read first and what "
      "is\n"
      "there is replaced, so that importing twice leaves one value; --mode create writes without\n"
      "reading, which is faster, and right for keys that are not there yet.",
      [&invocation, flags] { return Run(invocation, *flags); });
  command->add_option("FILE", flags->file, "the file; - reads standard input")
      ->required()
      ->type_name("");
  command->add_option("-b,--bucket", flags->bucket, "the bucket (default: default)")
      ->type_name("NAME");
  command->add_option("--format", flags->format, "jsonl or tsv (default: by the file's extension)")
      ->type_name("jsonl|tsv")
      ->check(OneOf({"jsonl", "tsv"}));
  command
      ->add_option("--mode", flags->mode,
                   "replace: what is there gives way; create: values are added without reading")
      ->type_name("replace|create")
      ->check(OneOf({"replace", "create"}));
  command
      ->add_option("--concurrency", flags->concurrency,
                   "operations under way at once (default: 256)")
      ->type_name("N")
      ->check(Between(1, 100'000));
  command->add_flag("--skip-bad", flags->skip_bad, "go on behind malformed lines");
  command->add_flag("--verify", flags->verify, "write nothing: read every key and compare");
  command->add_option("--ttl", flags->ttl, "hide the values from reads after this time, like 10m")
      ->type_name("TIME");
  CLI::Option* level = command
                           ->add_option("--consistency", flags->consistency.level,
                                        "replicas each write or read waits for: one, quorum or all")
                           ->type_name("one|quorum|all")
                           ->check(OneOf({"one", "quorum", "all"}));
  command->add_option("--w,--r", flags->consistency.number, "the same as a number, from 1 to N")
      ->type_name("N")
      ->check(Between(1, 7))
      ->excludes(level);
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
