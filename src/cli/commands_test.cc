// Whole command lines against a store in this process.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cli/cli.h"
#include "cli/exit_code.h"
#include "cli/settings.h"
#include "client/fake_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace annulus::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

struct Ran {
  int code = 0;
  std::string out, err;
  json parsed() const { return json::parse(out); }
  std::string line() const { return out.substr(0, out.find('\n')); }
};

Ran Annulus(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "annulus");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.code = Main(static_cast<int>(arguments.size()), argv.data(),
                  [](const ServeSettings&) { return 42; });
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() { UseEndpoints(store_.Serve()); }
  ~CommandsTest() override { unsetenv("ANNULUS_ENDPOINTS"); }

  static void UseEndpoints(const std::string& list) {
    setenv("ANNULUS_ENDPOINTS", list.c_str(), 1);
  }
  static std::string WriteFile(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::vector<std::string> Values(const std::string& key) { return store_.Values("default", key); }

  FakeStore store_;
};

TEST_F(CommandsTest, PutGetDel) {
  const Ran put = Annulus({"put", "k", "hello"});
  EXPECT_EQ(put.code, kExitOk);
  EXPECT_THAT(put.err, IsEmpty());
  const Ran get = Annulus({"get", "k"});
  EXPECT_EQ(get.code, kExitOk);
  EXPECT_EQ(get.out, "hello");  // Not a byte more.

  EXPECT_EQ(Annulus({"put", "k", "again", "--context", put.line()}).code, kExitOk);
  EXPECT_THAT(Values("k"), ElementsAre("again"));

  const Ran unclear = Annulus({"del", "k"});
  EXPECT_EQ(unclear.code, kExitUsage);
  EXPECT_THAT(unclear.err, HasSubstr("--blind"));
  EXPECT_EQ(Annulus({"del", "k", "--replace"}).code, kExitOk);
  const Ran gone = Annulus({"get", "k"});
  EXPECT_EQ(gone.code, kExitNotFound);
  EXPECT_THAT(gone.out, IsEmpty());
  EXPECT_THAT(gone.err, HasSubstr("deleted"));
  EXPECT_EQ(Annulus({"del", "k", "--replace"}).code, kExitNotFound);
  EXPECT_EQ(Annulus({"del", "k", "--blind"}).code, kExitOk);
  EXPECT_EQ(Annulus({"del", "k", "--blind", "--replace"}).code, kExitUsage);
}

TEST_F(CommandsTest, SiblingsAreListedAndReplaced) {
  EXPECT_EQ(Annulus({"put", "k", "one"}).code, kExitOk);
  const Ran second = Annulus({"put", "k", "two"});
  EXPECT_THAT(second.err, HasSubstr("2 values side by side"));
  const Ran both = Annulus({"get", "k"});
  EXPECT_EQ(both.code, kExitSiblings);
  EXPECT_THAT(both.out, IsEmpty());
  EXPECT_THAT(both.err, HasSubstr("one"));
  EXPECT_THAT(both.err, HasSubstr("two"));
  EXPECT_EQ(Annulus({"get", "k", "--sibling", "2"}).out, "two");
  EXPECT_EQ(Annulus({"get", "k", "--sibling", "3"}).code, kExitNotFound);

  const Ran as_json = Annulus({"get", "k", "-o", "json"});
  EXPECT_EQ(as_json.code, kExitSiblings);
  EXPECT_THAT(as_json.parsed()["siblings"], SizeIs(2));
  EXPECT_EQ(Annulus({"put", "k", "three", "--replace"}).code, kExitOk);
  EXPECT_THAT(Values("k"), ElementsAre("three"));
  EXPECT_EQ(Annulus({"get", "k", "-o", "json"}).parsed()["value"], "three");
}

TEST_F(CommandsTest, ValuesAreBytes) {
  const std::string bytes("\0\xff\n\r\x80", 5);
  const std::string path = WriteFile("value.bin", bytes);
  EXPECT_EQ(Annulus({"put", "k", "--file", path}).code, kExitOk);
  EXPECT_EQ(Annulus({"get", "k"}).out, bytes);
  EXPECT_EQ(Annulus({"get", "k", "-o", "json"}).parsed()["value_base64"], "AP8KDYA=");
  EXPECT_EQ(Annulus({"put", "AP8=", "v", "--base64"}).code, kExitOk);
  EXPECT_THAT(store_.Values("default", std::string("\0\xff", 2)), ElementsAre("v"));
  EXPECT_EQ(Annulus({"put", "k"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "k", "v", "--file", path}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "k", "--file", path + ".missing"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "--", "-k", "-v"}).code, kExitOk);
  EXPECT_EQ(Annulus({"get", "--", "-k"}).out, "-v");
}

TEST_F(CommandsTest, TheSameRequestIdIsWrittenOnce) {
  const std::string id(32, 'a');
  const json first = Annulus({"put", "k", "v", "--request-id", id, "-o", "json"}).parsed();
  EXPECT_EQ(first["request_id"], id);
  EXPECT_EQ(first["outcome"], "APPLIED");
  EXPECT_EQ(Annulus({"put", "k", "v", "--request-id", id}).code, kExitOk);
  EXPECT_THAT(Values("k"), SizeIs(1));
  EXPECT_EQ(Annulus({"put", "k", "v", "--request-id", "12"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "k", "v", "--context", "%%"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "k", "v", "--ttl", "10"}).code, kExitUsage);
}

TEST_F(CommandsTest, FailuresSayTheOutcome) {
  store_.SetFault([](uint64_t, const kv::v1::Operation&) {
    return FakeStore::Fault{StatusWithInfo(grpc::StatusCode::UNAVAILABLE, "one of two answered",
                                           "QUORUM_NOT_REACHED", "UNKNOWN"),
                            false};
  });
  const Ran put = Annulus({"put", "k", "v", "--retries", "0", "-o", "json"});
  EXPECT_EQ(put.code, kExitUnknown);
  EXPECT_THAT(put.err, HasSubstr("outcome: UNKNOWN"));
  EXPECT_EQ(put.parsed()["error"]["outcome"], "UNKNOWN");
  EXPECT_EQ(put.parsed()["error"]["acks"]["required"], 2);
  EXPECT_THAT(put.err, HasSubstr(put.parsed()["error"]["request_id"].get<std::string>()));
  EXPECT_EQ(store_.operations(), 1u);
  EXPECT_EQ(Annulus({"get", "k", "--retries", "0"}).code, kExitFailed);
  EXPECT_EQ(Annulus({"put", "k", "v", "--retries", "2"}).code, kExitUnknown);
  EXPECT_EQ(store_.operations(), 5u);
}

TEST_F(CommandsTest, ARetryMakesNoSibling) {
  store_.SetFault([](uint64_t number, const kv::v1::Operation&) {
    FakeStore::Fault fault;
    if (number == 0) {
      fault.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "planted");
      fault.applied = true;
    }
    return fault;
  });
  EXPECT_EQ(Annulus({"put", "k", "v"}).code, kExitOk);
  EXPECT_EQ(store_.operations(), 2u);
  EXPECT_THAT(Values("k"), ElementsAre("v"));
}

TEST_F(CommandsTest, AnEndpointThatIsDownIsSkipped) {
  const std::string gone = store_.Serve();
  store_.Kill(gone);
  const std::string live = store_.Serve();
  EXPECT_EQ(
      Annulus({"put", "k", "v", "--retries", "0", "--endpoints", absl::StrCat(gone, ",", live)})
          .code,
      kExitOk);
  const Ran none = Annulus({"put", "k", "v", "--endpoints", gone});
  EXPECT_EQ(none.code, kExitUnreachable);
  EXPECT_THAT(none.err, HasSubstr("NOT_APPLIED"));
  EXPECT_THAT(none.err, HasSubstr(gone));
  const Ran status = Annulus({"status", "--endpoints", absl::StrCat(gone, ",", live)});
  EXPECT_EQ(status.code, kExitFailed);
  EXPECT_THAT(status.out, HasSubstr("unreachable"));
  EXPECT_THAT(status.out, HasSubstr("node-1"));
  EXPECT_EQ(Annulus({"status", "--endpoints", gone}).code, kExitUnreachable);
}

TEST_F(CommandsTest, ImportTwiceLeavesOneValue) {
  std::string text;
  for (int i = 0; i < 500; ++i)
    absl::StrAppend(&text, "{\"key\":\"k", i, "\",\"value\":\"v", i, "\"}\n");
  const std::string path = WriteFile("import.jsonl", text);
  for (int round = 0; round < 2; ++round) {
    const json result = Annulus({"import", path, "-o", "json"}).parsed();
    EXPECT_EQ(result["read"], 500);
    EXPECT_EQ(result["written"], 500);
    EXPECT_EQ(result["failed"], 0);
  }
  const Ran verify = Annulus({"import", "--verify", path, "-o", "json"});
  EXPECT_EQ(verify.code, kExitOk);
  EXPECT_EQ(verify.parsed()["compared"], 500);
  EXPECT_EQ(verify.parsed()["different"], 0);
  EXPECT_EQ(verify.parsed()["missing"], 0);

  Annulus({"put", "k7", "other", "--replace"});
  Annulus({"put", "k8", "beside"});
  Annulus({"del", "k9", "--blind"});
  const Ran worse = Annulus({"import", "--verify", path, "-o", "json"});
  EXPECT_EQ(worse.code, kExitFailed);
  EXPECT_EQ(worse.parsed()["compared"], 500);
  EXPECT_EQ(worse.parsed()["different"], 2);
  EXPECT_EQ(worse.parsed()["missing"], 1);
  EXPECT_THAT(worse.err, HasSubstr("line 8"));
}

TEST_F(CommandsTest, TheLastLineOfAKeyWins) {
  std::string text;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&text, "k", i % 3, "\t", i, "\n");
  const std::string path = WriteFile("repeated.tsv", text);
  for (const char* mode : {"replace", "create"}) {
    const std::string bucket = absl::StrCat("bucket-", mode);
    EXPECT_EQ(Annulus({"import", path, "--mode", mode, "--bucket", bucket}).code, kExitOk);
    EXPECT_THAT(store_.Values(bucket, "k0"), ElementsAre("297"));
    EXPECT_THAT(store_.Values(bucket, "k2"), ElementsAre("299"));
    const Ran verify = Annulus({"import", path, "--verify", "--bucket", bucket, "-o", "json"});
    EXPECT_EQ(verify.code, kExitOk);
    EXPECT_EQ(verify.parsed()["read"], 300);
    EXPECT_EQ(verify.parsed()["compared"], 3);
    EXPECT_EQ(verify.parsed()["repeated_keys"], 297);
  }
}

TEST_F(CommandsTest, ImportNamesBadLines) {
  const std::string path = WriteFile(
      "bad.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\nnonsense\n{\"key\":\"b\",\"value\":\"2\"}\n");
  const Ran stopped = Annulus({"import", path, "-o", "json"});
  EXPECT_EQ(stopped.code, kExitFailed);
  EXPECT_THAT(stopped.err, HasSubstr("line 2"));
  EXPECT_EQ(stopped.parsed()["written"], 1);
  const Ran skipped = Annulus({"import", path, "--skip-bad", "-o", "json"});
  EXPECT_EQ(skipped.code, kExitOk);
  EXPECT_EQ(skipped.parsed()["written"], 2);
  EXPECT_EQ(skipped.parsed()["bad_lines"], 1);
  EXPECT_EQ(Annulus({"import", path, "--verify", "--skip-bad"}).code, kExitOk);
  EXPECT_EQ(Annulus({"import", path + ".missing"}).code, kExitUsage);
}

TEST_F(CommandsTest, ImportCountsFailures) {
  store_.SetFault([](uint64_t, const kv::v1::Operation& operation) {
    FakeStore::Fault fault;
    if (operation.has_put() && operation.put().key() == "b") {
      fault.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "planted");
    }
    return fault;
  });
  const std::string path = WriteFile("fail.tsv", "a\t1\nb\t2\nc\t3\n");
  const Ran ran = Annulus({"import", path, "--retries", "0", "-o", "json"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.parsed()["written"], 2);
  EXPECT_EQ(ran.parsed()["failed"], 1);
  EXPECT_EQ(ran.parsed()["unknown"], 1);
  EXPECT_EQ(ran.parsed()["retried"], 0);
  EXPECT_THAT(ran.err, HasSubstr("line 2, key \"b\""));
}

TEST_F(CommandsTest, ImportStopsWhenTheClusterIsGone) {
  const std::string server = store_.Serve();
  std::string text;
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&text, "k", i, "\tv\n");
  store_.SetFault([](uint64_t, const kv::v1::Operation&) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return FakeStore::Fault{};
  });
  // Not too fast for the killer, nor on a slow machine too slow for the timeout.
  std::atomic<bool> over{false};
  std::thread killer([&] {
    while (store_.puts() < 600 && !over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    store_.Kill(server);
  });
  const Ran ran = Annulus({"import", WriteFile("gone.tsv", text), "--endpoints", server,
                           "--timeout", "2s", "--retries", "0", "-o", "json"});
  over = true;
  killer.join();
  EXPECT_EQ(ran.code, kExitUnreachable);
  EXPECT_LT(ran.parsed()["read"], 5000);
  EXPECT_GT(ran.parsed()["written"], 0);
  EXPECT_EQ(ran.parsed()["read"],
            ran.parsed()["written"].get<int>() + ran.parsed()["failed"].get<int>());
  EXPECT_THAT(ran.err, HasSubstr("stopped at line"));
}

TEST_F(CommandsTest, ExportAndImportKeepSiblingsBytesAndExpiries) {
  Annulus({"put", "k", "one"});
  Annulus({"put", "k", "two"});
  Annulus({"put", "AP8=", "v", "--base64", "--sort-key", "cw=="});
  Annulus({"put", "soon", "gone", "--ttl", "1h"});
  Annulus({"put", "deleted", "x"});
  Annulus({"del", "deleted", "--replace"});
  for (int i = 0; i < 7; ++i) Annulus({"put", absl::StrCat("p", i), "page"});
  const std::string path = testing::TempDir() + "export.jsonl";
  const Ran exported = Annulus({"export", path, "-o", "json"});
  EXPECT_EQ(exported.code, kExitOk) << exported.err;
  EXPECT_EQ(exported.parsed()["exported"], 10);
  EXPECT_EQ(exported.parsed()["with_siblings"], 1);
  EXPECT_THAT(ReadFile(path + ".part"), IsEmpty());

  EXPECT_EQ(Annulus({"import", path, "--bucket", "copy"}).code, kExitOk);
  EXPECT_THAT(store_.Values("copy", "k"), UnorderedElementsAre("one", "two"));
  EXPECT_EQ(Annulus({"import", path, "--bucket", "copy", "--verify"}).code, kExitOk);
  const json soon = Annulus({"get", "soon", "--bucket", "copy", "-o", "json"}).parsed();
  EXPECT_GT(soon["siblings"][0]["expires_us"], 0);
}

TEST_F(CommandsTest, ScanPagesAndGoesOnAfterABreak) {
  for (int i = 0; i < 10; ++i) Annulus({"put", absl::StrCat("k", i), absl::StrCat("v", i)});
  const Ran all = Annulus({"scan"});
  EXPECT_EQ(all.code, kExitOk);
  EXPECT_EQ(std::count(all.out.begin(), all.out.end(), '\n'), 10);
  const Ran values = Annulus({"scan", "--values", "-o", "json", "--limit", "2"});
  EXPECT_THAT(values.err, HasSubstr("--page-token"));
  EXPECT_EQ(json::parse(values.line())["value"], "v0");

  store_.SetStreamLife(1);  // Each stream breaks after one page.
  const Ran broken = Annulus({"scan"});
  EXPECT_EQ(broken.code, kExitOk) << broken.err;
  EXPECT_EQ(broken.out, all.out);
  const Ran once = Annulus({"scan", "--retries", "0"});
  EXPECT_EQ(once.code, kExitUnreachable);
  EXPECT_THAT(once.err, HasSubstr("--page-token"));
}

TEST_F(CommandsTest, RingExplainStatus) {
  const Ran ring = Annulus({"ring", "--partitions"});
  EXPECT_EQ(ring.code, kExitOk);
  EXPECT_THAT(ring.out, HasSubstr("4 partitions, 2 replicas"));
  EXPECT_THAT(ring.out, HasSubstr("100.0%"));
  EXPECT_EQ(Annulus({"ring", "-o", "json"}).parsed()["members"][0]["first"], 2);
  Annulus({"put", "k", "v"});
  const Ran explain = Annulus({"explain", "k"});
  EXPECT_EQ(explain.code, kExitOk);
  EXPECT_THAT(explain.out, HasSubstr("R + W = 2 + 2 > N = 3"));
  EXPECT_THAT(explain.out, HasSubstr("node-3"));
  EXPECT_EQ(Annulus({"explain", "k", "-o", "json"}).parsed()["read"]["explain"]["hops"][0]["node"],
            "fake");
  EXPECT_EQ(Annulus({"status", "-o", "json"}).parsed()["processes"][0]["ready"], true);
}

TEST_F(CommandsTest, FaultsAreSetShownAndCleared) {
  const json set = Annulus({"faults", "set", "--peer", "node-2", "--direction", "in", "--delay",
                            "1s", "--jitter", "20ms", "--loss", "0.1", "--disk-full",
                            "--clock-skew", "-10m", "--for", "30s", "-o", "json"})
                       .parsed()["processes"][0]["faults"];
  ASSERT_THAT(set, SizeIs(3));
  EXPECT_EQ(set[0]["peer"], "node-2");
  EXPECT_EQ(set[0]["direction"], "in");
  EXPECT_EQ(set[0]["delay_us"], 1'000'000);
  EXPECT_EQ(set[0]["ends_in_ms"], 30'000);
  EXPECT_EQ(set[1]["full"], true);
  EXPECT_EQ(set[2]["skew_us"], -600'000'000);

  const Ran shown = Annulus({"faults", "show"});
  EXPECT_THAT(shown.out, HasSubstr("delay 1000 ms, jitter up to 20 ms, loss 10 %"));
  EXPECT_EQ(Annulus({"faults", "set", "--cut", "--replace"}).code, kExitOk);
  EXPECT_THAT(Annulus({"faults", "show"}).out, HasSubstr("cut"));
  EXPECT_THAT(Annulus({"faults", "clear"}).out, HasSubstr("no faults are set"));

  EXPECT_EQ(Annulus({"faults"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"faults", "set"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"faults", "set", "--loss", "2"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"faults", "set", "--delay", "1"}).code, kExitUsage);
  EXPECT_THAT(Annulus({"completion", "bash"}).out, HasSubstr("--clock-skew"));
}

TEST_F(CommandsTest, BenchCountsWhatItServedAndWhatFailed) {
  const Ran ran = Annulus(
      {"bench", "--rate", "500", "--duration", "300ms", "--keys", "20", "--fill", "-o", "json"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  const json total = json::parse(ran.out.substr(ran.out.rfind("{\"total\"")))["total"];
  EXPECT_EQ(total["ok"], 150);
  EXPECT_EQ(total["failed"], 0);
  EXPECT_GT(total["p99_us"], 0);
  EXPECT_LE(total["p50_us"], total["max_us"]);
  // A put takes the context of the last one, so that values do not pile up.
  size_t values = 0;
  for (int key = 0; key < 20; ++key) values += store_.Values("bench", std::to_string(key)).size();
  EXPECT_GE(values, 20u);
  EXPECT_LT(values, 80u);

  store_.SetFault([](uint64_t, const kv::v1::Operation&) {
    return FakeStore::Fault{{grpc::StatusCode::UNAVAILABLE, "planted"}, false};
  });
  const Ran failing =
      Annulus({"bench", "--duration", "50ms", "--concurrency", "4", "--reads", "0"});
  EXPECT_EQ(failing.code, kExitFailed);
  EXPECT_THAT(failing.out, HasSubstr("0 served"));
  EXPECT_EQ(Annulus({"bench", "--reads", "2"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"bench", "--duration", "10"}).code, kExitUsage);
}

TEST_F(CommandsTest, WrongCommandLines) {
  const Ran flag = Annulus({"put", "k", "v", "--bukcet", "x"});
  EXPECT_EQ(flag.code, kExitUsage);
  EXPECT_THAT(flag.err, HasSubstr("did you mean --bucket?"));
  const Ran command = Annulus({"statsu"});
  EXPECT_EQ(command.code, kExitUsage);
  EXPECT_THAT(command.err, HasSubstr("did you mean status?"));
  EXPECT_EQ(Annulus({}).code, kExitUsage);
  EXPECT_EQ(Annulus({"get"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"get", "k", "--endpoints", "nonsense:x"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"get", "k", "--consistency", "most"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"get", "k", "--consistency", "one", "--r", "2"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"get", "k", "-o", "xml"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"put", "", "v"}).code, kExitUsage);
}

TEST_F(CommandsTest, RepairWaitsUntilAllIsLevel) {
  const Ran asked = Annulus({"repair", "--partition", "3", "-o", "json"});
  EXPECT_EQ(asked.code, kExitOk);
  EXPECT_EQ(asked.parsed()["partitions"], 1);
  EXPECT_EQ(asked.parsed()["level"], 0);
  EXPECT_EQ(asked.parsed()["missing"][0], "node-2");
  const Ran late = Annulus({"repair", "--wait", "--at-most", "1ms"});
  EXPECT_EQ(late.code, kExitFailed);
  EXPECT_THAT(late.err, HasSubstr("node-2"));
  const Ran waited = Annulus({"repair", "--wait", "-o", "json"});
  EXPECT_EQ(waited.code, kExitOk);
  EXPECT_EQ(waited.parsed()["level"], 4);
  EXPECT_EQ(Annulus({"repair", "--partition", "x"}).code, kExitUsage);
}

TEST_F(CommandsTest, EveryCommandHasHelpWithExamples) {
  const Ran help = Annulus({"--help"});
  EXPECT_EQ(help.code, kExitOk);
  EXPECT_THAT(help.out, HasSubstr("Exit codes:"));
  for (const char* command :
       {"dev", "serve", "put", "get", "del", "scan", "import", "export", "bench", "status", "ring",
        "explain", "repair", "faults", "health", "completion", "version"}) {
    const Ran one = Annulus({command, "--help"});
    EXPECT_EQ(one.code, kExitOk) << command;
    EXPECT_THAT(one.out, HasSubstr("Examples:")) << command;
    for (const char* shell : {"bash", "zsh", "fish"}) {
      EXPECT_THAT(Annulus({"completion", shell}).out, HasSubstr(command)) << shell;
    }
  }
  EXPECT_THAT(Annulus({"completion", "fish"}).out, HasSubstr("-l sort-key"));
  EXPECT_EQ(Annulus({"completion", "tcsh"}).code, kExitUsage);
  EXPECT_EQ(Annulus({"version", "-o", "json"}).parsed()["contract"], "annulus.kv.v1");
}

TEST_F(CommandsTest, HealthTellsUnreachable) {
  const std::string gone = store_.Serve();
  store_.Kill(gone);
  EXPECT_EQ(Annulus({"health", "--http", gone, "--timeout", "500ms"}).code, kExitUnreachable);
  EXPECT_EQ(Annulus({"health", "--http", "nonsense"}).code, kExitUsage);
}

}  // namespace
}  // namespace annulus::cli
