#!/usr/bin/python3
"""kill -9 of every process under write load, again and again: every acknowledged write is there after.

ANNULUS_KILLS sets how often (default 20)."""

import os
import random
import threading
import time
import unittest

import grpc

from local_cluster import LocalCluster, channel, generate_kv

pb, stubs = generate_kv()

KILLS = int(os.environ.get("ANNULUS_KILLS", "20"))
WRITERS = 6
LOAD_SECONDS = (0.5, 1.5)
BATCH = 500


class Writer(threading.Thread):
    """Writes as fast as one client can, and remembers what was acknowledged.

    Two kinds of keys: fresh ones, written once; and one of its own that it replaces over and over with
    the context of its last acknowledged put, so that losing a record's context would show too."""

    def __init__(self, address, name, stop):
        super().__init__(name=name)
        self.address, self.stop = address, stop
        self.acked = {}       # key -> value
        self.chain = []       # values of the own key, in the order of trying
        self.chain_acked = -1 # index of the last acknowledged one
        self.errors = set()

    def run(self):
        with channel(self.address) as link:
            store = stubs.KVStoreStub(link)
            context, count = b"", 0
            while not self.stop.is_set():
                key = f"{self.name}/{count}".encode()
                value = key * random.randint(1, 40)
                if self.put(store, key, value, b"") is not None:
                    self.acked[key] = value
                self.chain.append(b"%d" % count)
                answer = self.put(store, self.chain_key(), self.chain[-1], context)
                if answer is not None:
                    context, self.chain_acked = answer.context, len(self.chain) - 1
                count += 1

    def put(self, store, key, value, context):
        try:
            return store.Put(pb.PutRequest(key=key, value=value, context=context), timeout=5)
        except grpc.RpcError as error:
            self.errors.add(error.code())
            return None

    def chain_key(self):
        return f"{self.name}/chain".encode()


def read_all(address, keys):
    """{key: [values]} by batches of gets."""
    found = {}
    keys = list(keys)
    with channel(address) as link:
        store = stubs.KVStoreStub(link)
        for start in range(0, len(keys), BATCH):
            part = keys[start:start + BATCH]
            gets = [pb.Operation(get=pb.GetRequest(key=key)) for key in part]
            results = store.Batch(pb.BatchRequest(operations=gets), timeout=60).results
            for key, result in zip(part, results):
                if result.WhichOneof("result") != "get":
                    raise AssertionError(f"reading {key!r}: {result.error.message}")
                found[key] = [sibling.value for sibling in result.get.siblings]
    return found


class Durability(unittest.TestCase):
    def setUp(self):
        self.cluster = self.enterContext(LocalCluster())
        self.acked = {}

    def load_then_kill(self, turn):
        """Writers run for a random while, through all nodes; then everything is killed under them."""
        stop = threading.Event()
        writers = [Writer(self.cluster.nodes[i % 3]["client"], f"{turn}/{i}", stop) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(random.uniform(*LOAD_SECONDS))
        self.cluster.kill()
        stop.set()
        for writer in writers:
            writer.join()
        return writers

    def check(self, writers):
        for writer in writers:
            self.assertTrue(writer.acked, f"writer {writer.name} had no write acknowledged: {writer.errors}")
            self.assertLessEqual(writer.errors, {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
            self.acked.update(writer.acked)
        self.check_fresh(writers[0].name, {k: v for writer in writers for k, v in writer.acked.items()})
        chains = read_all(self.cluster.nodes[-1]["client"], [writer.chain_key() for writer in writers])
        for writer in writers:
            # The last acknowledged value, or one that was on its way behind it, and nothing older.
            allowed = writer.chain[max(0, writer.chain_acked):]
            values = chains[writer.chain_key()]
            self.assertTrue(values, f"{writer.chain_key()!r} is gone")
            self.assertLessEqual(set(values), set(allowed))

    def check_fresh(self, name, expected):
        found = read_all(self.cluster.nodes[random.randrange(3)]["client"], expected)
        lost = [key for key, value in expected.items() if found[key] != [value]]
        self.assertEqual([], lost[:5], f"{name}: {len(lost)} of {len(expected)} acknowledged writes are lost")

    def test_acknowledged_writes_survive_kill_9_of_every_node(self):
        for turn in range(KILLS):
            writers = self.load_then_kill(turn)
            self.cluster.start()
            self.check(writers)
        self.check_fresh("all turns", self.acked)
        print(f"{KILLS} kills, {len(self.acked)} acknowledged writes, all there")

    def test_a_clean_stop_ends_well_and_keeps_everything(self):
        stop = threading.Event()
        writers = [Writer(node["client"], f"clean/{i}", stop) for i, node in enumerate(self.cluster.nodes)]
        for writer in writers:
            writer.start()
        time.sleep(0.5)
        stop.set()
        for writer in writers:
            writer.join()
        self.assertEqual(0, self.cluster.stop())
        self.cluster.start()
        self.check(writers)


if __name__ == "__main__":
    unittest.main()
