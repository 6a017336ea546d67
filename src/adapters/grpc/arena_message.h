#pragma once

#include <google/protobuf/arena.h>

namespace annulus {

// A message that is made anew again and again, in an arena: what it consists of goes at once. A
// frame has hundreds of parts, and each would be allocated and freed by itself.
// One thread at a time.
template <class Message>
class ArenaMessage {
 public:
  // Empty; what it was before is gone.
  Message* Renew() {
    arena_.Reset();
    message_ = google::protobuf::Arena::CreateMessage<Message>(&arena_);
    return message_;
  }
  // REQUIRES: it was renewed once.
  Message* operator->() const { return message_; }
  Message& operator*() const { return *message_; }

 private:
  static google::protobuf::ArenaOptions Options() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = 4 << 10;  // A frame of a few requests, without load.
    options.max_block_size = 256 << 10;
    return options;
  }

  google::protobuf::Arena arena_{Options()};
  Message* message_ = nullptr;
};

}  // namespace annulus
