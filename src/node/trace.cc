#include "node/trace.h"

#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

uint64_t MicrosSince(Instant started, Instant now) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now - started).count());
}

}  // namespace

size_t Trace::Asked(const std::weak_ptr<Log>& weak, NodeId node, Hop::Kind kind, Instant now) {
  std::shared_ptr<Log> log = weak.lock();
  if (log == nullptr) return 0;
  log->hops.push_back({.node = node,
                       .kind = static_cast<uint8_t>(kind),
                       .answer = "no answer",
                       .asked_us = MicrosSince(log->started, now)});
  return log->hops.size() - 1;
}

void Trace::Answered(const std::weak_ptr<Log>& weak, size_t hop, const absl::Status& status,
                     Instant now) {
  std::shared_ptr<Log> log = weak.lock();
  if (log == nullptr) return;
  log->hops[hop].answer = status.ok() ? "ok" : std::string(status.message());
  log->hops[hop].answered_us = MicrosSince(log->started, now);
}

std::vector<ForwardReply::Hop> Trace::Export() const {
  return log_ == nullptr ? std::vector<ForwardReply::Hop>{} : log_->hops;
}

Explanation Trace::Explain(const NodeContext& node, PartitionId partition,
                           const std::vector<ForwardReply::Hop>& owner_hops) const {
  Explanation explanation{.partition = partition,
                          .layout_version = node.layout->version(),
                          .coordinator = node.options.name};
  using Hops = std::vector<ForwardReply::Hop>;
  for (const Hops* hops : {static_cast<const Hops*>(&log_->hops), &owner_hops}) {
    for (const ForwardReply::Hop& hop : *hops) {
      explanation.hops.push_back({.node = hop.node,
                                  .name = node.NameOf(hop.node),
                                  .kind = static_cast<Hop::Kind>(hop.kind),
                                  .answer = hop.answer,
                                  .asked = std::chrono::microseconds(hop.asked_us),
                                  .answered = std::chrono::microseconds(hop.answered_us)});
    }
  }
  explanation.elapsed = node.Now() - log_->started;
  return explanation;
}

std::string_view ToString(Hop::Kind kind) {
  switch (kind) {
    case Hop::Kind::kMint:
      return "mint";
    case Hop::Kind::kReplicate:
      return "replicate";
    case Hop::Kind::kRead:
      return "read";
    case Hop::Kind::kDigest:
      return "digest";
    case Hop::Kind::kForward:
      return "forward";
    case Hop::Kind::kHint:
      return "hint";
    case Hop::Kind::kRepair:
      return "repair";
  }
  return "?";
}

}  // namespace annulus
