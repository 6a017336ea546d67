#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/node.h"
#include "task/sleep.h"
#include "task/spawn.h"

namespace annulus {

// A node for tests of the doors: keeps values in a map, answers as it is told to. On the loop.
class FakeNode final : public Node {
 public:
  explicit FakeNode(Loop* loop) : loop_(loop) { options_.cluster = "test"; }

  Task<absl::StatusOr<WriteAnswer>> Write(WriteRequest request, Instant deadline) override {
    ++calls;
    last_deadline = deadline;
    last_write = request;
    if (delay > Duration{0}) co_await Sleep(loop_, delay);
    if (!fail.ok()) co_return fail;
    if (request.is_delete) {
      values.erase(request.item.key);
    } else {
      values[request.item.key] = request.value;
    }
    WriteAnswer answer{.context = "context", .acks = {2, 1, 2}, .siblings = 3};
    if (request.explain) answer.explanation = SomeExplanation();
    co_return answer;
  }

  Task<absl::StatusOr<GetAnswer>> Get(GetRequest request, Instant deadline) override {
    ++calls;
    last_deadline = deadline;
    last_get = request;
    gets_max = std::max(gets_max, ++gets);
    if (delay > Duration{0}) co_await Sleep(loop_, delay);
    --gets;
    if (!fail.ok()) co_return fail;
    GetAnswer answer{.context = "context", .answers = 2};
    if (const auto found = values.find(request.item.key); found != values.end()) {
      answer.siblings.push_back(
          {.value = found->second, .write_time = WallTime{11}, .expires = WallTime{12}});
    }
    co_return answer;
  }

  // Two items a page.
  Task<absl::StatusOr<ScanPage>> Scan(ScanRequest request, Instant deadline) override {
    ++calls;
    last_deadline = deadline;
    last_scan = request;
    if (delay > Duration{0}) co_await Sleep(loop_, delay);
    if (!fail.ok()) co_return fail;
    ScanPage page;
    auto next = values.upper_bound(request.page_token);
    const size_t most = request.limit > 0 ? std::min<uint64_t>(2, request.limit) : 2;
    for (; next != values.end() && page.items.size() < most; ++next) {
      ScanItem item{.item = {request.bucket, next->first, ""}};
      item.answer.siblings.push_back({.value = request.values ? next->second : ""});
      page.items.push_back(std::move(item));
    }
    if (next != values.end()) page.page_token = page.items.back().item.key;
    co_return page;
  }

  StatusView Status() const override { return status; }
  const Layout* layout() const override { return layout_ptr; }
  Task<absl::StatusOr<LocateAnswer>> Locate(Item item, Instant) override {
    LocateAnswer answer{.hash = 5, .partition = PartitionId(6), .layout_version = LayoutVersion(7)};
    HolderView holder{.id = NodeId(8), .name = "node-8", .owner = true, .answer = "ok"};
    holder.record.emplace();
    holder.record->vector.Add({ActorId(1), 1});
    holder.record->siblings.push_back({.dot = {ActorId(1), 1}, .value = item.key});
    answer.holders.push_back(std::move(holder));
    co_return answer;
  }

  Task<absl::StatusOr<RepairAnswer>> Repair(std::optional<PartitionId> partition, Duration age,
                                            Instant) override {
    if (partition == PartitionId(99)) co_return absl::InvalidArgumentError("no such partition");
    RepairAnswer answer{.partitions = partition.has_value() ? 1u : 4u, .missing = {"node-2"}};
    answer.level = age > 1s ? answer.partitions : 0;
    co_return answer;
  }

  void Drain() override {}
  size_t busy() const override { return flows_.running(); }
  NodeId id() const override { return NodeId(1); }
  Incarnation incarnation() const override { return Incarnation(2); }
  const NodeOptions& options() const override { return options_; }
  void Spawn(Task<void> task) override { flows_.Spawn(std::move(task)); }

  static Explanation SomeExplanation() {
    Explanation explanation{.partition = PartitionId(3),
                            .layout_version = LayoutVersion(4),
                            .coordinator = "node-1",
                            .elapsed = 9us};
    explanation.hops.push_back({.name = "node-2",
                                .kind = Hop::Kind::kReplicate,
                                .answer = "ok",
                                .asked = 5us,
                                .answered = 6us});
    return explanation;
  }

  std::map<Bytes, Bytes> values;
  Duration delay{0};
  absl::Status fail;
  int calls = 0;
  int gets = 0;      // That run.
  int gets_max = 0;  // At a time.
  Instant last_deadline;
  WriteRequest last_write;
  GetRequest last_get;
  ScanRequest last_scan;
  StatusView status;
  const Layout* layout_ptr = nullptr;

 private:
  Loop* loop_;
  NodeOptions options_;
  TaskGroup flows_;
};

}  // namespace annulus
