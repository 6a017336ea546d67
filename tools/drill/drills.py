"""The drills: what is done to a cluster while the workload runs.

Each is a function of a Scene. `failures`: how many operations may fail, None: any number, where more is
broken than a quorum survives or a coordinator dies; no drill ever excuses a lost or resurrected write.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable

import rpc
from cluster import Unavailable

DRILLS = {}
VICTIM = "node-2"


@dataclasses.dataclass(frozen=True)
class Drill:
    name: str
    about: str
    run: Callable
    failures: int | None = 0
    compose_only: bool = False
    long_only: bool = False
    reaps: bool = False  # some tombstones must have been deleted for good by its end
    figures: bool = False  # it brings its own load, and returns what it measured against its criteria


def drill(about, **fields):
    def add(function):
        name = function.__name__.replace("_", "-")
        DRILLS[name] = Drill(name, about, function, **fields)
        return function
    return add


@dataclasses.dataclass(frozen=True)
class Band:
    """When something was wrong, in seconds since the start of the workload."""
    label: str
    began: float
    ended: float


class Scene:
    """A running cluster and load, and the record of what was done to them.

    `timeline` is filled by drills that bring their own load.
    """

    def __init__(self, cluster, clock, short):
        self.cluster, self.clock, self.short, self.bands, self.timeline = cluster, clock, short, [], []

    def wait(self, short, long):
        time.sleep(short if self.short else long)

    @contextlib.contextmanager
    def fault(self, label):
        began = self.clock()
        try:
            yield
        finally:
            self.bands.append(Band(label, began, self.clock()))


# --- faults of the fault plane -------------------------------------------------------------------------

def link(peer="*", direction=rpc.admin.FAULT_DIRECTION_UNSPECIFIED, **fields):
    return rpc.admin.Fault(link=rpc.admin.LinkFault(peer=peer, direction=direction, **fields))


def planes(short=4, long=20, **faults_by_node):
    """What a drill does that only sets faults, as node_2=fault."""
    def run(scene, label):
        with scene.fault(label):
            for name, fault in faults_by_node.items():
                scene.cluster.set_faults(name.replace("_", "-"), fault)
            scene.wait(short, long)
            for name in faults_by_node:
                scene.cluster.set_faults(name.replace("_", "-"))
    return run


# --- processes -----------------------------------------------------------------------------------------

@drill("nothing is done: the figures to compare with", reaps=True)
def healthy(scene):
    scene.wait(3, 20)


@drill("kill -9 of a node, which starts again")
def kill_one(scene):
    with scene.fault(f"kill -9 {VICTIM}"):
        scene.cluster.kill(VICTIM)
        scene.wait(4, 20)
        scene.cluster.start(VICTIM)
        scene.cluster.wait_ready(VICTIM)


@drill("kill -9 of each node in turn")
def kill_each(scene):
    for name in scene.cluster.nodes:
        with scene.fault(f"kill -9 {name}"):
            scene.cluster.kill(name)
            scene.wait(1, 8)
            scene.cluster.start(name)
            scene.cluster.wait_ready(name)
        scene.wait(0.5, 4)


@drill("kill -9 of a coordinator: its calls in flight are lost, and no others", failures=None)
def kill_coordinator(scene):
    with scene.fault("kill -9 coordinator-1"):
        scene.cluster.kill("coordinator-1")
        scene.wait(2, 10)
        scene.cluster.start("coordinator-1")
        scene.cluster.wait_ready("coordinator-1")


@drill("kill -9 of all nodes at once: nothing answers until they are back", failures=None)
def kill_all(scene):
    with scene.fault("kill -9 of all nodes"):
        for name in scene.cluster.nodes:
            scene.cluster.kill(name)
        scene.wait(1, 5)
        for name in scene.cluster.nodes:
            scene.cluster.start(name)
        scene.cluster.wait_ready(*scene.cluster.nodes)


@drill("a node stands still (SIGSTOP, docker pause) and goes on")
def pause(scene):
    with scene.fault(f"pause {VICTIM}"):
        scene.cluster.pause(VICTIM)
        scene.wait(4, 30)
        scene.cluster.resume(VICTIM)


@drill("a node dies and returns with its data at another address")
def move(scene):
    with scene.fault(f"{VICTIM} moves"):
        scene.cluster.kill(VICTIM)
        scene.wait(2, 10)
        scene.cluster.move(VICTIM)
        scene.cluster.wait_ready(VICTIM)


# --- the network ---------------------------------------------------------------------------------------

@drill("a node's packets vanish (iptables): half-open connections")
def drop_packets(scene):
    with scene.fault(f"packets of {VICTIM} vanish"):
        scene.cluster.drop_packets(VICTIM)
        scene.wait(5, 20)
        scene.cluster.pass_packets(VICTIM)


@drill("a node's container leaves the network and returns", compose_only=True)
def disconnect(scene):
    with scene.fault(f"{VICTIM} off the network"):
        scene.cluster.disconnect(VICTIM)
        scene.wait(4, 20)
        scene.cluster.connect(VICTIM)


@drill("a node's messages are all a second late, both ways")
def delay(scene):
    planes(4, 60, node_2=link(delay_us=1_000_000))(scene, f"{VICTIM} delayed by 1 s")


@drill("a node's messages are late by chance, and overtake one another")
def jitter(scene):
    planes(4, 20, node_2=link(delay_us=5_000, jitter_us=200_000))(scene, f"{VICTIM} jitters by 200 ms")


@drill("a node loses every fifth message")
def loss(scene):
    planes(4, 20, node_2=link(loss=0.2))(scene, f"{VICTIM} loses 20 %")


@drill("a node hears everything, and nobody hears it")
def mute(scene):
    planes(4, 20, node_2=link(loss=1, direction=rpc.admin.FAULT_DIRECTION_OUT))(scene, f"{VICTIM} is mute")


@drill("a node speaks, and hears nothing")
def deaf(scene):
    planes(4, 20, node_2=link(loss=1, direction=rpc.admin.FAULT_DIRECTION_IN))(scene, f"{VICTIM} is deaf")


@drill("a node's lines carry 20 kB a second")
def bandwidth(scene):
    planes(4, 20, node_2=link(bytes_per_second=20_000))(scene, f"{VICTIM} at 20 kB/s")


@drill("two nodes and three do not hear each other, the coordinators hear all", failures=None)
def split(scene):
    with scene.fault("node-1, node-2 | node-3, node-4, node-5"):
        for one in ("node-1", "node-2"):
            scene.cluster.set_faults(one, *(link(other, loss=1) for other in ("node-3", "node-4", "node-5")))
        scene.wait(4, 20)
        for one in ("node-1", "node-2"):
            scene.cluster.set_faults(one)


# --- disks, clocks, resources ---------------------------------------------------------------------------

@drill("a node's commits are half a second late")
def slow_disk(scene):
    fault = rpc.admin.Fault(disk=rpc.admin.DiskFault(commit_delay_us=500_000))
    planes(4, 20, node_2=fault)(scene, f"slow disk of {VICTIM}")


@drill("a node's disk is full")
def full_disk(scene):
    planes(4, 20, node_2=rpc.admin.Fault(disk=rpc.admin.DiskFault(full=True)))(scene, f"full disk of {VICTIM}")


@drill("two nodes' clocks are ten minutes off, one ahead and one behind")
def clock_skew(scene):
    def skew(seconds):
        return rpc.admin.Fault(clock=rpc.admin.ClockFault(skew_us=seconds * 1_000_000))
    planes(3, 20, node_2=skew(600), node_3=skew(-600))(scene, "clocks +10 min, -10 min")


@drill("a node gets a twentieth of a CPU")
def cpu_limit(scene):
    with scene.fault(f"{VICTIM} at 5 % of a CPU"):
        scene.cluster.limit(VICTIM, cpus=0.05)
        scene.wait(4, 20)
        scene.cluster.limit(VICTIM)


@drill("a node's memory is limited to little more than it has, and it may be killed for it")
def memory_limit(scene):
    with scene.fault(f"{VICTIM} short of memory"):
        scene.cluster.limit(VICTIM, memory_bytes=96 << 20)
        scene.wait(3, 20)
        scene.cluster.limit(VICTIM)


def _burn():
    while True:
        pass


@drill("busy processes beside all others, two for each CPU", long_only=True)
def noisy_neighbour(scene):
    with scene.fault("noisy neighbours"):
        burners = [multiprocessing.get_context("fork").Process(target=_burn, daemon=True)
                   for _ in range(2 * (os.cpu_count() or 1))]
        for burner in burners:
            burner.start()
        scene.wait(4, 20)
        for burner in burners:
            burner.kill()
            burner.join()


def why_not(chosen, cluster_kind):
    """Why a drill cannot run on this kind of cluster; empty where it can."""
    if chosen.compose_only and cluster_kind != "compose":
        return "takes --compose"
    return ""


__all__ = ["DRILLS", "Band", "Drill", "Scene", "Unavailable", "why_not"]
