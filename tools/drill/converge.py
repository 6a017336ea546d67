"""Waits until every owner of every key holds the same, as Admin.Locate shows it."""

import time

import grpc

import rpc

BATCH = 32  # questions under way at once
ASK_SECONDS = 5


def _held(holder):
    return (holder.vector, tuple(sorted((v.dot, v.size, v.tombstone) for v in holder.versions)))


def difference(response):
    """What keeps the owners of a key from being equal; empty where they are."""
    owners = [holder for holder in response.holders if holder.owner]
    silent = [f"{holder.name}: {holder.answer}" for holder in owners if holder.answer not in ("ok", "not found")]
    if silent:
        return ", ".join(silent)
    if len({_held(holder) for holder in owners}) <= 1:
        return ""
    return "; ".join(f"{holder.name} {holder.vector or 'nothing'}" for holder in owners)


def _ask(stub, bucket, keys):
    """{key: difference} of those that differ."""
    found = {}
    for start in range(0, len(keys), BATCH):
        asked = [(key, stub.Locate.future(rpc.admin.LocateRequest(bucket=bucket, key=key), timeout=ASK_SECONDS))
                 for key in keys[start:start + BATCH]]
        for key, future in asked:
            try:
                text = difference(future.result())
            except grpc.RpcError as error:
                text = rpc.describe(error)
            if text:
                found[key] = text
    return found


def wait_until_level(address, bucket, keys, seconds):
    """Asks the process at `address` again and again. Returns how long it took, and what still differs."""
    began = time.monotonic()
    with rpc.channel(address) as channel:
        stub = rpc.admin_grpc.AdminStub(channel)
        different = _ask(stub, bucket, keys)
        while different and time.monotonic() - began < seconds:
            time.sleep(0.2)
            # A last look at all: a late arrival may have changed those that were equal early.
            different = _ask(stub, bucket, list(different)) or _ask(stub, bucket, keys)
    return time.monotonic() - began, different


def final_values(address, bucket, keys):
    """{key: values}, each read from all of its owners."""
    values = {}
    options = rpc.kv.ReadOptions(consistency=rpc.kv.CONSISTENCY_ALL, sloppy=False)
    with rpc.channel(address) as channel:
        stub = rpc.kv_grpc.KVStoreStub(channel)
        for start in range(0, len(keys), BATCH):
            asked = [(key, stub.Get.future(rpc.kv.GetRequest(bucket=bucket, key=key, options=options),
                                           timeout=4 * ASK_SECONDS)) for key in keys[start:start + BATCH]]
            for key, future in asked:
                values[key] = [sibling.value for sibling in future.result().siblings]
    return values
