#include "sim/sim_net.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checksum.h"
#include "core/error.h"

namespace annulus::sim {

namespace {

constexpr Duration kLatencyMin = 50us;
constexpr Duration kLatencySpread = 100us;
constexpr double kLatencySpikeChance = 0.01;
constexpr Duration kLatencySpike = 5ms;
constexpr Duration kReorderedBy = 20ms;
constexpr Duration kStragglesBy = 4s;
constexpr Duration kDuplicateLag = 30ms;
constexpr Duration kDialWaitMin = 50ms;
constexpr Duration kDialWaitMax = 1s;
constexpr Duration kSendAgainMin = 200ms;

Duration UpTo(Random* random, Duration limit) {
  return Duration(static_cast<int64_t>(random->Below(static_cast<uint64_t>(limit.count()) + 1)));
}

absl::Status Unavailable(const char* reason, absl::string_view message) {
  return WithDetails(absl::UnavailableError(message), ErrorDetails{.reason = reason});
}

class FieldHasher {
 public:
  FieldHasher& operator()(uint64_t value) {
    h_ = (h_ ^ value) * 0x9fb21c651e98df25u;
    h_ ^= h_ >> 29;
    bytes_ += 4;
    return *this;
  }
  FieldHasher& operator()(BytesView bytes) {
    bytes_ += bytes.size();
    return (*this)(Hash64(bytes));
  }
  FieldHasher& operator()(const Bytes& bytes) { return (*this)(BytesView(bytes)); }
  FieldHasher& operator()(const Item& item) {
    return (*this)(item.bucket)(item.key)(item.sort_key);
  }
  FieldHasher& operator()(const VersionVector& vector) {
    Bytes encoded;
    vector.EncodeTo(&encoded);
    return (*this)(encoded);
  }
  FieldHasher& operator()(const RequestId& id) { return (*this)(BytesView(id.data(), id.size())); }
  Gist gist() const { return {h_, bytes_}; }

 private:
  uint64_t h_ = 0x2545f4914f6cdd1du;
  uint64_t bytes_ = 0;
};

struct HashFields {
  FieldHasher* h;

  void operator()(const IntroduceRequest&) {}
  void operator()(const IntroduceReply& m) {
    (*h)(m.cluster)(m.name)(m.id.value())(m.incarnation.value())(m.layout)(
        static_cast<uint64_t>(m.claim))(static_cast<uint64_t>(m.started.micros));
  }
  void operator()(const RecallRequest& m) { (*h)(m.node.value()); }
  void operator()(const RecallReply& m) {
    (*h)(m.known)(m.sequence)(m.incarnation.value())(m.peer_address);
  }
  void operator()(const PingRequest& m) { (*h)(m.gossip); }
  void operator()(const PingReply& m) { (*h)(m.gossip); }
  void operator()(const PingForRequest& m) {
    (*h)(m.target.value())(static_cast<uint64_t>(m.timeout.count()))(m.gossip);
  }
  void operator()(const PingForReply& m) { (*h)(m.reached); }
  void operator()(const ForwardRequest& m) {
    (*h)(m.item)(m.value)(m.tombstone)(m.blind_delete)(m.context)(m.request_id)(m.acks_required)(
        m.sloppy)(m.fallback_for.value());
  }
  void operator()(const ForwardReply& m) {
    (*h)(m.dot.actor.value())(m.dot.counter)(m.context)(m.acks.primaries)(m.acks.fallbacks);
  }
  void operator()(const ReplicateRequest& m) {
    (*h)(m.item)(m.record)(m.epoch.value())(m.hint_for.value())(m.counted);
  }
  void operator()(const ReplicateReply& m) { (*h)(m.durable)(m.sequence); }
  void operator()(const ReadRequest& m) { (*h)(m.item)(m.whole_up_to_bytes); }
  void operator()(const ReadReply& m) {
    (*h)(m.found)(m.digest)(m.epoch.value())(m.closed.value())(m.rebuilding);
    if (m.record.has_value()) (*h)(*m.record);
  }
  void operator()(const RangeRequest& m) {
    (*h)(m.partition.value())(m.begin)(m.end)(m.values)(m.entries_max)(m.bytes_max);
  }
  void operator()(const RangeReply& m) {
    for (const RangeReply::Entry& entry : m.entries) (*h)(entry.data_key)(entry.record);
    (*h)(m.more)(m.epoch.value())(m.closed.value());
  }
  void operator()(const RootsRequest& m) {
    for (PartitionId partition : m.partitions) (*h)(partition.value());
  }
  void operator()(const RootsReply& m) {
    for (uint64_t root : m.roots) (*h)(root);
  }
  void operator()(const LeavesRequest& m) {
    (*h)(m.partition.value());
    for (uint32_t leaf : m.recompute) (*h)(leaf);
  }
  void operator()(const LeavesReply& m) { (*h)(m.leaves); }
  void operator()(const KeysRequest& m) {
    (*h)(m.partition.value())(m.begin)(m.bytes_max);
    for (uint32_t leaf : m.leaves) (*h)(leaf);
  }
  void operator()(const KeysReply& m) {
    for (const KeyDigest& key : m.keys) (*h)(key.data_key)(key.digest);
    (*h)(m.next);
  }
  void operator()(const HurryRequest& m) {
    for (PartitionId partition : m.partitions) (*h)(partition.value());
  }
  void operator()(const HurryReply& m) {
    for (const auto& age : m.ages) (*h)(age.has_value() ? 1 + age->count() : 0);
  }
  void Hash(const PartitionEpochs& m) { (*h)(m.current.value())(m.closed.value())(m.rebuilding); }
  void operator()(const EpochsRequest& m) {
    for (PartitionId partition : m.partitions) (*h)(partition.value());
    for (const PartitionEpochs& epochs : m.epochs) Hash(epochs);
    (*h)(m.wants_round);
  }
  void operator()(const EpochsReply& m) {
    (*h)(m.incarnation.value());
    for (const PartitionEpochs& epochs : m.epochs) Hash(epochs);
  }
  void operator()(const ReapRequest& m) {
    (*h)(m.partition.value())(m.incarnation.value())(m.epoch.value());
    (*h)(static_cast<uint64_t>(m.step));
    for (const KeyDigest& key : m.keys) (*h)(key.data_key)(key.digest);
  }
  void operator()(const ReapReply& m) {
    for (const bool yes : m.yes) (*h)(yes);
  }
};

}  // namespace

Gist GistOf(const PeerRequest& request) {
  FieldHasher h;
  h(request.index());
  std::visit(HashFields{&h}, request);
  return h.gist();
}

Gist GistOf(const PeerResult& result) {
  FieldHasher h;
  if (!result.ok()) {
    h(100 + static_cast<uint64_t>(result.status().code()))(std::string(result.status().message()));
    return h.gist();
  }
  h(50 + result->index());
  std::visit(HashFields{&h}, *result);
  return h.gist();
}

// A line of one process to an address.
class SimLink final : public Link {
 public:
  SimLink(SimTransport* transport, std::string address, NodeId expected)
      : transport_(transport), address_(std::move(address)), expected_(expected) {
    Dial();
  }
  ~SimLink() override {
    transport_->loop_->Cancel(dial_timer_);
    if (connection_ != 0) {
      net()->connections_[connection_].link = nullptr;
      net()->connections_[connection_].alive = false;
    }
    transport_->FailCallsOf(this, Unavailable(kReasonLinkLost, "the line was closed"));
  }

  void Call(PeerRequest request, Instant deadline, LayoutVersion version, PeerDone done) override {
    SimLoop* loop = transport_->loop_;
    if (connection_ == 0 || under_way_ >= SimNet::kCallsUnderWayMax) {
      absl::Status status =
          connection_ == 0
              ? Unavailable(kReasonNotSent, absl::StrCat("no connection to ", address_))
              : WithDetails(absl::ResourceExhaustedError(
                                absl::StrCat("too much is under way to ", address_)),
                            ErrorDetails{.reason = kReasonNotSent});
      loop->Post([done = std::move(done), status = std::move(status)]() mutable {
        done(std::move(status));
      });
      return;
    }
    auto message = std::make_shared<SimNet::Message>();
    message->connection = connection_;
    message->deadline = deadline == kForever ? kForever : loop->ToWorld(deadline);
    message->version = version;
    const Gist gist = GistOf(request);
    message->hash = gist.hash;
    message->bytes = gist.bytes;
    message->request = std::move(request);
    message->call = transport_->StartCall(this, deadline, std::move(done));
    for (NetWatcher* watcher : net()->watchers_) {
      watcher->OnCall(loop->process(), message->call, message->request);
    }
    net()->Send(std::move(message));
  }

  void Redial(std::string address) override {
    address_ = std::move(address);
    transport_->loop_->Cancel(dial_timer_);
    if (connection_ != 0) {
      net()->connections_[connection_].alive = false;
      net()->connections_[connection_].link = nullptr;
    }
    Restart();
  }

  bool Connected() const override { return connection_ != 0; }

 private:
  friend class SimNet;
  friend class SimTransport;

  SimNet* net() const { return transport_->net_; }

  void Dial() {
    // There and back; a direction that is down leaves the dial unanswered for longer.
    const SimTransport* peer = Peer();
    Duration wait = kLatencyMin * 2 + UpTo(&net()->random_, kLatencySpread);
    if (peer == nullptr) wait += kLatencySpread;
    dial_timer_ = net()->world_->After(transport_->loop_, wait, [this] {
      dial_timer_ = 0;
      SimTransport* to = Peer();
      if (to == nullptr) {
        dial_wait_ = std::clamp<Duration>(dial_wait_ * 2, kDialWaitMin, kDialWaitMax * 9 / 10);
        const Duration again = dial_wait_ + UpTo(&net()->random_, dial_wait_ / 10);
        dial_timer_ = net()->world_->After(transport_->loop_, again, [this] { Dial(); });
        return;
      }
      dial_wait_ = Duration(0);
      connection_ = net()->Connect(transport_->instance_, to->instance_, this);
    });
  }

  // Whom a dial would reach now; null for nobody.
  SimTransport* Peer() const {
    const auto found = net()->by_address_.find(address_);
    if (found == net()->by_address_.end()) return nullptr;
    SimTransport* peer = found->second;
    const uint16_t here = transport_->loop_->process();
    const uint16_t there = peer->loop_->process();
    if (!net()->path(here, there).up || !net()->path(there, here).up) return nullptr;
    if (!peer->handler_ || peer->loop_->paused()) return nullptr;
    if (expected_ != NodeId() && peer->id_ != expected_) return nullptr;
    return peer;
  }

  void OnLost() { Restart(); }

  void Restart() {
    connection_ = 0;
    transport_->FailCallsOf(this, Unavailable(kReasonLinkLost, absl::StrCat("lost ", address_)));
    dial_wait_ = Duration(0);
    Dial();
  }

  SimTransport* transport_;
  std::string address_;
  NodeId expected_;
  SimNet::ConnectionId connection_ = 0;
  uint32_t under_way_ = 0;
  Duration dial_wait_{0};
  Loop::TimerId dial_timer_ = 0;
};

// Sends the reply to one delivery of a request; counts handlers that never call it.
class SimNet::Replier {
 public:
  Replier(SimNet* net, const Message& request, std::optional<RequestId> forward, uint16_t process)
      : net_(net),
        connection_(request.connection),
        call_(request.call),
        forward_(forward),
        process_(process) {}
  Replier(Replier&& other) noexcept
      : net_(std::exchange(other.net_, nullptr)),
        connection_(other.connection_),
        call_(other.call_),
        forward_(other.forward_),
        process_(other.process_) {}
  Replier& operator=(Replier&&) = delete;
  ~Replier() {
    if (net_ == nullptr) return;
    const SimTransport* self = net_->Find(net_->connections_[connection_].to);
    if (self != nullptr && !self->loop_->dead()) ++net_->stats_.unanswered;
  }

  void operator()(PeerResult result) {
    ANNULUS_CHECK(net_ != nullptr);  // Once.
    SimNet* net = std::exchange(net_, nullptr);
    const Instance asker = net->connections_[connection_].from;
    for (NetWatcher* watcher : net->watchers_) {
      if (forward_.has_value()) watcher->OnForwardAnswered(*forward_, process_);
      // Where the asker's life is over, the number of the call may be another one's by now.
      if (net->Find(asker) == nullptr) continue;
      watcher->OnAnswer(process_, net->process_of_[asker], call_, result);
    }
    auto message = std::make_shared<Message>();
    message->connection = connection_;
    message->is_reply = true;
    message->call = call_;
    const Gist gist = GistOf(result);
    message->hash = gist.hash;
    message->bytes = gist.bytes;
    message->reply = std::move(result);
    net->Send(std::move(message));
  }

 private:
  SimNet* net_;
  ConnectionId connection_;
  uint64_t call_;
  std::optional<RequestId> forward_;
  uint16_t process_;
};

SimNet::SimNet(World* world, uint16_t processes)
    : world_(world),
      processes_(processes),
      random_(world->random().Fork()),
      paths_(size_t{processes} * processes),
      transports_(1, nullptr),
      process_of_(1, 0),
      address_of_(1),
      connections_(1) {}

std::unique_ptr<SimTransport> SimNet::Attach(SimLoop* loop, std::string address) {
  ANNULUS_CHECK(loop->process() < processes_);
  std::unique_ptr<SimTransport> transport(new SimTransport(this, loop, std::move(address)));
  transport->instance_ = static_cast<Instance>(transports_.size());
  transports_.push_back(transport.get());
  process_of_.push_back(loop->process());
  address_of_.push_back(transport->address_);
  ANNULUS_CHECK(by_address_.emplace(transport->address_, transport.get()).second);
  return transport;
}

void SimNet::Detach(SimTransport* transport) {
  by_address_.erase(transport->address_);
  transports_[transport->instance_] = nullptr;
  for (ConnectionId id = 1; id < connections_.size(); ++id) {
    Connection& connection = connections_[id];
    if (!connection.alive) continue;
    if (connection.from == transport->instance_) connection.alive = false;
    if (connection.to != transport->instance_) continue;
    const uint16_t from = process_of_[connection.from];
    const bool told = !transport->dies_silently_ && path(transport->loop_->process(), from).up;
    LoseLater(id, told ? kLatencyMin + UpTo(&random_, kLatencySpread)
                       : kKeepalive + UpTo(&random_, kKeepalive / 4));
  }
}

void SimNet::SetPath(uint16_t from, uint16_t to, PathConditions conditions) {
  if (from == to) return;
  Path& path = paths_[Index(from, to)];
  const bool changed = path.now.up != conditions.up;
  path.now = conditions;
  if (!changed) return;
  ++path.changes;
  if (!conditions.up) LoseIfStillDown(from, to);
}

void SimNet::SetLink(uint16_t a, uint16_t b, PathConditions conditions) {
  SetPath(a, b, conditions);
  SetPath(b, a, conditions);
}

void SimNet::HealAll() {
  for (uint16_t from = 0; from < processes_; ++from) {
    for (uint16_t to = 0; to < processes_; ++to) SetPath(from, to, PathConditions{});
  }
}

// Keepalive notices after its time that nothing comes back, at either end of the connections that
// use this direction.
void SimNet::LoseIfStillDown(uint16_t from, uint16_t to) {
  const uint32_t changes = paths_[Index(from, to)].changes;
  const Duration patience = kKeepalive + UpTo(&random_, kKeepalive / 4);
  world_->After(world_->loop(), patience, [this, from, to, changes] {
    if (paths_[Index(from, to)].changes != changes) return;
    for (ConnectionId id = 1; id < connections_.size(); ++id) {
      const Connection& connection = connections_[id];
      if (!connection.alive) continue;
      const uint16_t a = process_of_[connection.from];
      const uint16_t b = process_of_[connection.to];
      if ((a == from && b == to) || (a == to && b == from)) LoseLater(id, Duration(0));
    }
  });
}

SimNet::ConnectionId SimNet::Connect(Instance from, Instance to, SimLink* link) {
  const ConnectionId id = static_cast<ConnectionId>(connections_.size());
  connections_.push_back(Connection{.from = from, .to = to, .link = link, .alive = true});
  world_->Trace(TraceKind::kConnection, process_of_[from], process_of_[to], id);
  return id;
}

void SimNet::LoseLater(ConnectionId id, Duration delay) {
  SimTransport* from = Find(connections_[id].from);
  if (from == nullptr || connections_[id].link == nullptr) return;
  world_->After(from->loop_, delay, [this, id] { Lose(id); });
}

void SimNet::Lose(ConnectionId id) {
  Connection& connection = connections_[id];
  if (!connection.alive || connection.link == nullptr) return;
  connection.alive = false;
  SimLink* link = std::exchange(connection.link, nullptr);
  world_->Trace(TraceKind::kConnection, process_of_[connection.from],
                process_of_[connection.to] | (1u << 16), id);
  link->OnLost();
}

void SimNet::HalfOpen(uint16_t from, uint16_t to) {
  for (ConnectionId id = 1; id < connections_.size(); ++id) {
    Connection& connection = connections_[id];
    if (!connection.alive || connection.half_open) continue;
    if (process_of_[connection.from] != from || process_of_[connection.to] != to) continue;
    connection.half_open = true;
    LoseLater(id, kKeepalive + UpTo(&random_, kKeepalive / 4));
  }
}

Duration SimNet::Latency(Path* path, uint64_t bytes) {
  const PathConditions& now = path->now;
  Duration latency = kLatencyMin + UpTo(&random_, kLatencySpread) + now.delay;
  if (random_.Chance(kLatencySpikeChance)) latency += UpTo(&random_, kLatencySpike);
  if (now.jitter > Duration(0)) latency += UpTo(&random_, now.jitter);
  if (now.bytes_per_second > 0) {
    path->busy_until = std::max(path->busy_until, world_->now()) +
                       Duration(static_cast<int64_t>(bytes * 1000000000 / now.bytes_per_second));
    latency += path->busy_until - world_->now();
  }
  return latency;
}

void SimNet::Send(std::shared_ptr<Message> message) {
  Connection& connection = connections_[message->connection];
  const bool back = message->is_reply;
  const uint16_t from = process_of_[back ? connection.to : connection.from];
  const uint16_t to = process_of_[back ? connection.from : connection.to];
  const PathConditions& path = this->path(from, to);
  if (connection.half_open) {
    ++stats_.lost;
    world_->Trace(TraceKind::kMessageLost, from, to, message->hash);
    return;
  }
  if (!path.up) {
    SendAgain(std::move(message), kSendAgainMin);
    return;
  }
  if (path.loss > 0 && random_.Chance(path.loss)) {
    ++stats_.lost;
    world_->Trace(TraceKind::kMessageLost, from, to, message->hash);
    return;
  }
  Instant at = world_->now() + Latency(&paths_[Index(from, to)], message->bytes);
  if (path.straggle > 0 && random_.Chance(path.straggle)) {
    at += UpTo(&random_, UpTo(&random_, kStragglesBy));
  } else if (path.reorder > 0 && random_.Chance(path.reorder)) {
    at += UpTo(&random_, kReorderedBy);
  } else {
    Instant& last = connection.last_arrival[back];
    at = last = std::max(at, last);
  }
  const Instance receiver = back ? connection.from : connection.to;
  SimTransport* transport = Find(receiver);
  if (transport == nullptr) {
    Arrive(std::move(message));
    return;
  }
  if (path.duplicate > 0 && random_.Chance(path.duplicate)) {
    ++stats_.duplicated;
    world_->At(transport->loop_, at + UpTo(&random_, kDuplicateLag),
               [this, message] { Arrive(message, /*copy=*/true); });
  }
  world_->At(transport->loop_, at,
             [this, message = std::move(message)]() mutable { Arrive(std::move(message)); });
}

void SimNet::SendAgain(std::shared_ptr<Message> message, Duration wait) {
  world_->After(world_->loop(), wait + UpTo(&random_, wait / 8),
                [this, message = std::move(message), wait]() mutable {
                  const Connection& connection = connections_[message->connection];
                  if (!connection.alive) {
                    ++stats_.lost;
                    return;
                  }
                  const bool back = message->is_reply;
                  const uint16_t from = process_of_[back ? connection.to : connection.from];
                  const uint16_t to = process_of_[back ? connection.from : connection.to];
                  if (path(from, to).up) {
                    Send(std::move(message));
                  } else {
                    SendAgain(std::move(message), wait * 2);
                  }
                });
}

void SimNet::Arrive(std::shared_ptr<Message> message, bool copy) {
  const Connection& connection = connections_[message->connection];
  const bool back = message->is_reply;
  const uint16_t from = process_of_[back ? connection.to : connection.from];
  const uint16_t to = process_of_[back ? connection.from : connection.to];
  SimTransport* transport = Find(back ? connection.from : connection.to);
  if (transport == nullptr) {
    ++stats_.lost;
    world_->Trace(TraceKind::kMessageLost, from, to, message->hash);
    // Another process listens there now: it resets what it does not know.
    if (!back && by_address_.contains(address_of_[connection.to]) &&
        Find(connection.from) != nullptr) {
      LoseLater(message->connection, kLatencyMin);
    }
    return;
  }
  if (!path(from, to).up) {  // It went down while the message was on its way.
    SendAgain(std::move(message), kSendAgainMin);
    return;
  }
  ++stats_.delivered;
  world_->Trace(TraceKind::kMessage, (uint64_t{from} << 16) | to, message->call, message->hash);
  if (back) {
    const uint64_t call = message->call;
    for (NetWatcher* watcher : watchers_) watcher->OnAnswerArrived(from, to, call, message->reply);
    if (message.use_count() == 1) {
      transport->FinishCall(call, std::move(message->reply));
    } else {
      transport->FinishCall(call, message->reply);
    }
    return;
  }
  HandleRequest(transport, std::move(message), copy);
}

void SimNet::HandleRequest(SimTransport* to, std::shared_ptr<Message> message, bool copy) {
  const Connection& connection = connections_[message->connection];
  const SimTransport* caller = Find(connection.from);
  PeerContext context;
  context.from = caller == nullptr ? NodeId() : caller->id_;
  context.version = message->version;
  context.deadline =
      message->deadline == kForever ? kForever : to->loop_->ToLocal(message->deadline);
  std::optional<RequestId> forward;
  if (const auto* request = std::get_if<ForwardRequest>(&message->request)) {
    forward = request->request_id;
    for (NetWatcher* watcher : watchers_) {
      watcher->OnForwardArrived(*forward, to->loop_->process(), copy);
    }
  }
  Replier replier(this, *message, forward, to->loop_->process());
  PeerRequest request = message.use_count() == 1 ? std::move(message->request) : message->request;
  to->handler_(context, std::move(request), PeerDone(std::move(replier)));
}

SimTransport::~SimTransport() {
  net_->Detach(this);
  // Callers' flows are gone with the process; what remains of their calls is dropped unanswered.
  handler_ = nullptr;
}

std::unique_ptr<Link> SimTransport::Open(std::string address, NodeId expected) {
  return std::make_unique<SimLink>(this, std::move(address), expected);
}

void SimTransport::Serve(Handler handler) {
  ANNULUS_CHECK(!handler_);
  handler_ = std::move(handler);
}

void SimTransport::NotePause() {
  const uint32_t pauses = ++pauses_;
  const SimNet::Instance instance = instance_;
  SimNet* net = net_;
  const Duration patience = SimNet::kKeepalive + UpTo(&net->random_, SimNet::kKeepalive / 4);
  net->world_->After(net->world_->loop(), patience, [net, instance, pauses] {
    const SimTransport* self = net->Find(instance);
    if (self == nullptr || self->pauses_ != pauses) return;
    for (SimNet::ConnectionId id = 1; id < net->connections_.size(); ++id) {
      const SimNet::Connection& connection = net->connections_[id];
      if (connection.alive && connection.to == instance) net->LoseLater(id, Duration(0));
    }
  });
}

uint64_t SimTransport::StartCall(SimLink* link, Instant deadline, PeerDone done) {
  uint32_t slot;
  if (free_calls_.empty()) {
    slot = static_cast<uint32_t>(calls_.size());
    calls_.emplace_back();
  } else {
    slot = free_calls_.back();
    free_calls_.pop_back();
  }
  Call& call = calls_[slot];
  call.done = std::move(done);
  call.link = link;
  ++link->under_way_;
  const uint64_t id = (uint64_t{call.generation} << 32) | slot;
  // Also where the deadline has passed: never before Call returns.
  call.timer = deadline == kForever ? 0 : loop_->PostAt(deadline, [this, id] {
    FinishCall(id, absl::DeadlineExceededError("the peer did not answer in time"));
  });
  return id;
}

void SimTransport::FinishCall(uint64_t id, PeerResult result) {
  const uint32_t slot = static_cast<uint32_t>(id);
  Call& call = calls_[slot];
  if (call.link == nullptr || call.generation != static_cast<uint32_t>(id >> 32)) return;
  loop_->Cancel(call.timer);
  --call.link->under_way_;
  call.link = nullptr;
  ++call.generation;
  PeerDone done = std::move(call.done);
  call.done = nullptr;
  free_calls_.push_back(slot);
  done(std::move(result));
}

void SimTransport::FailCallsOf(SimLink* link, const absl::Status& status) {
  if (link->under_way_ == 0) return;
  for (uint32_t slot = 0; slot < calls_.size(); ++slot) {
    if (calls_[slot].link != link) continue;
    // Posted: the flows that wait may close this line.
    Call& call = calls_[slot];
    loop_->Cancel(call.timer);
    call.link = nullptr;
    ++call.generation;
    free_calls_.push_back(slot);
    loop_->Post([done = std::move(call.done), status]() mutable { done(std::move(status)); });
    call.done = nullptr;
  }
  link->under_way_ = 0;
}

}  // namespace annulus::sim
