#!/usr/bin/python3
"""A client that knows only kv.proto and the stock plugin: values, siblings, deletes, errors, streams."""

import unittest

import grpc

from local_cluster import LocalCluster, channel, error_info, generate_kv

pb, stubs = generate_kv()


class PythonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(LocalCluster())
        cls.channels = [channel(node["client"]) for node in cls.cluster.nodes]
        cls.stores = [stubs.KVStoreStub(each) for each in cls.channels]

    @classmethod
    def tearDownClass(cls):
        for each in cls.channels:
            each.close()

    def put(self, key, value, context=b"", node=0, **fields):
        return self.stores[node].Put(pb.PutRequest(key=key, value=value, context=context, **fields), timeout=10)

    def get(self, key, node=0, **fields):
        return self.stores[node].Get(pb.GetRequest(key=key, **fields), timeout=10)

    def values(self, key, node=0, **fields):
        return sorted(sibling.value for sibling in self.get(key, node, **fields).siblings)

    def test_a_value_is_read_back_through_every_node(self):
        answer = self.put(b"one", b"1")
        self.assertEqual(pb.OUTCOME_APPLIED, answer.outcome)
        self.assertGreaterEqual(answer.acks.primaries + answer.acks.fallbacks, answer.acks.required)
        self.assertEqual(2, answer.acks.required)
        self.assertTrue(answer.durable)
        self.assertEqual(16, len(answer.request_id))
        for node in range(3):
            self.assertEqual([b"1"], self.values(b"one", node))

    def test_not_found_is_an_answer(self):
        answer = self.get(b"never written")
        self.assertEqual(0, len(answer.siblings))
        self.assertEqual(b"", answer.context)
        self.assertFalse(answer.tombstone)

    def test_blind_writes_become_siblings_and_a_context_resolves_them(self):
        self.put(b"cart", b"apples", node=0)
        self.put(b"cart", b"pears", node=1)
        read = self.get(b"cart", node=2)
        self.assertEqual([b"apples", b"pears"], sorted(s.value for s in read.siblings))
        self.put(b"cart", b"apples and pears", context=read.context, node=1)
        for node in range(3):
            self.assertEqual([b"apples and pears"], self.values(b"cart", node))

    def test_the_context_of_a_put_covers_no_sibling_it_has_not_seen(self):
        self.put(b"unseen", b"first")
        mine = self.put(b"unseen", b"second")
        self.put(b"unseen", b"third", context=mine.context)
        self.assertEqual([b"first", b"third"], self.values(b"unseen"))

    def test_two_interleaved_writers_keep_two_siblings(self):
        contexts = [b"", b""]
        for turn in range(100):
            for writer in (0, 1):
                answer = self.put(b"duel", b"%d/%d" % (writer, turn), context=contexts[writer], node=writer)
                contexts[writer] = answer.context
        self.assertEqual([b"0/99", b"1/99"], self.values(b"duel", 2))

    def test_a_retry_with_the_same_request_id_makes_no_second_sibling(self):
        options = pb.WriteOptions(request_id=b"0123456789abcdef")
        for _ in range(3):
            self.put(b"retried", b"same", options=options)
        self.assertEqual([b"same"], self.values(b"retried"))

    def test_a_delete_needs_a_context_and_leaves_a_tombstone(self):
        self.put(b"gone", b"x")
        with self.assertRaises(grpc.RpcError) as refused:
            self.stores[0].Delete(pb.DeleteRequest(key=b"gone"), timeout=10)
        self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT, refused.exception.code())
        read = self.get(b"gone")
        self.stores[1].Delete(pb.DeleteRequest(key=b"gone", context=read.context), timeout=10)
        after = self.get(b"gone", node=2)
        self.assertEqual(0, len(after.siblings))
        self.assertTrue(after.tombstone)
        self.assertNotEqual(b"", after.context)

    def test_a_delete_spares_what_its_context_has_not_seen(self):
        first = self.put(b"spared", b"old")
        self.put(b"spared", b"new")
        self.stores[0].Delete(pb.DeleteRequest(key=b"spared", context=first.context), timeout=10)
        self.assertEqual([b"new"], self.values(b"spared"))

    def test_a_blind_delete_removes_what_is_there(self):
        self.put(b"blind", b"a")
        self.put(b"blind", b"b")
        self.stores[2].Delete(pb.DeleteRequest(key=b"blind", blind=True), timeout=10)
        self.assertEqual([], self.values(b"blind"))

    def test_consistency_all_and_one(self):
        for consistency, required in ((pb.CONSISTENCY_ONE, 1), (pb.CONSISTENCY_ALL, 3)):
            answer = self.put(b"levels", b"x", options=pb.WriteOptions(consistency=consistency))
            self.assertEqual(required, answer.acks.required)
            self.assertGreaterEqual(answer.acks.primaries, required)

    def test_explain_names_who_was_asked(self):
        answer = self.put(b"explained", b"x", options=pb.WriteOptions(explain=True))
        names = {node["name"] for node in self.cluster.nodes}
        self.assertIn(answer.explain.coordinator, names)
        self.assertTrue({hop.node for hop in answer.explain.hops} <= names)
        self.assertLess(answer.explain.partition, 256)

    def test_a_batch_answers_each_operation_in_order(self):
        operations = [pb.Operation(put=pb.PutRequest(key=b"batch-%d" % i, value=b"%d" % i)) for i in range(200)]
        operations.append(pb.Operation(put=pb.PutRequest(key=b"", value=b"no key")))
        operations.append(pb.Operation(get=pb.GetRequest(key=b"never written")))
        results = self.stores[0].Batch(pb.BatchRequest(operations=operations), timeout=30).results
        self.assertEqual(["put"] * 200 + ["error", "get"], [r.WhichOneof("result") for r in results])
        self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT.value[0], results[200].error.code)
        self.assertEqual(pb.OUTCOME_NOT_APPLIED, results[200].error.outcome)
        gets = [pb.Operation(get=pb.GetRequest(key=b"batch-%d" % i)) for i in range(200)]
        read = self.stores[1].Batch(pb.BatchRequest(operations=gets), timeout=30).results
        self.assertEqual([b"%d" % i for i in range(200)], [r.get.siblings[0].value for r in read])

    def test_a_pipeline_answers_under_the_callers_ids(self):
        def requests():
            for start in range(0, 500, 50):
                yield pb.PipelineRequest(operations=[
                    pb.PipelineOperation(id=1000 + i, operation=pb.Operation(
                        put=pb.PutRequest(key=b"pipe-%d" % i, value=b"%d" % i)))
                    for i in range(start, start + 50)])
        seen = {}
        for answer in self.stores[0].Pipeline(requests(), timeout=30):
            for result in answer.results:
                seen[result.id] = result.result.WhichOneof("result")
        self.assertEqual({1000 + i: "put" for i in range(500)}, seen)

    def test_a_scan_is_resumable_and_lists_each_key_once(self):
        keys = {b"scan-%d" % i for i in range(300)}
        for key in keys:
            self.put(key, b"v-" + key, bucket="scanned")
        found, token = [], b""
        while True:
            request = pb.ScanRequest(bucket="scanned", values=True, limit=70, page_token=token)
            for page in self.stores[1].Scan(request, timeout=30):
                found += [(item.key, item.siblings[0].value) for item in page.items]
                token = page.page_token
            if not token:
                break
        self.assertEqual(sorted((key, b"v-" + key) for key in keys), sorted(found))

    def test_sort_keys_are_listed_in_order(self):
        for i in (3, 1, 2):
            self.put(b"list", b"%d" % i, sort_key=b"%d" % i, bucket="sorted")
        pages = list(self.stores[0].Scan(pb.ScanRequest(bucket="sorted", key=b"list", values=True), timeout=30))
        self.assertEqual([b"1", b"2", b"3"], [item.sort_key for page in pages for item in page.items])

    def test_at_least_gives_read_your_writes_at_one(self):
        for i in range(50):
            context = self.put(b"mine", b"%d" % i, context=self.get(b"mine").context).context
            options = pb.ReadOptions(consistency=pb.CONSISTENCY_ONE, at_least=context)
            self.assertEqual([b"%d" % i], self.values(b"mine", node=i % 3, options=options))

    def test_a_refused_write_says_so_in_standard_details(self):
        with self.assertRaises(grpc.RpcError) as refused:
            self.put(b"k", b"x", bucket="No Such Bucket")
        self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT, refused.exception.code())
        info = error_info(refused.exception)
        self.assertIsNotNone(info)
        self.assertEqual("annulus", info.domain)
        self.assertEqual("NOT_APPLIED", info.metadata["outcome"])


if __name__ == "__main__":
    unittest.main()
