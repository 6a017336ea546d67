#!/usr/bin/python3
"""Bad input gets a clear error that names what is wrong, and nothing is lost or half done."""

import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import grpc

from local_cluster import (BINARY, LocalCluster, channel, environment, error_info, free_base_port,
                           generate_kv, is_ready, run)

pb, stubs = generate_kv()

KIB, MIB = 1 << 10, 1 << 20


class BadRequests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(LocalCluster())
        cls.link = cls.enterClassContext(channel(cls.cluster.nodes[0]["client"]))
        cls.store = stubs.KVStoreStub(cls.link)

    def refused(self, send, request, code=grpc.StatusCode.INVALID_ARGUMENT):
        """Sends it; it must fail with the code and words. Returns the error."""
        with self.assertRaises(grpc.RpcError) as raised:
            answer = send(request, timeout=20)
            if hasattr(answer, "__next__"):
                list(answer)
        self.assertEqual(code, raised.exception.code(), raised.exception.details())
        self.assertGreater(len(raised.exception.details()), 10)
        return raised.exception

    def siblings(self, key, **fields):
        return self.store.Get(pb.GetRequest(key=key, **fields), timeout=10).siblings

    def test_keys_and_values_over_their_limits(self):
        bad = {
            "empty key": pb.PutRequest(key=b"", value=b"x"),
            "long key": pb.PutRequest(key=b"k" * (4 * KIB + 1), value=b"x"),
            "long sort key": pb.PutRequest(key=b"limits", sort_key=b"s" * (KIB + 1), value=b"x"),
            "large value": pb.PutRequest(key=b"limits", value=b"v" * (MIB + 1)),
        }
        for name, request in bad.items():
            with self.subTest(name):
                info = error_info(self.refused(self.store.Put, request))
                self.assertEqual("NOT_APPLIED", info.metadata["outcome"])
        self.refused(self.store.Get, pb.GetRequest(key=b""))
        self.refused(self.store.Get, pb.GetRequest(key=b"k" * (4 * KIB + 1)))
        self.assertEqual(0, len(self.siblings(b"limits")))

    def test_keys_and_values_at_their_limits_are_taken(self):
        key, value = b"k" * (4 * KIB), b"v" * MIB
        self.store.Put(pb.PutRequest(key=key, sort_key=b"s" * KIB, value=value), timeout=20)
        self.assertEqual([value], [s.value for s in self.siblings(key, sort_key=b"s" * KIB)])

    def test_bucket_names(self):
        for name in ("Upper", "-first", ".first", "a b", "ü", "a/b", "b" * 64):
            with self.subTest(name):
                self.refused(self.store.Put, pb.PutRequest(bucket=name, key=b"k", value=b"x"))
                self.refused(self.store.Get, pb.GetRequest(bucket=name, key=b"k"))
                self.refused(self.store.Scan, pb.ScanRequest(bucket=name))
        self.store.Put(pb.PutRequest(bucket="b" * 63, key=b"k", value=b"x"), timeout=10)

    def test_options_that_contradict_or_exceed(self):
        both = pb.WriteOptions(consistency=pb.CONSISTENCY_ONE, w=1)
        for name, options in {"both": both, "w over N": pb.WriteOptions(w=4),
                              "short request id": pb.WriteOptions(request_id=b"short")}.items():
            with self.subTest(name):
                self.refused(self.store.Put, pb.PutRequest(key=b"options", value=b"x", options=options))
        self.refused(self.store.Get, pb.GetRequest(key=b"options", options=pb.ReadOptions(r=4)))
        self.assertEqual(0, len(self.siblings(b"options")))

    def test_contexts_that_were_not_made_for_this_item(self):
        mine = self.store.Put(pb.PutRequest(key=b"mine", value=b"1"), timeout=10).context
        other = self.store.Put(pb.PutRequest(key=b"other", value=b"1"), timeout=10).context
        bucket = self.store.Put(pb.PutRequest(bucket="b", key=b"mine", value=b"1"), timeout=10).context
        sorted_ = self.store.Put(pb.PutRequest(key=b"mine", sort_key=b"s", value=b"1"), timeout=10).context
        flipped = bytes([mine[0] ^ 1]) + mine[1:]
        last = mine[:-1] + bytes([mine[-1] ^ 1])
        bad = {"foreign key": other, "foreign bucket": bucket, "foreign sort key": sorted_,
               "truncated": mine[:-1], "first byte": flipped, "last byte": last, "longer": mine + b"\0",
               "made up": b"made up", "zeros": bytes(len(mine))}
        for name, context in bad.items():
            with self.subTest(name):
                self.refused(self.store.Put, pb.PutRequest(key=b"mine", value=b"2", context=context))
                self.refused(self.store.Delete, pb.DeleteRequest(key=b"mine", context=context))
                self.refused(self.store.Get, pb.GetRequest(
                    key=b"mine", options=pb.ReadOptions(at_least=context)))
        self.assertEqual([b"1"], [s.value for s in self.siblings(b"mine")])

    def test_a_context_of_another_cluster(self):
        with LocalCluster() as stranger:
            with channel(stranger.nodes[0]["client"]) as link:
                foreign = stubs.KVStoreStub(link).Put(pb.PutRequest(key=b"shared", value=b"x"), timeout=10).context
        self.store.Put(pb.PutRequest(key=b"shared", value=b"here"), timeout=10)
        self.refused(self.store.Put, pb.PutRequest(key=b"shared", value=b"y", context=foreign))
        self.assertEqual([b"here"], [s.value for s in self.siblings(b"shared")])

    def test_deletes_that_do_not_say_what(self):
        context = self.store.Put(pb.PutRequest(key=b"kept", value=b"x"), timeout=10).context
        self.refused(self.store.Delete, pb.DeleteRequest(key=b"kept"))
        self.refused(self.store.Delete, pb.DeleteRequest(key=b"kept", context=context, blind=True))
        self.assertEqual(1, len(self.siblings(b"kept")))

    def test_batches_that_are_empty_or_too_long(self):
        self.refused(self.store.Batch, pb.BatchRequest())
        puts = [pb.Operation(put=pb.PutRequest(key=b"batch-%d" % i, value=b"x")) for i in range(1001)]
        self.refused(self.store.Batch, pb.BatchRequest(operations=puts))
        self.assertEqual(0, len(self.siblings(b"batch-0")))

    def test_page_tokens_that_were_not_handed_out(self):
        for token in (b"made up", bytes(40)):
            self.refused(self.store.Scan, pb.ScanRequest(page_token=token))

    def test_a_record_of_too_many_siblings_takes_no_more(self):
        for i in range(100):
            self.store.Put(pb.PutRequest(key=b"crowd", value=b"%d" % i), timeout=10)
        error = self.refused(self.store.Put, pb.PutRequest(key=b"crowd", value=b"one too many"),
                             code=grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual("NOT_APPLIED", error_info(error).metadata["outcome"])
        read = self.store.Get(pb.GetRequest(key=b"crowd"), timeout=10)
        self.assertEqual(100, len(read.siblings))
        # The way out is a write that replaces them.
        self.store.Put(pb.PutRequest(key=b"crowd", value=b"merged", context=read.context), timeout=10)
        self.assertEqual([b"merged"], [s.value for s in self.siblings(b"crowd")])

    def test_a_record_of_too_many_bytes_takes_no_more_and_stays_readable(self):
        for i in range(3):
            self.store.Put(pb.PutRequest(key=b"heavy", value=b"%d" % i * MIB), timeout=20)
        error = self.refused(self.store.Put, pb.PutRequest(key=b"heavy", value=b"3" * MIB),
                             code=grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual("NOT_APPLIED", error_info(error).metadata["outcome"])
        self.assertEqual(3, len(self.siblings(b"heavy")))  # by a stock client, whose limit is 4 MiB


class BadProcesses(unittest.TestCase):
    """`annulus serve` and friends, started wrongly."""

    def setUp(self):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="annulus-test-"))
        self.addCleanup(shutil.rmtree, self.data, True)
        self.port = free_base_port(range(8))

    def settings(self, **changed):
        """The settings of a cluster of one node."""
        first = {"name": "node-1", "data_dir": str(self.data / "one"), "cluster": "test",
                 "listen_client": f"127.0.0.1:{self.port}", "listen_peer": f"127.0.0.1:{self.port + 1}",
                 "listen_http": f"127.0.0.1:{self.port + 2}", "advertise_peer": f"127.0.0.1:{self.port + 1}",
                 "replicas": 1, "secret": "sixteen-characters-or-more", "drain": 0,
                 "members": [f"node-1=127.0.0.1:{self.port + 1}"]}
        first.update(changed)
        return first

    def config(self, **changed):
        """Writes the settings as TOML; returns the file."""
        def toml(value):
            if isinstance(value, list):
                return "[" + ", ".join(map(toml, value)) + "]"
            return f'"{value}"' if isinstance(value, str) else str(value).lower()
        file = tempfile.NamedTemporaryFile("w", suffix=".toml", dir=self.data, delete=False)
        with file:
            for key, value in self.settings(**changed).items():
                file.write(f"{key} = {toml(value)}\n")
        return file.name

    def refused(self, *arguments, says=(), env=None):
        """It must end by itself, not by a crash, and its words must name what is wrong."""
        done = run(*arguments, env=env, timeout=30)
        self.assertGreater(done.returncode, 0, "it ended well or by a signal")
        self.assertLess(done.returncode, 128)
        for words in says:
            self.assertIn(words, done.stderr)
        return done.stderr

    def start(self, config):
        """A running node; ended by the test's end."""
        log = open(self.data / "serve.log", "ab")
        node = subprocess.Popen([BINARY, "serve", "--config", config], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, env=environment())
        self.addCleanup(log.close)
        self.addCleanup(node.wait)
        self.addCleanup(node.kill)
        for _ in range(200):
            if is_ready(f"127.0.0.1:{self.port + 2}"):
                return node
            self.assertIsNone(node.poll(), (self.data / "serve.log").read_text())
            time.sleep(0.1)
        self.fail("not ready: " + (self.data / "serve.log").read_text()[-2000:])

    def put(self, key):
        with channel(f"127.0.0.1:{self.port}") as link:
            stubs.KVStoreStub(link).Put(pb.PutRequest(key=key, value=b"x"), timeout=10)

    def values(self, key):
        with channel(f"127.0.0.1:{self.port}") as link:
            answer = stubs.KVStoreStub(link).Get(pb.GetRequest(key=key), timeout=10)
            return [sibling.value for sibling in answer.siblings]

    def stop(self, node):
        node.terminate()
        self.assertEqual(0, node.wait(timeout=30))

    def test_unknown_commands_and_flags(self):
        self.refused("no-such-command", says=["no-such-command"])
        self.refused("serve", "--no-such-flag", says=["--no-such-flag"])
        self.refused("put", "--no-such-flag", "k", "v", says=["--no-such-flag"])
        self.refused("dev", "--nodes", "many", says=["many"])

    def test_a_config_with_an_unknown_key_or_a_wrong_value(self):
        self.refused("serve", "--config", self.config(listen_clinet="x"), says=["listen_clinet"])
        self.refused("serve", "--config", self.config(replicas="three"), says=["replicas"])
        self.refused("serve", "--config", self.config(partitions=100), says=["partitions"])
        self.refused("serve", "--config", self.config(listen_client="nowhere"), says=["listen_client"])
        self.refused("serve", "--config", self.config(name="Not A Name"), says=["name"])
        self.refused("serve", "--config", self.config(role="king"), says=["role"])

    def test_a_config_that_is_missing_or_no_toml(self):
        self.refused("serve", "--config", "/no/such/file.toml", says=["/no/such/file.toml"])
        broken = self.data / "broken.toml"
        broken.write_text("name = [unclosed\n")
        self.refused("serve", "--config", str(broken), says=["broken.toml"])

    def test_an_unknown_variable_of_the_environment(self):
        self.refused("serve", "--config", self.config(), says=["ANNULUS_LISTEN_CLINET"],
                     env={"ANNULUS_LISTEN_CLINET": "x"})

    def test_a_port_in_use(self):
        for setting, port in (("listen_client", self.port), ("listen_peer", self.port + 1),
                              ("listen_http", self.port + 2)):
            with self.subTest(setting), socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of earlier tests
                other.bind(("127.0.0.1", port))
                other.listen()
                self.refused("serve", "--config", self.config(), says=[str(port)])

    def test_a_second_process_on_one_data_directory(self):
        first = self.start(self.config())
        self.put(b"kept")
        other = {key: f"127.0.0.1:{self.port + 4 + i}"
                 for i, key in enumerate(("listen_client", "listen_peer", "listen_http"))}
        self.refused("serve", "--config", self.config(**other), says=[str(self.data / "one")])
        self.assertEqual([b"x"], self.values(b"kept"))
        self.stop(first)

    def test_the_data_directory_of_another_node_or_cluster(self):
        first = self.start(self.config())
        self.put(b"kept")
        self.stop(first)
        self.refused("serve", "--config", self.config(
            name="node-2", members=[f"node-2=127.0.0.1:{self.port + 1}"]), says=["node-1", "node-2"])
        self.refused("serve", "--config", self.config(cluster="other"), says=["test", "other"])
        again = self.start(self.config())
        self.assertEqual([b"x"], self.values(b"kept"))
        self.stop(again)

    def test_a_data_directory_of_a_newer_format(self):
        first = self.start(self.config())
        self.put(b"kept")
        self.stop(first)
        format_file = self.data / "one" / "ANNULUS_FORMAT"
        before = format_file.read_text()
        format_file.write_text("999 77.0\n")
        self.refused("serve", "--config", self.config(), says=["999", "77.0"])
        format_file.write_text(before)
        again = self.start(self.config())
        self.assertEqual([b"x"], self.values(b"kept"))
        self.stop(again)

    def test_a_data_directory_that_is_not_one(self):
        (self.data / "one").mkdir()
        (self.data / "one" / "thesis.txt").write_text("precious")
        self.refused("serve", "--config", self.config(), says=["thesis.txt"])
        self.assertEqual("precious", (self.data / "one" / "thesis.txt").read_text())


if __name__ == "__main__":
    unittest.main()
