#include "adapters/grpc/kv_codec.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/status_details.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

template <class Request>
Item TakeItem(Request* request) {
  Item item{.bucket = std::move(*request->mutable_bucket()),
            .key = std::move(*request->mutable_key()),
            .sort_key = std::move(*request->mutable_sort_key())};
  if (item.bucket.empty()) item.bucket = kDefaultBucket;
  return item;
}

absl::Status ToReplicas(pb::Consistency level, uint32_t number, ReplicaCount* out) {
  out->number = number;
  switch (level) {
    case pb::CONSISTENCY_UNSPECIFIED:
      out->level = Consistency::kDefault;
      return absl::OkStatus();
    case pb::CONSISTENCY_ONE:
      out->level = Consistency::kOne;
      return absl::OkStatus();
    case pb::CONSISTENCY_QUORUM:
      out->level = Consistency::kQuorum;
      return absl::OkStatus();
    case pb::CONSISTENCY_ALL:
      out->level = Consistency::kAll;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("consistency ", static_cast<int>(level), " is none of ONE, QUORUM, ALL"));
  }
}

absl::Status TakeWriteOptions(pb::WriteOptions* options, WriteRequest* out) {
  out->request_id = std::move(*options->mutable_request_id());
  out->ttl_ms = options->ttl_ms();
  out->explain = options->explain();
  if (options->has_sloppy()) out->sloppy = options->sloppy();
  absl::Status status = ToReplicas(options->consistency(), options->w(), &out->w);
  // Refused before anything was sent, so a write says that, too.
  if (!status.ok()) {
    status = WithDetails(std::move(status),
                         {.reason = "INVALID_ARGUMENT", .outcome = Outcome::kNotApplied});
  }
  return status;
}

uint64_t Micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::max(duration, Duration{0}))
      .count();
}

void FillAcks(const Acks& acks, pb::Acks* out) {
  out->set_primaries(acks.primaries);
  out->set_fallbacks(acks.fallbacks);
  out->set_required(acks.required);
}

void FillExplain(Explanation explanation, pb::Explain* out) {
  out->set_partition(explanation.partition.value());
  out->set_layout_version(explanation.layout_version.value());
  out->set_coordinator(std::move(explanation.coordinator));
  for (Hop& hop : explanation.hops) {
    pb::Hop* wire = out->add_hops();
    wire->set_node(std::move(hop.name));
    wire->set_kind(std::string(ToString(hop.kind)));
    wire->set_answer(std::move(hop.answer));
    wire->set_asked_us(Micros(hop.asked));
    wire->set_answered_us(Micros(hop.answered));
  }
  out->set_elapsed_us(Micros(explanation.elapsed));
}

// The fields that puts and deletes share.
template <class Response>
void FillWrite(WriteAnswer answer, Response* out) {
  out->set_context(std::move(answer.context));
  out->set_outcome(pb::OUTCOME_APPLIED);
  FillAcks(answer.acks, out->mutable_acks());
  out->set_request_id(answer.request_id.data(), answer.request_id.size());
  out->set_durable(answer.durable);
  if (answer.explanation.has_value()) {
    FillExplain(*std::move(answer.explanation), out->mutable_explain());
  }
}

// The fields that gets and scanned items share.
template <class Response>
void FillShown(GetAnswer answer, Response* out) {
  for (ShownSibling& sibling : answer.siblings) {
    pb::Sibling* wire = out->add_siblings();
    wire->set_value(std::move(sibling.value));
    wire->set_write_time_us(sibling.write_time.micros);
    wire->set_expires_us(sibling.expires.micros);
    wire->set_request_id(sibling.request_id.data(), sibling.request_id.size());
  }
  out->set_context(std::move(answer.context));
  out->set_more(answer.more);
  out->set_tombstone(answer.tombstone);
}

}  // namespace

absl::StatusOr<WriteRequest> TakePut(pb::PutRequest* request) {
  WriteRequest out;
  out.item = TakeItem(request);
  out.value = std::move(*request->mutable_value());
  out.context = std::move(*request->mutable_context());
  if (request->has_options()) {
    absl::Status status = TakeWriteOptions(request->mutable_options(), &out);
    if (!status.ok()) return status;
  }
  return out;
}

absl::StatusOr<WriteRequest> TakeDelete(pb::DeleteRequest* request) {
  WriteRequest out;
  out.item = TakeItem(request);
  out.is_delete = true;
  out.blind_delete = request->blind();
  out.context = std::move(*request->mutable_context());
  if (request->has_options()) {
    absl::Status status = TakeWriteOptions(request->mutable_options(), &out);
    if (!status.ok()) return status;
    out.ttl_ms = 0;  // "Ignored by Delete."
  }
  return out;
}

absl::StatusOr<GetRequest> TakeGet(pb::GetRequest* request) {
  GetRequest out;
  out.item = TakeItem(request);
  if (request->has_options()) {
    pb::ReadOptions* options = request->mutable_options();
    absl::Status status = ToReplicas(options->consistency(), options->r(), &out.r);
    if (!status.ok()) return status;
    out.at_least = std::move(*options->mutable_at_least());
    out.explain = options->explain();
    if (options->has_sloppy()) out.sloppy = options->sloppy();
  }
  return out;
}

absl::StatusOr<ScanRequest> TakeScan(pb::ScanRequest* request) {
  ScanRequest out;
  out.bucket = std::move(*request->mutable_bucket());
  if (out.bucket.empty()) out.bucket = kDefaultBucket;
  out.key = std::move(*request->mutable_key());
  out.values = request->values();
  out.tombstones = request->tombstones();
  out.limit = request->limit();
  out.page_token = std::move(*request->mutable_page_token());
  if (request->has_options()) {
    const pb::ReadOptions& options = request->options();
    if (!options.at_least().empty() || options.explain()) {
      return absl::InvalidArgumentError("at_least and explain are not for scans");
    }
    absl::Status status = ToReplicas(options.consistency(), options.r(), &out.r);
    if (!status.ok()) return status;
  }
  return out;
}

void FillPut(WriteAnswer answer, pb::PutResponse* out) {
  out->set_siblings(answer.siblings);
  FillWrite(std::move(answer), out);
}

void FillDelete(WriteAnswer answer, pb::DeleteResponse* out) { FillWrite(std::move(answer), out); }

void FillGet(GetAnswer answer, pb::GetResponse* out) {
  out->set_answers(answer.answers);
  if (answer.explanation.has_value()) {
    FillExplain(*std::move(answer.explanation), out->mutable_explain());
  }
  FillShown(std::move(answer), out);
}

void FillScan(ScanPage page, pb::ScanResponse* out) {
  out->mutable_items()->Reserve(static_cast<int>(page.items.size()));
  for (ScanItem& item : page.items) {
    pb::ScanItem* wire = out->add_items();
    wire->set_key(std::move(item.item.key));
    wire->set_sort_key(std::move(item.item.sort_key));
    FillShown(std::move(item.answer), wire);
  }
  out->set_page_token(std::move(page.page_token));
}

void FillError(const absl::Status& status, pb::OperationError* out) {
  const ErrorDetails details = DetailsOf(status);
  out->set_code(static_cast<int>(PublicCode(status.code())));
  out->set_message(std::string(status.message()));
  out->set_reason(details.reason);
  if (details.outcome != Outcome::kNone) {
    out->set_outcome(static_cast<pb::Outcome>(details.outcome));
    FillAcks(details.acks, out->mutable_acks());
  }
  const int64_t retry_ms =
      std::chrono::ceil<std::chrono::milliseconds>(std::max(details.retry_after, Duration{0}))
          .count();
  out->set_retry_after_ms(
      static_cast<uint32_t>(std::min<int64_t>(retry_ms, std::numeric_limits<uint32_t>::max())));
}

}  // namespace annulus
