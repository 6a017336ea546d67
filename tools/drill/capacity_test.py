#!/usr/bin/python3
"""Drills with figures, on a cluster that only writes down what is asked of it."""

import json
import pathlib
import subprocess
import unittest

import capacity
from cluster import Cluster
from drills import Scene

SERVED = {"ok": 10, "failed": 0, "ok_per_s": 10, "p50_us": 1, "p99_us": 2}
WINDOWS = [{**SERVED, "at": second, "seconds": 1, "ok": ok} for second, ok in enumerate([1, 5, 9, 100, 9])]


class Recorder(Cluster):
    """Everything works at once, and a bench prints WINDOWS whatever it is told."""

    up = down = pause = resume = move = limit = heal = _iptables = lambda self, *_, **__: None
    client_address = http_address = lambda self, name: "127.0.0.1:1"
    log_tail = lambda self, name: ""
    memory_peak = lambda self, name: 0
    is_ready = lambda self, name: True

    def __init__(self):
        super().__init__()
        self.told = []

    def kill(self, name):
        self.told.append(("kill", name))

    def start(self, name):
        self.told.append(("start", name))

    def run_cli(self, *arguments, timeout=60):
        self.told.append(arguments)
        return 0, ""

    def start_cli(self, *arguments, cpus=None):
        self.told.append(tuple(map(str, arguments)))
        lines = [json.dumps(line) for line in [*WINDOWS, {"total": SERVED}]]
        return subprocess.Popen(["printf", "%s\\n", *lines], stdout=subprocess.PIPE, text=True)

    def benches(self):
        return [words for words in self.told if words[0] == "bench"]


def value_of(option, words):
    return words[words.index(option) + 1]


class Capacity(unittest.TestCase):
    def setUp(self):
        self.cluster = Recorder()
        self.scene = Scene(self.cluster, lambda: 0.0, short=True)

    def test_a_bench_has_each_option_once(self):
        capacity.DRILLS["rejoin"].run(self.scene)
        capacity.measure_capacity(self.scene)
        capacity.open_loop(self.scene, rate=100, seconds=1).wait()
        for words in self.cluster.benches():
            options = [word for word in words if word.startswith("--")]
            self.assertEqual(sorted(set(options)), sorted(options))

    def test_a_node_misses_three_shares_of_the_keys(self):
        capacity.DRILLS["rejoin"].run(self.scene)
        fills = [int(value_of("--keys", words)) for words in self.cluster.benches() if "--fill" in words]
        self.assertEqual([capacity.KEYS, *(int(capacity.KEYS * share) for share in (0.01, 0.1, 1.0))], fills)
        self.assertEqual(3, sum(words[0] == "kill" for words in self.cluster.told))

    def test_capacity_is_what_most_seconds_serve_once_it_is_warm(self):
        self.assertEqual(9, capacity.measure_capacity(self.scene))


if __name__ == "__main__":
    unittest.main()
