#!/usr/bin/python3
"""Five nodes, two coordinators and a client in containers; processes are killed under load.

`./x test compose` runs it. It needs an engine, compose (ANNULUS_COMPOSE, "docker compose" by default)
and an image (ANNULUS_IMAGE). Python's standard library is all it uses. Whatever happens, it removes its
own project's containers, networks and volumes, and touches no other.

Writes are fed through the standard input of `annulus import -` inside the client, so the test knows how
much has been sent when it kills something. A comparison reads its input twice, so there the test goes by
the time that an undisturbed one took. The client never retries (--retries 0): what is counted is the
first RPC of each key.
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
RECORDS = int(os.environ.get("ANNULUS_COMPOSE_RECORDS", "0"))  # 0: the whole package index
HEALTHY_SECONDS = 120
LOAD_SECONDS = 300
CONCURRENCY = 256  # operations that the client has under way at once

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


class Client:
    """`annulus import` inside the client's container; its input is read there."""

    def __init__(self, cluster, *arguments):
        self.process = subprocess.Popen(
            ["docker", "exec", "-i", cluster.ids["client"], "annulus", "import", *arguments, "--retries", "0",
             "--concurrency", str(CONCURRENCY), "-o", "json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Both outputs at once: a full pipe of one must not stop the other.
        self.outputs = {"stdout": "", "stderr": ""}
        self.threads = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self.outputs]
        for thread in self.threads:
            thread.start()

    def _read(self, name):
        self.outputs[name] = getattr(self.process, name).read()

    def runs(self):
        return self.process.poll() is None

    def result(self):
        """(exit code, the final JSON)"""
        code = self.process.wait(timeout=LOAD_SECONDS)
        for thread in self.threads:
            thread.join(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        try:
            return code, json.loads(self.outputs["stdout"])
        except ValueError:
            raise RuntimeError(f"import ended with {code} and no JSON: {self.outputs}") from None


class Feed(Client):
    """The same, fed with lines through its standard input."""

    def __init__(self, cluster, lines):
        super().__init__(cluster, "-")
        self.lines = lines
        self.sent = 0
        self.threads.append(threading.Thread(target=self._feed, daemon=True))
        self.threads[-1].start()

    def _feed(self):
        try:
            for line in self.lines:
                self.process.stdin.write(line)
                self.sent += 1
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early, and says why in its output

    def wait_until_sent(self, share):
        deadline = time.monotonic() + LOAD_SECONDS
        while self.sent < share * len(self.lines):
            if not self.runs() or time.monotonic() > deadline:
                raise RuntimeError(f"the load stopped after {self.sent} lines: {self.outputs}")
            time.sleep(0.01)


def data_set():
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl", encoding="utf-8") as file:
        run(sys.executable, str(ROOT / "examples/debian-packages.py"), "--output", file.name,
            *(["--limit", str(RECORDS)] if RECORDS else []))
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

    def write(self, lines, kill=None):
        """Writes the lines; kills a process when about half of them is sent."""
        load = Feed(self.cluster, lines)
        if kill:
            load.wait_until_sent(0.5)
            self.cluster.kill(kill)
            self.assertLess(load.sent, len(lines), "all was sent before the kill: feed more records")
            self.assertTrue(load.runs(), "the load ended before the kill: feed more records")
        return self.told(load, "import", kill)

    def compare(self, lines, kill=None, after=0):
        """Reads the lines' keys back and compares; kills a process after so many seconds."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.chmod(file.name, 0o644)  # it keeps its owner on the way in
            run("docker", "cp", file.name, f"{self.cluster.ids['client']}:/tmp/compared.jsonl")
        load = Client(self.cluster, "--verify", "/tmp/compared.jsonl")
        if kill:
            time.sleep(after)
            self.cluster.kill(kill)
            self.assertTrue(load.runs(), "the comparison ended before the kill: feed more records")
        return self.told(load, "compare", kill)

    def told(self, load, what, kill):
        code, found = load.result()
        print(f"{what}, {kill or 'nothing'} killed: {json.dumps(found)}")
        return code, found

    def assert_all_there(self, code, compared):
        self.assertEqual((0, 0, 0, 0), (code, compared["missing"], compared["different"], compared["failed"]))
        self.assertEqual(len(self.lines), compared["compared"])

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
        code, written = self.write(self.lines, kill="node-2")
        self.assertEqual((0, 0), (code, written["failed"]))
        self.assertEqual((len(self.lines),) * 2, (written["read"], written["written"]))
        self.cluster.start("node-2")

    def test_3_no_read_fails_while_a_node_is_killed(self):
        code, undisturbed = self.compare(self.lines)
        self.assert_all_there(code, undisturbed)
        code, compared = self.compare(self.lines, kill="node-4", after=undisturbed["seconds"] * 0.4)
        self.assert_all_there(code, compared)
        self.cluster.start("node-4")

    def test_4_a_killed_coordinator_costs_its_calls_in_flight(self):
        lines = self.renamed("again-")
        code, written = self.write(lines, kill="coordinator-1")
        self.assertEqual((len(lines),) * 2, (written["read"], written["written"] + written["failed"]))
        self.assertLessEqual(written["failed"], CONCURRENCY)
        self.assertEqual(code != 0, written["failed"] > 0)

        # What was acknowledged is there; of what failed, anything between nothing and all of it is.
        _, compared = self.compare(lines)
        self.assertEqual((0, 0), (compared["different"], compared["failed"]))
        self.assertLessEqual(compared["missing"], written["failed"])
        self.cluster.start("coordinator-1")

    def test_5_a_stop_is_clean_and_a_start_finds_its_data(self):
        for name in ("node-1", "coordinator-2"):
            run("docker", "stop", "-t", "30", self.cluster.ids[name])
            self.assertEqual("0", inspect(self.cluster.ids[name], "{{.State.ExitCode}}"), name)
            self.cluster.start(name)
        self.assert_all_there(*self.compare(self.lines))

    def renamed(self, prefix):
        """The same records under other keys, so that every write is a first one."""
        records = map(json.loads, self.lines)
        return [json.dumps({"key": prefix + record["key"], "value": record["value"]}) + "\n" for record in records]


if __name__ == "__main__":
    unittest.main()
