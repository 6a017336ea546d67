#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "annulus/admin/v1/admin.grpc.pb.h"
#include "annulus/kv/v1/kv.grpc.pb.h"
#include "grpcpp/server.h"

namespace annulus {

// A store in one process and without replicas that keeps the contract of kv.proto as clients see
// it: siblings, contexts, request ids, tombstones. For tests of the command line.
class FakeStore {
 public:
  FakeStore();
  ~FakeStore();

  // One more server on a free loopback port, on the same data. Returns its address.
  std::string Serve();
  // The connections of a server break; its port is closed.
  void Kill(const std::string& address);

  // Asked before each operation, with the number of operations so far (from 0): a status that is
  // not OK is the answer. `applied` tells whether the operation is carried out all the same.
  struct Fault {
    grpc::Status status;
    bool applied = false;
  };
  using FaultFunction = std::function<Fault(uint64_t number, const kv::v1::Operation& operation)>;
  void SetFault(FaultFunction fault);
  // Ends every pipeline stream after this many operations; 0: never.
  void SetStreamLife(uint64_t operations) { stream_life_ = operations; }

  // What is stored, for comparisons.
  std::vector<std::string> Values(const std::string& bucket, const std::string& key);
  uint64_t operations() const { return operations_; }
  uint64_t puts() const { return puts_; }

 private:
  class Kv;
  class Admin;
  struct Entry {
    uint64_t dot = 0;
    bool tombstone = false;
    kv::v1::Sibling sibling;
  };
  using ItemKey = std::tuple<std::string, std::string, std::string>;
  struct Server {
    std::unique_ptr<grpc::Service> kv, admin;
    std::unique_ptr<grpc::Server> server;
  };

  grpc::Status Run(const kv::v1::Operation& operation, kv::v1::OperationResult* result);
  grpc::Status RunPut(const kv::v1::PutRequest& request, kv::v1::PutResponse* response);
  grpc::Status RunGet(const kv::v1::GetRequest& request, kv::v1::GetResponse* response);
  grpc::Status RunDelete(const kv::v1::DeleteRequest& request, kv::v1::DeleteResponse* response);
  static std::set<uint64_t> DotsOf(const std::string& context);
  static std::string ContextOf(const std::set<uint64_t>& dots);

  std::mutex mutex_;
  std::map<ItemKey, std::vector<Entry>> items_;
  uint64_t next_dot_ = 1;
  FaultFunction fault_;
  std::atomic<uint64_t> operations_{0}, puts_{0}, stream_life_{0};
  std::map<std::string, Server> servers_;
};

// A status with google.rpc.ErrorInfo, as a real server sends it.
grpc::Status StatusWithInfo(grpc::StatusCode code, const std::string& message,
                            const std::string& reason, const std::string& outcome);

}  // namespace annulus
