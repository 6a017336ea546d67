#include "sim/scenario.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "core/error.h"
#include "core/hint/hint.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"

namespace annulus::sim {

namespace {

constexpr char kKey[] = "k";
constexpr char kSeparator[] = "----";

int Number(const std::string& text) {
  int number = 0;
  ANNULUS_CHECK(absl::SimpleAtoi(text, &number));
  return number;
}

ReplicaCount CountOf(const std::string& level) {
  if (level == "one") return {.level = Consistency::kOne};
  if (level == "all") return {.level = Consistency::kAll};
  ANNULUS_CHECK(level == "quorum");
  return {.level = Consistency::kQuorum};
}

std::string Values(std::vector<std::string> values) {
  if (values.empty()) return "nothing";
  std::sort(values.begin(), values.end());
  return absl::StrJoin(values, " ");
}

std::string Told(const absl::Status& status) {
  const ErrorDetails details = DetailsOf(status);
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", details.reason,
                      details.outcome == Outcome::kNone
                          ? ""
                          : absl::StrCat(", ", std::string(ToString(details.outcome))),
                      "\n");
}

std::string Described(const Record& record) {
  std::vector<std::string> values;
  for (const Sibling& sibling : record.siblings) {
    values.push_back(sibling.tombstone ? "(deleted)" : sibling.value);
  }
  return Values(std::move(values));
}

}  // namespace

Scenario::Scenario() = default;
Scenario::~Scenario() {
  client_.reset();
  cluster_.reset();
}

bool Scenario::Command::Has(const std::string& word) const {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string Scenario::Command::Option(const std::string& name, const std::string& fallback) const {
  const auto found = options.find(name);
  return found == options.end() ? fallback : found->second;
}

std::string Scenario::Run(std::string_view text) {
  std::string out;
  bool in_output = false;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(std::string(text), '\n'))) {
    // Old output ends with an empty line.
    if (in_output && !line.empty()) continue;
    in_output = line == kSeparator;
    if (in_output) continue;
    if (line.empty() || line[0] == '#') {
      // Each command is followed by one empty line, which RunOne has written.
      if (!line.empty()) absl::StrAppend(&out, line, "\n");
      continue;
    }
    Command command;
    for (const std::string& word : std::vector<std::string>(absl::StrSplit(line, ' '))) {
      const std::vector<std::string> option = absl::StrSplit(word, '=');
      if (option.size() == 2) {
        command.options[option[0]] = option[1];
      } else if (command.name.empty()) {
        command.name = word;
      } else {
        command.words.emplace_back(word);
      }
    }
    absl::StrAppend(&out, line, "\n", kSeparator, "\n", RunOne(command), "\n");
  }
  return out;
}

std::string Scenario::RunOne(const Command& command) {
  if (command.name == "cluster") return Form(command);
  if (command.name == "put" || command.name == "delete") return Write(command);
  if (command.name == "get") return Get(command);
  if (command.name == "holds") return Holds();
  if (command.name == "cut" || command.name == "mend") return ChangeLink(command);
  if (command.name == "wait") {
    world_->RunFor(Number(command.words[0]) * Duration(1s));
    return "";
  }
  return ChangeProcess(command);
}

std::string Scenario::Form(const Command& command) {
  world_ = std::make_unique<World>(Number(command.Option("seed", "1")));
  cluster_ = std::make_unique<Cluster>(
      world_.get(), ClusterOptions{
                        .nodes = Number(command.Option("nodes", "5")),
                        .coordinators = Number(command.Option("coordinators", "0")),
                        .replicas = static_cast<uint32_t>(Number(command.Option("replicas", "3"))),
                        // Anti-entropy would end most stories before they begin.
                        .repair_interval = Number(command.Option("repair", "3600")) * Duration(1s),
                        .reap_interval = Number(command.Option("reap", "3600")) * Duration(1s),
                    });
  ANNULUS_CHECK(cluster_->WaitReady());
  client_ = std::make_unique<Client>(cluster_.get(), 1);
  processes_ = cluster_->OwnersOf(Client::ItemOf(kKey));
  const size_t owners = processes_.size();
  for (int process = 1; process <= cluster_->processes(); ++process) {
    if (LetterOf(process).empty()) processes_.push_back(process);
  }
  std::string all = "ABCDEFGHIJ";
  all.resize(processes_.size());
  return absl::StrCat("owners ", all.substr(0, owners),
                      owners == all.size() ? "" : ", others " + all.substr(owners), "\n");
}

std::string Scenario::LetterOf(int process) const {
  const auto found = std::find(processes_.begin(), processes_.end(), process);
  if (found == processes_.end()) return "";
  return std::string(1, static_cast<char>('A' + (found - processes_.begin())));
}

std::string Scenario::LetterOf(const std::string& process) const {
  for (const int number : processes_) {
    if (cluster_->Process(number).name() == process) return LetterOf(number);
  }
  return process;
}

SimProcess& Scenario::At(const std::string& letter) {
  ANNULUS_CHECK(letter.size() == 1 && letter[0] >= 'A' &&
                static_cast<size_t>(letter[0] - 'A') < processes_.size());
  return cluster_->Process(processes_[letter[0] - 'A']);
}

// Sorted, and without times, nor whether a yes came in time: what chance decides is no part of the
// story.
std::string Scenario::Told(const std::optional<Explanation>& explanation) const {
  if (!explanation.has_value()) return "";
  std::vector<std::string> hops;
  for (const Hop& hop : explanation->hops) {
    std::string answer;
    if (hop.answer != "ok" && hop.answer != "no answer") answer = ": " + hop.answer;
    for (const int number : processes_) {
      answer = absl::StrReplaceAll(answer, {{cluster_->Process(number).name(), LetterOf(number)}});
    }
    hops.push_back(
        absl::StrCat("  ", std::string(ToString(hop.kind)), " ", LetterOf(hop.name), answer, "\n"));
  }
  std::sort(hops.begin(), hops.end());
  hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
  return absl::StrJoin(hops, "");
}

std::string Scenario::Write(const Command& command) {
  WriteRequest request{.item = Client::ItemOf(kKey),
                       .is_delete = command.name == "delete",
                       .w = CountOf(command.Option("w", "quorum")),
                       .sloppy = !command.Has("strict"),
                       .explain = true};
  if (!request.is_delete) request.value = command.words[0];
  if (request.is_delete || command.Has("over")) request.context = context_;
  const absl::StatusOr<WriteAnswer> answer =
      client_->Ask(At(command.Option("at", "A")).index()).Write(std::move(request));
  if (!answer.ok()) return sim::Told(answer.status());
  context_ = answer->context;
  return absl::StrCat("applied, owners ", answer->acks.primaries, ", fallbacks ",
                      answer->acks.fallbacks, "\n", Told(answer->explanation));
}

std::string Scenario::Get(const Command& command) {
  GetRequest request{
      .item = Client::ItemOf(kKey), .r = CountOf(command.Option("r", "quorum")), .explain = true};
  const absl::StatusOr<GetAnswer> answer =
      client_->Ask(At(command.Option("at", "A")).index()).Read(std::move(request));
  if (!answer.ok()) return sim::Told(answer.status());
  context_ = answer->context;
  std::vector<std::string> values;
  for (const ShownSibling& sibling : answer->siblings) values.push_back(sibling.value);
  return absl::StrCat(Values(std::move(values)), "\n", Told(answer->explanation));
}

std::string Scenario::ChangeProcess(const Command& command) {
  SimProcess& process = At(command.words[0]);
  if (command.name == "crash") {
    process.Crash();
  } else if (command.name == "restart") {
    process.Restart();
  } else if (command.name == "pause") {
    process.Pause();
  } else if (command.name == "resume") {
    process.Resume();
  } else if (command.name == "isolate" || command.name == "join") {
    for (int other = 1; other <= cluster_->processes(); ++other) {
      cluster_->net().SetLink(process.index(), static_cast<uint16_t>(other),
                              {.up = command.name == "join"});
    }
  } else {
    ANNULUS_CHECK(command.name == "full-disk" || command.name == "good-disk");
    process.disk().set_conditions({.full = command.name == "full-disk"});
  }
  return "";
}

std::string Scenario::ChangeLink(const Command& command) {
  cluster_->net().SetLink(At(command.words[0]).index(), At(command.words[1]).index(),
                          {.up = command.name == "mend"});
  return "";
}

std::string Scenario::Holds() {
  const Bytes data_key = DataKey(Client::ItemOf(kKey), cluster_->options().partitions);
  std::string out;
  for (const int number : processes_) {
    SimProcess& process = cluster_->Process(number);
    if (!process.is_node()) continue;
    if (const auto bytes = process.disk().Peek(ColumnFamily::kData, data_key)) {
      const absl::StatusOr<StoredRecord> stored = DecodeStored(*bytes);
      absl::StrAppend(&out, LetterOf(number), ": ",
                      stored.ok() ? Described(stored->record) : "damaged", "\n");
    }
    for (const auto& [key, bytes] : process.disk().Entries(ColumnFamily::kHint)) {
      const absl::StatusOr<ParsedHintKey> target = ParseHintKey(key);
      const absl::StatusOr<Hint> hint = DecodeHint(bytes);
      if (!target.ok() || !hint.ok()) continue;
      absl::StrAppend(&out, LetterOf(number), " for ", LetterOf(cluster_->NumberOf(target->target)),
                      ": ", hint->pointer != 0 ? "what it holds" : Described(hint->stored.record),
                      "\n");
    }
  }
  return out.empty() ? "nothing\n" : out;
}

}  // namespace annulus::sim
