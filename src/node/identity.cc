#include "node/identity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "node/meta.h"

namespace annulus {
namespace {

constexpr char kIdentityKey[] = "identity";
constexpr char kLayoutKey[] = "layout";

Bytes Encode(NodeId id, BytesView cluster, BytesView name) {
  Bytes out;
  PutFixed64(&out, id.value());
  PutSized(&out, cluster);
  PutSized(&out, name);
  return out;
}

absl::Status Check(const std::string& stored_cluster, const std::string& stored_name,
                   const std::string& cluster, const std::string& name) {
  if (stored_cluster != cluster) {
    return absl::FailedPreconditionError(
        absl::StrCat("the data directory belongs to cluster \"", stored_cluster, "\", not to \"",
                     cluster, "\"; set cluster to that name, or choose another data_dir"));
  }
  if (stored_name != name) {
    return absl::FailedPreconditionError(
        absl::StrCat("the data directory belongs to node \"", stored_name, "\", not to \"", name,
                     "\"; start it under that name, or choose another data_dir"));
  }
  return absl::OkStatus();
}

}  // namespace

Task<absl::StatusOr<Identity>> LoadIdentity(Env env, std::string cluster, std::string name) {
  Identity identity;
  std::string key = kIdentityKey;
  absl::StatusOr<std::optional<Bytes>> stored = co_await ReadMeta(env, key);
  if (!stored.ok()) co_return stored.status();
  if (!stored->has_value()) {
    do {
      identity.id = NodeId(env.random->Next());
    } while (identity.id == NodeId());
    Bytes value = Encode(identity.id, cluster, name);
    absl::Status written = co_await WriteMeta(env, key, std::move(value));
    if (!written.ok()) co_return written;
    co_return identity;
  }

  ByteReader reader(**stored);
  uint64_t id = 0;
  BytesView stored_cluster, stored_name;
  reader.Fixed64(&id);
  reader.Sized(&stored_cluster);
  reader.Sized(&stored_name);
  if (!reader.done()) co_return absl::DataLossError("the data directory's identity is damaged");
  if (absl::Status same =
          Check(std::string(stored_cluster), std::string(stored_name), cluster, name);
      !same.ok()) {
    co_return same;
  }
  identity.id = NodeId(id);

  key = kLayoutKey;
  absl::StatusOr<std::optional<Bytes>> layout_bytes = co_await ReadMeta(env, key);
  if (!layout_bytes.ok()) co_return layout_bytes.status();
  if (layout_bytes->has_value()) {
    absl::StatusOr<Layout> layout = Layout::Decode(**layout_bytes);
    if (!layout.ok()) co_return layout.status();
    identity.layout = *std::move(layout);
  }
  co_return identity;
}

Task<absl::Status> StoreLayout(Env env, const Layout& layout) {
  std::string key = kLayoutKey;
  Bytes value = layout.Encode();
  absl::Status status = co_await WriteMeta(env, std::move(key), std::move(value));
  co_return status;
}

}  // namespace annulus
