// The fake store itself: linked into test binaries only, which take *_test.cc.
#include "client/fake_store.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/server_builder.h"

namespace annulus {

grpc::Status StatusWithInfo(grpc::StatusCode code, const std::string& message,
                            const std::string& reason, const std::string& outcome) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("annulus");
  if (!outcome.empty()) {
    (*info.mutable_metadata())["outcome"] = outcome;
    (*info.mutable_metadata())["acks_primaries"] = "1";
    (*info.mutable_metadata())["acks_fallbacks"] = "0";
    (*info.mutable_metadata())["acks_required"] = "2";
  }
  status.add_details()->PackFrom(info);
  return grpc::Status(code, message, status.SerializeAsString());
}

std::set<uint64_t> FakeStore::DotsOf(const std::string& context) {
  std::set<uint64_t> dots;
  for (const absl::string_view part : absl::StrSplit(context, ',', absl::SkipEmpty())) {
    uint64_t dot = 0;
    if (absl::SimpleAtoi(part, &dot)) dots.insert(dot);
  }
  return dots;
}

std::string FakeStore::ContextOf(const std::set<uint64_t>& dots) {
  return absl::StrJoin(dots, ",");
}

grpc::Status FakeStore::RunPut(const kv::v1::PutRequest& request, kv::v1::PutResponse* response) {
  if (request.key().empty()) {
    return StatusWithInfo(grpc::StatusCode::INVALID_ARGUMENT, "the key is empty", "KEY_EMPTY",
                          "NOT_APPLIED");
  }
  ++puts_;
  auto& entries = items_[{request.bucket(), request.key(), request.sort_key()}];
  auto covered = DotsOf(request.context());
  std::erase_if(entries, [&](const Entry& entry) { return covered.count(entry.dot) > 0; });
  uint64_t dot = 0;
  for (const Entry& entry : entries) {
    if (entry.sibling.request_id() == request.options().request_id()) dot = entry.dot;
  }
  if (dot == 0) {
    Entry entry;
    dot = entry.dot = next_dot_++;
    entry.sibling.set_value(request.value());
    entry.sibling.set_request_id(request.options().request_id());
    entry.sibling.set_write_time_us(1'700'000'000'000'000);
    if (request.options().ttl_ms() > 0) entry.sibling.set_expires_us(4'000'000'000'000'000);
    entries.push_back(entry);
  }
  covered.insert(dot);
  response->set_context(ContextOf(covered));
  response->set_outcome(kv::v1::OUTCOME_APPLIED);
  response->set_request_id(request.options().request_id());
  response->set_durable(true);
  uint32_t siblings = 0;
  for (const Entry& entry : entries) siblings += !entry.tombstone;
  response->set_siblings(siblings);
  response->mutable_acks()->set_primaries(2);
  response->mutable_acks()->set_required(2);
  return grpc::Status::OK;
}

grpc::Status FakeStore::RunGet(const kv::v1::GetRequest& request, kv::v1::GetResponse* response) {
  std::set<uint64_t> dots;
  for (const Entry& entry : items_[{request.bucket(), request.key(), request.sort_key()}]) {
    dots.insert(entry.dot);
    if (entry.tombstone) {
      response->set_tombstone(true);
    } else {
      *response->add_siblings() = entry.sibling;
    }
  }
  response->set_context(ContextOf(dots));
  response->set_answers(2);
  if (request.options().explain()) {
    response->mutable_explain()->set_partition(7);
    response->mutable_explain()->set_coordinator("fake");
    auto* hop = response->mutable_explain()->add_hops();
    hop->set_node("fake");
    hop->set_kind("read");
    hop->set_answer("ok");
    hop->set_answered_us(5);
  }
  return grpc::Status::OK;
}

grpc::Status FakeStore::RunDelete(const kv::v1::DeleteRequest& request,
                                  kv::v1::DeleteResponse* response) {
  if (!request.blind() && request.context().empty()) {
    return StatusWithInfo(grpc::StatusCode::INVALID_ARGUMENT, "no context", "CONTEXT_MISSING",
                          "NOT_APPLIED");
  }
  auto& entries = items_[{request.bucket(), request.key(), request.sort_key()}];
  const auto covered = DotsOf(request.context());
  std::erase_if(
      entries, [&](const Entry& entry) { return request.blind() || covered.count(entry.dot) > 0; });
  Entry entry;
  entry.dot = next_dot_++;
  entry.tombstone = true;
  entries.push_back(entry);
  response->set_context(absl::StrCat(entry.dot));
  response->set_outcome(kv::v1::OUTCOME_APPLIED);
  response->set_durable(true);
  return grpc::Status::OK;
}

grpc::Status FakeStore::Run(const kv::v1::Operation& operation, kv::v1::OperationResult* result) {
  const uint64_t number = operations_++;
  std::lock_guard lock(mutex_);
  Fault fault;
  if (fault_) fault = fault_(number, operation);
  if (!fault.status.ok() && !fault.applied) return fault.status;
  grpc::Status status;
  if (operation.has_put()) status = RunPut(operation.put(), result->mutable_put());
  if (operation.has_get()) status = RunGet(operation.get(), result->mutable_get());
  if (operation.has_delete_()) status = RunDelete(operation.delete_(), result->mutable_delete_());
  return fault.status.ok() ? status : fault.status;
}

class FakeStore::Kv : public kv::v1::KVStore::Service {
 public:
  explicit Kv(FakeStore* store) : store_(store) {}

  grpc::Status Put(grpc::ServerContext*, const kv::v1::PutRequest* request,
                   kv::v1::PutResponse* response) override {
    kv::v1::Operation operation;
    *operation.mutable_put() = *request;
    kv::v1::OperationResult result;
    const grpc::Status status = store_->Run(operation, &result);
    *response = result.put();
    return status;
  }
  grpc::Status Get(grpc::ServerContext*, const kv::v1::GetRequest* request,
                   kv::v1::GetResponse* response) override {
    kv::v1::Operation operation;
    *operation.mutable_get() = *request;
    kv::v1::OperationResult result;
    const grpc::Status status = store_->Run(operation, &result);
    *response = result.get();
    return status;
  }
  grpc::Status Delete(grpc::ServerContext*, const kv::v1::DeleteRequest* request,
                      kv::v1::DeleteResponse* response) override {
    kv::v1::Operation operation;
    *operation.mutable_delete_() = *request;
    kv::v1::OperationResult result;
    const grpc::Status status = store_->Run(operation, &result);
    *response = result.delete_();
    return status;
  }

  grpc::Status Pipeline(grpc::ServerContext* context,
                        grpc::ServerReaderWriter<kv::v1::PipelineResponse, kv::v1::PipelineRequest>*
                            stream) override {
    kv::v1::PipelineRequest request;
    uint64_t done = 0;
    while (stream->Read(&request)) {
      kv::v1::PipelineResponse response;
      for (const auto& each : request.operations()) {
        auto* result = response.add_results();
        result->set_id(each.id());
        const grpc::Status status = store_->Run(each.operation(), result->mutable_result());
        if (!status.ok()) {
          auto* error = result->mutable_result()->mutable_error();
          error->set_code(status.error_code());
          error->set_message(status.error_message());
          error->set_reason("FAKE");
          error->set_outcome(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT
                                 ? kv::v1::OUTCOME_NOT_APPLIED
                                 : kv::v1::OUTCOME_UNKNOWN);
        }
        ++done;
        const uint64_t life = store_->stream_life_;
        if (life > 0 && done >= life) {
          // The rest has been carried out as far as the client knows, or has not.
          context->TryCancel();
          return grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut by the test");
        }
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Scan(grpc::ServerContext*, const kv::v1::ScanRequest* request,
                    grpc::ServerWriter<kv::v1::ScanResponse>* writer) override {
    std::vector<std::pair<ItemKey, std::vector<Entry>>> items;
    {
      std::lock_guard lock(store_->mutex_);
      for (const auto& each : store_->items_) items.push_back(each);
    }
    // The token is the number of items passed; pages have 3.
    uint64_t position = 0;
    (void)absl::SimpleAtoi(request->page_token(), &position);
    uint64_t sent = 0, index = 0;
    kv::v1::ScanResponse page;
    for (const auto& [key, entries] : items) {
      if (std::get<0>(key) != request->bucket()) continue;
      if (!request->key().empty() && std::get<1>(key) != request->key()) continue;
      if (index++ < position) continue;
      kv::v1::ScanItem item;
      item.set_key(std::get<1>(key));
      item.set_sort_key(std::get<2>(key));
      item.set_context("1");
      for (const Entry& entry : entries) {
        if (entry.tombstone) {
          item.set_tombstone(true);
        } else {
          *item.add_siblings() = entry.sibling;
          if (!request->values()) item.mutable_siblings()->rbegin()->clear_value();
        }
      }
      if (item.siblings().empty() && !request->tombstones()) continue;
      *page.add_items() = item;
      ++sent;
      if (request->limit() > 0 && sent >= request->limit()) break;
      if (page.items_size() == 3) {
        page.set_page_token(absl::StrCat(index));
        writer->Write(page);
        page.Clear();
        if (store_->stream_life_ > 0) {
          return grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut by the test");
        }
      }
    }
    if (index < items.size()) page.set_page_token(absl::StrCat(index));
    writer->Write(page);
    return grpc::Status::OK;
  }

 private:
  FakeStore* const store_;
};

class FakeStore::Admin : public admin::v1::Admin::Service {
 public:
  grpc::Status SetFaults(grpc::ServerContext*, const admin::v1::SetFaultsRequest* request,
                         admin::v1::SetFaultsResponse* response) override {
    std::lock_guard lock(mutex_);
    if (request->clear()) faults_.clear_faults();
    faults_.MergeFrom(*request);
    *response->mutable_faults() = faults_.faults();
    return grpc::Status::OK;
  }
  grpc::Status GetFaults(grpc::ServerContext*, const admin::v1::GetFaultsRequest*,
                         admin::v1::GetFaultsResponse* response) override {
    std::lock_guard lock(mutex_);
    *response->mutable_faults() = faults_.faults();
    return grpc::Status::OK;
  }
  // Level at the fifth question.
  grpc::Status Repair(grpc::ServerContext*, const admin::v1::RepairRequest* request,
                      admin::v1::RepairResponse* response) override {
    std::lock_guard lock(mutex_);
    response->set_partitions(request->has_partition() ? 1 : 4);
    if (++repairs_ >= 5) {
      response->set_level(response->partitions());
    } else {
      response->add_missing("node-2");
    }
    return grpc::Status::OK;
  }
  grpc::Status Status(grpc::ServerContext*, const admin::v1::StatusRequest*,
                      admin::v1::StatusResponse* response) override {
    response->set_cluster("fake");
    response->set_name("node-1");
    response->set_role("node");
    response->set_node_id(0xabc);
    response->set_layout_version(1);
    response->set_version("0");
    response->set_ready(true);
    response->set_sync(true);
    auto* member = response->add_members();
    member->set_name("node-1");
    member->set_node_id(0xabc);
    member->set_state("self");
    member->set_partitions(2);
    return grpc::Status::OK;
  }
  grpc::Status Layout(grpc::ServerContext*, const admin::v1::LayoutRequest*,
                      admin::v1::LayoutResponse* response) override {
    response->set_version(1);
    response->set_cluster("fake");
    response->set_replicas(2);
    for (const char* name : {"node-1", "node-2"}) response->add_members()->set_name(name);
    for (int i = 0; i < 4; ++i) {
      auto* partition = response->add_partitions();
      partition->add_owners(i % 2);
      partition->add_owners(1 - i % 2);
    }
    return grpc::Status::OK;
  }
  grpc::Status Locate(grpc::ServerContext*, const admin::v1::LocateRequest*,
                      admin::v1::LocateResponse* response) override {
    response->set_partition(7);
    response->set_layout_version(1);
    for (const char* name : {"node-1", "node-2", "node-3"}) {
      auto* holder = response->add_holders();
      holder->set_name(name);
      holder->set_owner(true);
      holder->set_answer("ok");
      auto* version = holder->add_versions();
      version->set_dot("a:1");
      version->set_size(5);
    }
    return grpc::Status::OK;
  }

 private:
  std::mutex mutex_;
  admin::v1::SetFaultsRequest faults_;
  int repairs_ = 0;
};

FakeStore::FakeStore() = default;

FakeStore::~FakeStore() {
  for (auto& [address, server] : servers_) {
    if (server.server) server.server->Shutdown(std::chrono::system_clock::now());
  }
}

std::string FakeStore::Serve() {
  Server server;
  server.kv = std::make_unique<Kv>(this);
  server.admin = std::make_unique<Admin>();
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(server.kv.get());
  builder.RegisterService(server.admin.get());
  server.server = builder.BuildAndStart();
  const std::string address = absl::StrCat("127.0.0.1:", port);
  servers_[address] = std::move(server);
  return address;
}

void FakeStore::Kill(const std::string& address) {
  servers_.at(address).server->Shutdown(std::chrono::system_clock::now());
  servers_.erase(address);
}

void FakeStore::SetFault(FaultFunction fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

std::vector<std::string> FakeStore::Values(const std::string& bucket, const std::string& key) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> values;
  for (const Entry& entry : items_[{bucket, key, ""}]) {
    if (!entry.tombstone) values.push_back(entry.sibling.value());
  }
  return values;
}

}  // namespace annulus
