#pragma once

#include <string>

#include "adapters/grpc/unary.h"
#include "annulus/admin/v1/admin.grpc.pb.h"

namespace annulus {

// annulus.admin.v1.Admin over a node.
class AdminService {
 public:
  // `version`: of the program.
  AdminService(DoorContext* door, std::string version);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. REQUIRES: the server runs.
  void Accept();

 private:
  using StatusMethod = UnaryMethod<admin::v1::StatusRequest, admin::v1::StatusResponse>;
  using LayoutMethod = UnaryMethod<admin::v1::LayoutRequest, admin::v1::LayoutResponse>;
  using LocateMethod = UnaryMethod<admin::v1::LocateRequest, admin::v1::LocateResponse>;
  using SetFaultsMethod = UnaryMethod<admin::v1::SetFaultsRequest, admin::v1::SetFaultsResponse>;
  using GetFaultsMethod = UnaryMethod<admin::v1::GetFaultsRequest, admin::v1::GetFaultsResponse>;
  using RepairMethod = UnaryMethod<admin::v1::RepairRequest, admin::v1::RepairResponse>;

  Task<absl::Status> Status(StatusMethod::Call* call);
  Task<absl::Status> Layout(LayoutMethod::Call* call);
  Task<absl::Status> Locate(LocateMethod::Call* call);
  Task<absl::Status> SetFaults(SetFaultsMethod::Call* call);
  Task<absl::Status> GetFaults(GetFaultsMethod::Call* call);
  Task<absl::Status> Repair(RepairMethod::Call* call);

  DoorContext* door_;
  const std::string version_;
  UnparsedService<admin::v1::Admin::AsyncService> service_;
  StatusMethod status_;
  LayoutMethod layout_;
  LocateMethod locate_;
  SetFaultsMethod set_faults_;
  GetFaultsMethod get_faults_;
  RepairMethod repair_;
};

}  // namespace annulus
