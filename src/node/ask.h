#pragma once

#include <utility>
#include <vector>

#include "node/context.h"
#include "task/await.h"
#include "task/mailbox.h"

namespace annulus {

// How long a question of the background is waited for.
inline constexpr Duration kAskMax = 5s;

// One question to another member. Its error, or the transport's.
template <class Reply>
Task<absl::StatusOr<Reply>> Ask(NodeContext* node, NodeId to, PeerRequest request) {
  const Instant deadline = node->Now() + kAskMax;
  PeerResult result = co_await Await<PeerResult>(
      [&](auto done) { node->peers->Call(to, std::move(request), deadline, std::move(done)); });
  if (!result.ok()) co_return result.status();
  co_return std::get<Reply>(*std::move(result));
}

struct Question {
  NodeId to;
  PeerRequest request;
};

// All of them at once. Answers in the order of the questions.
template <class Reply>
Task<std::vector<absl::StatusOr<Reply>>> AskAll(NodeContext* node, std::vector<Question> questions,
                                                Duration patience = kAskMax) {
  struct Answered {
    size_t question;
    PeerResult result;
  };
  Mailbox<Answered> box(node->env.loop);
  const Instant deadline = node->Now() + patience;
  for (size_t i = 0; i < questions.size(); ++i) {
    node->peers->Call(questions[i].to, std::move(questions[i].request), deadline,
                      [to = box.sender(), i](PeerResult result) {
                        to.Deliver({i, std::move(result)});
                      });
  }
  std::vector<absl::StatusOr<Reply>> replies(questions.size(), absl::UnavailableError("no answer"));
  for (size_t left = questions.size(); left > 0; --left) {
    std::optional<Answered> answered = co_await box.Next();
    absl::StatusOr<Reply>& reply = replies[answered->question];
    if (answered->result.ok()) {
      reply = std::get<Reply>(*std::move(answered->result));
    } else {
      reply = answered->result.status();
    }
  }
  co_return replies;
}

}  // namespace annulus
