#include "load/annulus_target.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "load/random_value.h"

namespace annulus::load {

void ContextTable::Free::operator()(Slot* slots) const { std::free(slots); }

// calloc: large blocks come from the kernel as pages that are not there until they are written.
ContextTable::ContextTable(uint64_t keys)
    : keys_(keys), slots_(static_cast<Slot*>(std::calloc(keys, sizeof(Slot)))) {
  ANNULUS_CHECK(slots_ != nullptr);
}

void ContextTable::Set(uint64_t key, std::string_view context) {
  if (key < keys_ && context.size() <= sizeof(Slot::bytes)) {
    slots_[key].size = static_cast<uint8_t>(context.size());
    std::memcpy(slots_[key].bytes, context.data(), context.size());
    if (!others_.empty()) others_.erase(key);
  } else {
    others_[key] = std::string(context);
  }
}

std::string_view ContextTable::Get(uint64_t key) const {
  if (!others_.empty()) {
    if (const auto found = others_.find(key); found != others_.end()) return found->second;
  }
  if (key >= keys_) return {};
  return {slots_[key].bytes, slots_[key].size};
}

AnnulusTarget::AnnulusTarget(Session* session, AnnulusTargetOptions options)
    : session_(session),
      options_(std::move(options)),
      random_(options_.seed),
      contexts_(options_.keys) {}

template <class Request>
void AnnulusTarget::Name(uint64_t key, Request* request) const {
  request->set_bucket(options_.bucket);
  request->set_key(absl::StrCat(options_.prefix, key / options_.items_per_key));
  if (options_.items_per_key > 1) {
    request->set_sort_key(absl::StrFormat("%08d", key % options_.items_per_key));
  }
}

void AnnulusTarget::Read(uint64_t key, Done done) {
  kv::v1::Operation operation;
  Name(key, operation.mutable_get());
  session_->Start(
      std::move(operation),
      [this, key, done = std::move(done)](absl::StatusOr<kv::v1::OperationResult> result) mutable {
        if (result.ok()) contexts_.Set(key, result->get().context());
        done(result.status());
      });
}

void AnnulusTarget::Write(uint64_t key, Done done) {
  kv::v1::Operation operation;
  kv::v1::PutRequest* put = operation.mutable_put();
  Name(key, put);
  put->set_value(RandomValue(options_.value_bytes, &random_));
  put->set_context(std::string(contexts_.Get(key)));
  session_->Start(
      std::move(operation),
      [this, key, done = std::move(done)](absl::StatusOr<kv::v1::OperationResult> result) mutable {
        if (result.ok()) contexts_.Set(key, result->put().context());
        done(result.status());
      });
}

void AnnulusTarget::Scan(uint64_t key, Done done) {
  kv::v1::ScanRequest request;
  request.set_bucket(options_.bucket);
  request.set_key(absl::StrCat(options_.prefix, key / options_.items_per_key));
  request.set_values(true);
  request.set_limit(options_.scan_items);
  session_->Scan(std::move(request),
                 [done = std::move(done)](absl::StatusOr<kv::v1::ScanResponse> found) mutable {
                   done(found.status());
                 });
}

}  // namespace annulus::load
