"""The drills with figures: `annulus bench` at a share of what the cluster can do, while things fail.

What they measure is what this machine gives on that day, so they are long, and no part of --short.
"""

import dataclasses
import json
import os
import statistics
import threading
import time

import grpc

import rpc
from drills import DRILLS, VICTIM, Drill, link
from report import Bucket

KEYS = int(os.environ.get("ANNULUS_DRILL_KEYS", "1000000"))
SECONDS = int(os.environ.get("ANNULUS_DRILL_SECONDS", "60"))  # of each phase
AWAY_SECONDS = int(os.environ.get("ANNULUS_DRILL_AWAY", "600"))
GENERATOR_CPUS = 0.5
MEMORY_BYTES = 512 << 20
OUTSTANDING = 20_000  # operations that the generator has under way before it falls behind
P99_FACTOR, P99_MORE_MS, SETTLE_SECONDS = 2, 5, 5
SUSTAINED = 0.7  # of the capacity: with more, seconds in which all nodes compact at once are too much already


class Bench:
    """One `annulus bench` against the coordinators; its lines are read as they come."""

    def __init__(self, scene, *arguments, keys=KEYS, cpus=None):
        self.scene, self.began = scene, scene.clock()
        self.windows, self.total = [], {}
        self.process = scene.cluster.start_cli("bench", "--endpoints-only", "--keys", keys, "--timeout", "5s",
                                               *arguments, "-o", "json", cpus=cpus)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            window = json.loads(line)
            if "total" in window:
                self.total = window["total"]
            elif "at" in window:
                self.windows.append({**window, "ended": self.scene.clock()})

    def wait(self):
        self.process.wait()
        self.thread.join()
        if not self.total:
            raise RuntimeError(f"annulus bench ended with {self.process.returncode} and no total")
        self.scene.timeline += [
            Bucket(window["ended"] - window["seconds"], window["ok"], window["failed"], window["p50_us"] / 1e6,
                   window["p99_us"] / 1e6, window["seconds"]) for window in self.windows]
        return self

    def between(self, begin, end):
        """The whole windows of the scene's time from begin to end."""
        return [window for window in self.windows
                if begin <= window["ended"] - window["seconds"] and window["ended"] <= end]


@dataclasses.dataclass(frozen=True)
class Criterion:
    text: str
    good: bool


def failures_of(total):
    return ", ".join(f"{count} x {what}" for what, count in total.get("failures", {}).items()) or "none"


def nothing_failed(*benches, label=""):
    failed = sum(bench.total["failed"] for bench in benches)
    why = "; ".join(failures_of(bench.total) for bench in benches if bench.total["failed"]) or "none"
    return Criterion(f"{label}{failed} operations failed ({why})", failed == 0)


def capacity_drill(about):
    def add(function):
        name = function.__name__.replace("_", "-")
        DRILLS[name] = Drill(name, about, function, long_only=True, figures=True)
        return function
    return add


def fill(scene):
    """Every key, once for a cluster."""
    if getattr(scene.cluster, "filled", False):
        return
    Bench(scene, "--fill", "--duration", "0s").wait()
    scene.cluster.filled = True
    scene.timeline.clear()


def open_loop(scene, rate, seconds, **options):
    return Bench(scene, "--rate", f"{rate:.0f}", "--duration", f"{seconds}s", "--concurrency", OUTSTANDING, **options)


def usual_second(windows):
    """What most seconds served: compactions and this machine's other guests make some much slower or quicker."""
    return statistics.median(window["ok"] / window["seconds"] for window in windows)


def rate_of(windows):
    return sum(window["ok"] for window in windows) / sum(window["seconds"] for window in windows)


def least_of(windows):
    return min(window["ok"] / window["seconds"] for window in windows)


def measure_capacity(scene, cpus=None):
    """After a while under load: a process that has just started has an empty cache, and nothing to compact yet."""
    bench = Bench(scene, "--duration", f"{min(SECONDS, 30)}s", "--concurrency", 256, cpus=cpus).wait()
    return usual_second(bench.windows[len(bench.windows) // 3:])


@capacity_drill("kill -9 of a node under an open loop at half the capacity")
def capacity_kill(scene):
    fill(scene)
    rate = measure_capacity(scene) / 2
    bench = open_loop(scene, rate, SECONDS)
    time.sleep(SECONDS / 3)
    with scene.fault(f"kill -9 {VICTIM}"):
        killed = scene.clock()
        scene.cluster.kill(VICTIM)
        time.sleep(SECONDS / 3)
        back = scene.clock()
        scene.cluster.start(VICTIM)
        scene.cluster.wait_ready(VICTIM)
    bench.wait()
    around = bench.between(killed - 1, back)
    later = bench.between(killed + 2, back)
    return [
        Criterion(f"no second without a served operation after the kill: the least is "
                  f"{min(window['ok'] for window in around)}", all(window["ok"] for window in around)),
        Criterion(f"from 2 s after it on at least 90 % of {rate:.0f} a second: the least is "
                  f"{least_of(later):.0f}, of all {rate_of(later):.0f}", rate_of(later) >= 0.9 * rate),
        nothing_failed(bench)]


@capacity_drill("one node paused, then one a second late: nothing fails, and p99 stays")
def slow_node(scene):
    fill(scene)
    rate = measure_capacity(scene) / 4
    healthy = open_loop(scene, rate, SECONDS).wait()
    usual = healthy.total["p99_us"] / 1000
    most = max(P99_FACTOR * usual, usual + P99_MORE_MS)
    found = []

    def under(label, begin, end):
        onset = open_loop(scene, rate, 2 + SETTLE_SECONDS)
        time.sleep(2)
        with scene.fault(label):
            begin()
            time.sleep(SETTLE_SECONDS)
            steady = open_loop(scene, rate, SECONDS)  # what the onset has left over is part of it
            onset.wait()
            steady.wait()
            end()
        slow = steady.total["p99_us"] / 1000
        found.append(nothing_failed(onset, steady, label=f"{label}: "))
        found.append(Criterion(f"{label}: p99 from {SETTLE_SECONDS} s on {slow:.1f} ms, healthy {usual:.1f} ms, "
                               f"at most {most:.1f} ms", slow <= most))
    under(f"{VICTIM} paused", lambda: scene.cluster.pause(VICTIM), lambda: scene.cluster.resume(VICTIM))
    time.sleep(5)
    under(f"{VICTIM} delayed by 1 s", lambda: scene.cluster.set_faults(VICTIM, link(delay_us=1_000_000)),
          lambda: scene.cluster.set_faults(VICTIM))
    return found


def links_up(cluster, name):
    return int(cluster.metric(name, "annulus_peer_links_up"))


@capacity_drill("a connection that swallows everything is given up within 5 s")
def half_open(scene):
    observers = [name for name in scene.cluster.processes() if name != VICTIM]
    members = {name: len(scene.cluster.nodes) - (name in scene.cluster.nodes) for name in observers}
    seconds_until(time.monotonic(), lambda: all(links_up(scene.cluster, name) == members[name] for name in observers))
    found = {}
    with scene.fault(f"packets of {VICTIM} vanish"):
        began = time.monotonic()
        scene.cluster.drop_packets(VICTIM)
        while len(found) < len(observers) and time.monotonic() - began < 15:
            for name in observers:
                if name not in found and links_up(scene.cluster, name) < members[name]:
                    found[name] = time.monotonic() - began
            time.sleep(0.05)
        scene.cluster.pass_packets(VICTIM)
    longest = max(found.values(), default=0)
    return [Criterion(f"{len(found)} of {len(observers)} processes gave the connection up, the last after "
                      f"{longest:.1f} s", len(found) == len(observers) and longest <= 5)]


@capacity_drill("a node that was away for long returns at another address, and serves within 2 s")
def long_absence(scene):
    fill(scene)
    with scene.fault(f"{VICTIM} away, and moved"):
        scene.cluster.kill(VICTIM)
        time.sleep(AWAY_SECONDS)
        scene.cluster.move(VICTIM)
        began = time.monotonic()
        served = seconds_until(began, lambda: can_serve(scene.cluster, VICTIM))
        seen = seconds_until(began, lambda: scene.cluster.coordinators[0] in sees(scene.cluster, VICTIM))
    return [Criterion(f"back after {AWAY_SECONDS} s: it serves a read at QUORUM after {served:.2f} s",
                      served <= 2),
            Criterion(f"a coordinator sees it up at its new address after {seen:.2f} s", seen <= 2)]


def seconds_until(began, condition, patience=30):
    while not condition():
        if time.monotonic() - began > patience:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


def can_serve(cluster, name):
    with rpc.channel(cluster.client_address(name)) as channel:
        try:
            rpc.kv_grpc.KVStoreStub(channel).Get(
                rpc.kv.GetRequest(key=b"any", options=rpc.kv.ReadOptions(consistency=rpc.kv.CONSISTENCY_QUORUM)),
                timeout=1)
            return True
        except grpc.RpcError:
            return False


def sees(cluster, name):
    """The coordinators to which the node is up."""
    found = []
    for coordinator in cluster.coordinators:
        try:
            members = cluster.status(coordinator).members
        except grpc.RpcError:
            continue
        if any(member.name == name and member.state in ("up", "alive") for member in members):
            found.append(coordinator)
    return found


@capacity_drill("three times the capacity: memory stays in its limit, and goodput returns")
def overload(scene):
    fill(scene)
    for name in scene.cluster.processes():
        scene.cluster.restart_within_limit(name, MEMORY_BYTES)
    scene.cluster.wait_ready(*scene.cluster.processes())
    capacity = measure_capacity(scene, cpus=GENERATOR_CPUS)
    usual = SUSTAINED * capacity
    before = open_loop(scene, usual, min(SECONDS, 20), cpus=GENERATOR_CPUS).wait()
    goodput = rate_of(before.windows)
    with scene.fault("3 x capacity"):
        flood = open_loop(scene, 3 * capacity, SECONDS, cpus=GENERATOR_CPUS)
        time.sleep(SECONDS)
        flood.process.terminate()  # what it had not begun by then was never offered
        flood.process.wait()
        flood.thread.join()
    after = open_loop(scene, usual, 10 + min(SECONDS, 20), cpus=GENERATOR_CPUS).wait()
    later = after.between(after.began + 10, scene.clock())
    back = rate_of(later)
    memory = {name: scene.cluster.memory_peak(name) for name in scene.cluster.processes()}
    most = max(memory, key=memory.get)
    offered = sum(w["ok"] + w["failed"] for w in flood.windows) / max(sum(w["seconds"] for w in flood.windows), 1e-9)
    alive = [name for name in scene.cluster.processes() if scene.cluster.is_ready(name)]
    return [
        Criterion(f"capacity {capacity:.0f} a second; offered 3 x that, of which the generator got "
                  f"{offered:.0f} answered", True),
        Criterion(f"peak memory {memory[most] >> 20} MiB ({most}) of {MEMORY_BYTES >> 20} MiB",
                  memory[most] < MEMORY_BYTES),
        Criterion(f"{len(alive)} of {len(scene.cluster.processes())} processes are ready after it",
                  len(alive) == len(scene.cluster.processes())),
        Criterion(f"at {usual:.0f} a second, goodput from 10 s after it {back:.0f} a second, before {goodput:.0f}; "
                  f"the least second {least_of(later):.0f}, before {least_of(before.windows):.0f}; "
                  f"failed before: {failures_of(before.total)}; after: {failures_of(after.total)}",
                  back >= 0.95 * goodput)]


@capacity_drill("how long a node takes to be level that missed 1, 10 and 100 % of the keys")
def rejoin(scene):
    fill(scene)
    took = {}
    for share in (0.01, 0.1, 1.0):
        scene.cluster.kill(VICTIM)
        with scene.fault(f"{VICTIM} misses {share:.0%}"):
            Bench(scene, "--fill", "--duration", "0s", keys=max(1, int(KEYS * share))).wait()
        began = time.monotonic()
        scene.cluster.start(VICTIM)
        scene.cluster.wait_ready(VICTIM)
        for command in ("hints", "repair"):
            code, output = scene.cluster.run_cli(command, "--wait", timeout=1800)
            if code != 0:
                raise RuntimeError(f"annulus {command} --wait ended with {code}: {output.strip()[:300]}")
        took[share] = time.monotonic() - began
    return [Criterion("level after " + ", ".join(f"{seconds:.1f} s ({share:.0%} missed)"
                                                 for share, seconds in took.items()),
                      took[0.01] <= took[1.0] / 10)]

