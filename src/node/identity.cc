#include "node/identity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "node/meta.h"

namespace annulus {
namespace {

constexpr char kIdentityKey[] = "identity";
constexpr char kLayoutKey[] = "layout";
constexpr char kSequenceBaseKey[] = "sequence_base";
constexpr char kRebuildAllKey[] = "rebuild_all";  // There, or not.

Bytes Encode(NodeId id, BytesView cluster, BytesView name) {
  Bytes out;
  PutFixed64(&out, id.value());
  PutSized(&out, cluster);
  PutSized(&out, name);
  return out;
}

StorageWrite Meta(std::string name, std::optional<Bytes> value) {
  return {ColumnFamily::kMeta, std::move(name), std::move(value)};
}

absl::Status Damaged(const char* what) {
  return absl::DataLossError(absl::StrCat("the data directory's ", what, " is damaged"));
}

// What is there only once something was found wrong with the disk.
Task<absl::Status> LoadAmnesia(Env env, Identity* identity) {
  std::string key = kSequenceBaseKey;
  absl::StatusOr<std::optional<Bytes>> base = co_await ReadMeta(env, key);
  if (!base.ok()) co_return base.status();
  if (base->has_value()) {
    ByteReader reader(**base);
    reader.Fixed64(&identity->sequence_base);
    if (!reader.done()) co_return Damaged("sequence base");
  }
  key = kRebuildAllKey;
  absl::StatusOr<std::optional<Bytes>> rebuild = co_await ReadMeta(env, key);
  if (!rebuild.ok()) co_return rebuild.status();
  identity->rebuild_all = rebuild->has_value();
  co_return absl::OkStatus();
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
    identity.fresh = true;
    co_return identity;
  }

  ByteReader reader(**stored);
  uint64_t id = 0;
  BytesView stored_cluster, stored_name;
  reader.Fixed64(&id);
  reader.Sized(&stored_cluster);
  reader.Sized(&stored_name);
  if (!reader.done()) co_return Damaged("identity");
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
  absl::Status amnesia = co_await LoadAmnesia(env, &identity);
  if (!amnesia.ok()) co_return amnesia;
  co_return identity;
}

Task<absl::Status> StoreLayout(Env env, const Layout& layout) {
  std::string key = kLayoutKey;
  Bytes value = layout.Encode();
  absl::Status status = co_await WriteMeta(env, std::move(key), std::move(value));
  co_return status;
}

Task<absl::Status> TakeOver(Env env, NodeId id, std::string cluster, std::string name,
                            const Layout& layout) {
  StorageBatch batch;
  batch.push_back(Meta(kIdentityKey, Encode(id, cluster, name)));
  batch.push_back(Meta(kLayoutKey, layout.Encode()));
  batch.push_back(Meta(kRebuildAllKey, Bytes()));
  absl::Status status = co_await CommitMeta(env, std::move(batch));
  co_return status;
}

Task<absl::Status> NoteAmnesia(Env env, uint64_t sequence_base) {
  Bytes base;
  PutFixed64(&base, sequence_base);
  StorageBatch batch;
  batch.push_back(Meta(kSequenceBaseKey, std::move(base)));
  batch.push_back(Meta(kRebuildAllKey, Bytes()));
  absl::Status status = co_await CommitMeta(env, std::move(batch));
  co_return status;
}

StorageWrite RebuildAllTakenUp() { return Meta(kRebuildAllKey, std::nullopt); }

}  // namespace annulus
