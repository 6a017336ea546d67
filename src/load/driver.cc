#include "load/driver.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace annulus::load {
namespace {

// How long a key of a fill is tried again where it is refused, and how often.
constexpr Duration kFillPatience = 60s;
constexpr Duration kFillPause = 100ms;

}  // namespace

Driver::Driver(Loop* loop, Target* target, Workload* workload, DriverOptions options)
    : loop_(loop),
      target_(target),
      workload_(workload),
      options_(options),
      clients_(std::max<size_t>(options.clients, 1)) {
  for (size_t i = clients_.size(); i > 0; --i) free_.push_back(i - 1);
}

Driver::~Driver() {
  ANNULUS_CHECK(under_way_ == 0);
  if (timer_ != 0) loop_->Cancel(timer_);
}

void Driver::Fill(uint64_t keys, Done done) {
  filling_ = true;
  fill_keys_ = keys;
  next_ = 0;
  done_ = std::move(done);
  Begin();
}

void Driver::Run(Duration duration, Done done) {
  filling_ = false;
  duration_ = duration;
  began_ = loop_->Now();
  next_ = 0;
  done_ = std::move(done);
  Begin();
}

bool Driver::Exhausted() const {
  if (stopped_) return true;
  if (filling_) return next_ >= fill_keys_;
  if (options_.rate > 0) return DueOf(next_) - began_ >= duration_;
  return loop_->Now() - began_ >= duration_;
}

Instant Driver::DueOf(uint64_t number) const {
  return began_ + Duration(static_cast<int64_t>(static_cast<double>(number) * 1e9 / options_.rate));
}

void Driver::Begin() {
  if (beginning_) return;  // An operation ended at once; the loop below goes on.
  beginning_ = true;
  while (!free_.empty() && !Exhausted()) {
    if (!filling_ && options_.rate > 0) {
      const Instant due = DueOf(next_);
      if (due > loop_->Now()) {
        if (timer_ == 0) {
          timer_ = loop_->PostAt(due, [this] {
            timer_ = 0;
            Begin();
          });
        }
        break;
      }
    }
    const size_t client = free_.back();
    free_.pop_back();
    BeginGroup(client);
  }
  beginning_ = false;
  EndIfDone();
}

void Driver::BeginGroup(size_t client) {
  // All at once: what has ended already must not look like the end of the group.
  clients_[client].left = options_.group;
  size_t begun = 0;
  for (; begun < options_.group && !(begun > 0 && Exhausted()); ++begun) {
    const Instant now = loop_->Now();
    if (filling_) {
      BeginFill(client, next_++);
    } else {
      const Instant due = options_.rate > 0 ? std::min(DueOf(next_), now) : now;
      ++next_;
      BeginOne(client, due);
    }
  }
  clients_[client].left -= options_.group - begun;
  if (clients_[client].left == 0) free_.push_back(client);
}

void Driver::BeginFill(size_t client, uint64_t key) {
  ++under_way_;
  FillOne(client, key, loop_->Now());
}

// A cluster that has too much to do is waited for: what a run needs must be there.
void Driver::FillOne(size_t client, uint64_t key, Instant due) {
  target_->Write(key, [this, client, key, due](const absl::Status& status) {
    const bool again = absl::IsResourceExhausted(status) && loop_->Now() - due < kFillPatience;
    if (!again || stopped_) return Ended(client, Kind::kInsert, due, status);
    loop_->PostAt(loop_->Now() + kFillPause,
                  [this, client, key, due] { FillOne(client, key, due); });
  });
}

void Driver::BeginOne(size_t client, Instant due) {
  ++under_way_;
  const Workload::Step step = workload_->Next();
  auto ended = [this, client, kind = step.kind, due](const absl::Status& status) {
    Ended(client, kind, due, status);
  };
  switch (step.kind) {
    case Kind::kRead:
      return target_->Read(step.key, std::move(ended));
    case Kind::kUpdate:
    case Kind::kInsert:
      return target_->Write(step.key, std::move(ended));
    case Kind::kScan:
      return target_->Scan(step.key, std::move(ended));
    case Kind::kModify:
      return target_->Read(step.key, [this, key = step.key, ended = std::move(ended)](
                                         const absl::Status& status) mutable {
        if (!status.ok()) return ended(status);
        target_->Write(key, std::move(ended));
      });
  }
}

void Driver::Ended(size_t client, Kind kind, Instant due, const absl::Status& status) {
  --under_way_;
  window_.Count(kind, loop_->Now() - due, status);
  if (--clients_[client].left > 0) return;
  free_.push_back(client);
  Begin();
}

void Driver::EndIfDone() {
  if (under_way_ > 0 || !Exhausted() || done_ == nullptr) return;
  if (timer_ != 0) loop_->Cancel(std::exchange(timer_, 0));
  std::exchange(done_, nullptr)();
}

}  // namespace annulus::load
