#!/usr/bin/python3
"""Five nodes, two coordinators and a client in containers; processes are killed under load.

`./x test compose` runs it. It needs an engine, compose (ANNULUS_COMPOSE, "docker compose" by default)
and an image (ANNULUS_IMAGE). Python's standard library is all it uses. Whatever happens, it removes its
own project's containers, networks and volumes, and touches no other.

Load is fed through the standard input of `annulus import -` inside the client, so the test knows how
much has been sent when it kills something. The client never retries (--retries 0): what is counted is
the first RPC of each key.
"""

import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = os.environ.get("ANNULUS_COMPOSE", "docker compose").split()
PROJECT = "annulus-test"
NODES = [f"node-{i}" for i in range(1, 6)]
COORDINATORS = ["coordinator-1", "coordinator-2"]
RECORDS = int(os.environ.get("ANNULUS_COMPOSE_RECORDS", "20000"))
HEALTHY_SECONDS = 120
LOAD_SECONDS = 300

ENVIRONMENT = {
    **os.environ,
    "COMPOSE_PROJECT_NAME": PROJECT,
    "ANNULUS_IMAGE": os.environ.get("ANNULUS_IMAGE", "annulus:local"),
    "ANNULUS_SECRET": secrets.token_hex(32),
    "ANNULUS_MEMBERS": ",".join(f"{node}={node}:50052" for node in NODES),
    # Any free port of the host: nothing here connects from outside.
    **{name: "" for name in ("ANNULUS_PORT_1", "ANNULUS_PORT_2", "ANNULUS_HTTP_1", "ANNULUS_HTTP_2")},
}


def run(*words, check=True, timeout=300):
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT,
                          stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def compose(*words, **options):
    return run(*COMPOSE, "--project-name", PROJECT, "--project-directory", str(ROOT / "deploy"),
               "-f", str(ROOT / "deploy/compose.yaml"), *words, **options)


def inspect(container, template):
    return run("docker", "inspect", "--format", template, container)


class Cluster:
    """The project's containers by the names of their services."""

    def __init__(self):
        self.ids = {}

    def up(self):
        compose("up", "-d", "--no-build")
        self.ids = {name: compose("ps", "-q", name) for name in [*NODES, *COORDINATORS, "client"]}
        self.wait_healthy(*NODES, *COORDINATORS)

    @staticmethod
    def down():
        compose("down", "--volumes", "--remove-orphans", "--timeout", "3", check=False)

    def wait_healthy(self, *names):
        deadline = time.monotonic() + HEALTHY_SECONDS
        for name in names:
            while inspect(self.ids[name], "{{.State.Health.Status}}") != "healthy":
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} is not healthy after {HEALTHY_SECONDS} s")
                time.sleep(0.3)

    def kill(self, name):
        run("docker", "kill", self.ids[name])

    def start(self, name):
        run("docker", "start", self.ids[name])
        self.wait_healthy(name)

    def tail(self):
        """The last words of every process, for a failure."""
        for name, container in self.ids.items():
            done = subprocess.run(["docker", "logs", "--tail", "15", container], capture_output=True, text=True)
            print(f"--- {name}\n{done.stdout}{done.stderr}", file=sys.stderr)


class Load:
    """`annulus import` inside the client, fed line by line."""

    def __init__(self, cluster, lines, *flags):
        self.lines = lines
        self.sent = 0
        self.process = subprocess.Popen(
            ["docker", "exec", "-i", cluster.ids["client"], "annulus", "import", *flags, "-",
             "--retries", "0", "-o", "json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Both ends at once: a full pipe at either must not stop the other.
        self.output, self.errors = [], []
        self.threads = [threading.Thread(target=work, daemon=True) for work in (
            self._feed, lambda: self.output.append(self.process.stdout.read()),
            lambda: self.errors.append(self.process.stderr.read()))]
        for thread in self.threads:
            thread.start()

    def _feed(self):
        try:
            for line in self.lines:
                self.process.stdin.write(line)
                self.sent += 1
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # the client ended early, and says why in its output

    def wait_until_sent(self, share):
        """Waits until this share of the lines is sent and the rest is not."""
        deadline = time.monotonic() + LOAD_SECONDS
        while self.sent < share * len(self.lines):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the load stopped after {self.sent} lines: {self.errors}")
            time.sleep(0.01)

    def result(self):
        """(exit code, the final JSON)"""
        code = self.process.wait(timeout=LOAD_SECONDS)
        for thread in self.threads:
            thread.join(timeout=10)
        try:
            return code, json.loads(self.output[0])
        except (IndexError, ValueError):
            raise RuntimeError(f"import ended with {code} and no JSON: {self.output} {self.errors}") from None


def data_set():
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl", encoding="utf-8") as file:
        run(sys.executable, str(ROOT / "examples/debian-packages.py"), "--output", file.name,
            "--limit", str(RECORDS))
        return file.readlines()


class Compose(unittest.TestCase):
    """The tests run in the order of their names, on one cluster."""

    @classmethod
    def setUpClass(cls):
        cls.lines = data_set()
        cls.cluster = Cluster()
        cls.cluster.down()  # what a run that was cut short left behind
        cls.addClassCleanup(cls.cluster.down)
        try:
            cls.cluster.up()
        except Exception:
            cls.cluster.tail()
            raise

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.cluster.tail()

    def import_while(self, lines, *kills, flags=()):
        """Feeds the lines and kills each process in turn in the middle of it."""
        load = Load(self.cluster, lines, *flags)
        for i, name in enumerate(kills):
            load.wait_until_sent((i + 1) / (len(kills) + 2))
            self.cluster.kill(name)
            self.assertIsNone(load.process.poll(), "the load ended before the kill: feed more records")
            self.assertLess(load.sent, len(lines), "all was sent before the kill: feed more records")
        code, found = load.result()
        print(f"{' '.join(['import', *flags])}, killed {', '.join(kills) or 'nothing'}: {json.dumps(found)}")
        return code, found

    def test_1_processes_are_apart_and_limited(self):
        addresses = {inspect(self.cluster.ids[name],
                             "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") for name in self.cluster.ids}
        self.assertEqual(len(self.cluster.ids), len(addresses))
        for name in [*NODES, *COORDINATORS]:
            container = self.cluster.ids[name]
            self.assertEqual(name, inspect(container, "{{.Config.Hostname}}"))
            self.assertGreater(int(inspect(container, "{{.HostConfig.NanoCpus}}")), 0)
            self.assertGreater(int(inspect(container, "{{.HostConfig.Memory}}")), 0)
            self.assertNotIn(run("docker", "exec", container, "id", "-u"), ("", "0"))

    def test_2_no_write_fails_while_a_node_is_killed(self):
        code, written = self.import_while(self.lines, "node-2")
        self.assertEqual((0, 0), (code, written["failed"]))
        self.assertEqual((len(self.lines),) * 2, (written["read"], written["written"]))
        self.cluster.start("node-2")

    def test_3_no_read_fails_while_a_node_is_killed(self):
        code, compared = self.import_while(self.lines, "node-4", flags=["--verify"])
        self.assertEqual((0, len(self.lines), 0, 0),
                         (code, compared["compared"], compared["missing"], compared["different"]))
        self.assertEqual(0, compared.get("failed", 0))
        self.cluster.start("node-4")

    def test_4_a_killed_coordinator_costs_its_calls_in_flight(self):
        code, written = self.import_while(self.renamed("again-"), "coordinator-1")
        self.assertEqual(written["read"], written["written"] + written["failed"])
        self.assertEqual(len(self.lines), written["read"])
        self.assertLessEqual(written["failed"], written["in_flight_max"])
        self.assertLessEqual(set(written["errors"]), {"UNAVAILABLE", "UNKNOWN"})
        self.assertEqual(code != 0, written["failed"] > 0)

        # What was acknowledged is there; what was not may be.
        _, compared = self.import_while(self.renamed("again-"), flags=["--verify"])
        self.assertEqual(0, compared["different"])
        self.assertLessEqual(compared["missing"], written["failed"])
        self.cluster.start("coordinator-1")

    def test_5_a_stop_is_clean_and_a_start_finds_its_data(self):
        for name in ("node-1", "coordinator-2"):
            run("docker", "stop", "--time", "30", self.cluster.ids[name])
            self.assertEqual("0", inspect(self.cluster.ids[name], "{{.State.ExitCode}}"), name)
            self.cluster.start(name)
        code, _ = self.import_while(self.lines[:2000], flags=["--verify"])
        self.assertEqual(0, code)

    def renamed(self, prefix):
        """The same records under other keys, so that every write is a first one."""
        records = map(json.loads, self.lines)
        return [json.dumps({"key": prefix + record["key"], "value": record["value"]}) + "\n" for record in records]


if __name__ == "__main__":
    unittest.main()
