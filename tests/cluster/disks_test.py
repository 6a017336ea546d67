#!/usr/bin/python3
"""Disks that are not what they were: wiped, copied and damaged data directories of real processes."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

from local_cluster import BINARY, environment, free_base_port, is_ready, run

NODES = 3
KEYS = 50
READY_SECONDS = 40


class Node:
    """One `annulus serve`, its directory and ports; started and ended as the test likes."""

    def __init__(self, name, data, ports, members):
        self.name, self.data, self.members = name, data, members
        self.client, self.peer, self.http = (f"127.0.0.1:{port}" for port in ports)
        self.log = data.with_suffix(".log")
        self.process = None

    def start(self):
        assert self.process is None
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--name", self.name, "--data-dir", str(self.data),
                 "--cluster", "disks",
                 "--listen-client", self.client, "--listen-peer", self.peer,
                 "--listen-http", self.http, "--advertise-peer", self.peer,
                 "--advertise-client", self.client, "--members", self.members],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment({"ANNULUS_SECRET": "only-the-tests-know-it",
                                 "ANNULUS_REAP_INTERVAL": "0.5"}))

    def end(self, how=signal.SIGKILL):
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.process = None

    def status(self):
        """What it says of itself; None where it does not answer."""
        answer = run("status", "--endpoints", self.client, "-o", "json")
        with contextlib.suppress(json.JSONDecodeError, IndexError):
            process = json.loads(answer.stdout)["processes"][0]
            return process if process["reachable"] else None
        return None

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(self.http):
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not ready: {self.status()}\n{self.tail()}")
            time.sleep(0.05)

    def stays_unready(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if is_ready(self.http):
                return False
            time.sleep(0.1)
        return True

    def metric(self, name):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.http}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        return None

    def tail(self):
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace")[-3000:]
        return ""


class Disks(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="annulus-disks-"))
        base = free_base_port(range(30))
        ports = [[base + 3 * i + j for j in range(3)] for i in range(NODES + 1)]
        members = ",".join(f"node-{i + 1}=127.0.0.1:{ports[i][1]}" for i in range(NODES))
        self.nodes = [Node(f"node-{i + 1}", self.directory / f"node-{i + 1}", ports[i], members)
                      for i in range(NODES)]
        self.copy = Node("node-2", self.directory / "copy", ports[NODES], members)
        self.addCleanup(self.end_all)
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()

    def end_all(self):
        for node in [*self.nodes, self.copy]:
            node.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def put_all(self, through=0, prefix="key"):
        for i in range(KEYS):
            done = run("put", "--endpoints", self.nodes[through].client, f"{prefix}-{i}", "v")
            self.assertEqual(done.returncode, 0, done.stderr)

    def check_all(self, through):
        for i in range(0, KEYS, 7):
            got = run("get", "--endpoints", through.client, f"key-{i}")
            self.assertEqual(got.returncode, 0, got.stderr)

    def test_a_wiped_node_takes_its_id_again(self):
        self.put_all()
        node = self.nodes[1]
        node_id = node.status()["node_id"]
        node.end()
        shutil.rmtree(node.data)
        node.start()
        node.wait_ready()
        status = node.status()
        self.assertEqual(status["node_id"], node_id)
        self.assertTrue(any("was empty" in notice for notice in status["notices"]), status)
        self.check_all(node)

    def test_a_deleted_key_goes_for_good_once_every_member_answers(self):
        put = run("put", "--endpoints", self.nodes[0].client, "gone", "v")
        self.assertEqual(put.returncode, 0, put.stderr)
        away = self.nodes[2]
        away.end()
        deleted = run("del", "--endpoints", self.nodes[0].client, "gone",
                      "--context", put.stdout.strip())
        self.assertEqual(deleted.returncode, 0, deleted.stderr)
        self.wait_for(lambda: any("node-3" in node.status()["reaping"]["blocked_by"]
                                  for node in self.nodes[:2]), "node-3 is not named")
        self.assertEqual(sum(node.metric("annulus_tombstones_reaped_total")
                             for node in self.nodes[:2]), 0)

        away.start()
        away.wait_ready()
        self.wait_for(lambda: all(node.metric("annulus_tombstones_reaped_total") == 1
                                  for node in self.nodes), "the tombstone stays")
        explained = run("explain", "--endpoints", away.client, "gone", "-o", "json")
        holders = json.loads(explained.stdout)["holders"]
        self.assertEqual([holder["answer"] for holder in holders], ["not found"] * NODES, holders)

    def wait_for(self, condition, complaint):
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, complaint)
            time.sleep(0.2)

    def test_a_copy_is_refused_while_the_original_lives(self):
        self.put_all()
        original = self.nodes[1]
        original.end()
        shutil.copytree(original.data, self.copy.data)
        original.start()
        original.wait_ready()
        self.assertEqual(original.status()["notices"], [])

        self.copy.start()
        self.assertTrue(self.copy.stays_unready(5), self.copy.tail())
        self.assertIn(f"another live process ({original.peer}",
                      self.copy.status()["not_ready_reason"])
        self.assertTrue(is_ready(original.http))
        self.assertEqual(original.status()["notices"], [])
        self.put_all(through=1, prefix="later")

        original.end()
        self.copy.wait_ready()
        # What the original has written since is missing from the copy.
        notices = self.copy.status()["notices"]
        self.assertTrue(any("older than what this node had" in notice for notice in notices), notices)
        self.check_all(self.copy)

    def damaged(self, node, pattern, offset):
        """Ends the node, and flips a byte in each of its files of that pattern."""
        node.end(signal.SIGTERM)
        files = sorted(node.data.glob(pattern))
        self.assertTrue(files)
        for file in files:
            content = bytearray(file.read_bytes())
            content[offset] ^= 0x40
            file.write_bytes(content)
        return {file.name: file.read_bytes() for file in files}

    def check_quarantined(self, node, damaged):
        node.start()
        node.wait_ready()
        status = node.status()
        self.assertTrue(any("damaged and set aside" in notice for notice in status["notices"]), status)
        self.assertTrue(any("was empty" in notice for notice in status["notices"]), status)
        self.assertEqual(node.metric("annulus_databases_set_aside"), 1)
        self.assertIn("database_quarantined", node.log.read_text())
        for name, content in damaged.items():  # Nothing is deleted.
            self.assertEqual((node.data / "quarantine-1" / name).read_bytes(), content)
        self.check_all(node)
        # It is a node as any other after, and the next start finds nothing wrong.
        node.end(signal.SIGTERM)
        node.start()
        node.wait_ready()
        self.assertFalse((node.data / "quarantine-2").exists())

    def test_a_damaged_manifest_quarantines_the_node(self):
        self.put_all()
        node = self.nodes[2]
        self.check_quarantined(node, self.damaged(node, "MANIFEST-*", 20))

    def test_a_damaged_table_of_its_identity_quarantines_the_node(self):
        self.put_all()
        node = self.nodes[0]  # The one that forms first layouts.
        node.end(signal.SIGTERM)
        node.start()  # Makes tables of the log.
        node.wait_ready()
        self.check_quarantined(node, self.damaged(node, "*.sst", 10))

    def test_what_is_no_damage_stops_the_node_and_moves_nothing(self):
        node = self.nodes[2]
        node.end(signal.SIGTERM)
        (node.data / "ANNULUS_FORMAT").write_text("999 99.0.0\n")
        node.start()
        self.assertEqual(node.process.wait(timeout=30), 1)
        node.process = None
        self.assertFalse((node.data / "quarantine-1").exists())
        self.assertIn("999", node.tail())
        # Another process has it open.
        second = self.copy
        second.data = self.nodes[0].data
        second.start()
        self.assertEqual(second.process.wait(timeout=30), 1)
        second.process = None
        self.assertFalse((self.nodes[0].data / "quarantine-1").exists())
        self.assertTrue(is_ready(self.nodes[0].http))


if __name__ == "__main__":
    unittest.main()
