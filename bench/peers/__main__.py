"""./x bench peers: Annulus beside gRPC's echo, the disk, etcd, Redis and Cassandra, on this machine and in one
run.

Rounds are interleaved: each measures every system once, so that what the machine does in between meets all
of them. Only ratios of one run mean anything.
"""

import argparse
import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time

from cassandra import Cassandra, cassandra_jars
from criteria import Figures, Verdict, beside_cassandra, judge
from plot import svg
from systems import (ROOT, VALUE_BYTES, Annulus, Echo, Etcd, Missing, PEERS, Redis, etcd_binary, redis_binary,
                     resident_bytes, say)

RESULTS = ROOT / "bench/results"
WORK = ROOT / "build/bench"
CLIENTS, PIPELINED = 64, 1024
IDLE_SECONDS = 10
PROMISES = {
    "echo": "nothing: gRPC's cost alone",
    "disk": "one thread of RocksDB, and one fdatasync",
    "annulus-1": "synced on its one disk before it is acknowledged",
    "annulus-3": "synced on 2 of 3 disks before it is acknowledged; reads ask 2 of 3",
    "annulus-5": "5 nodes, 3 copies: the same",
    "etcd": "in the log of 2 of 3, synced; gets linearizable, or serializable (may be behind)",
    "redis": "in memory; a power cut loses it",
    "redis synced": "in the log of one process, synced, one copy",
    "cassandra": "in the log of 2 of 3, synced; reads ask 2 of 3; of concurrent writes the last clock wins",
}


def arguments():
    parser = argparse.ArgumentParser(prog="./x bench peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--many-keys", type=int, default=10_000_000, metavar="N",
                        help="also compare with so many keys; 0: leave that out (default: 10000000)")
    parser.add_argument("--without", action="append", default=[], choices=["etcd", "redis", "annulus-5"],
                        help="leave a system out; may be given several times")
    parser.add_argument("--cassandra", action="store_true",
                        help="also Cassandra, three nodes of 1 GiB of heap each (wants Java 17 and Maven, which "
                             "fetches it)")
    return parser.parse_args()


class Run:
    def __init__(self, options, jars):
        """`jars`: Cassandra's, where it is wanted."""
        self.options, self.jars, self.figures, self.systems = options, jars, Figures(), {}

    def measure(self, name, take):
        sample = take()
        self.figures.add(name, sample)
        p99 = f", p99 {sample['p99_us'] / 1e3:.2f} ms" if "p99_us" in sample else ""
        say(f"    {name:<24} {sample['ok_per_s']:>10,.0f}/s{p99}")

    def start_all(self, stack):
        without = self.options.without
        start = stack.enter_context
        self.systems = {"echo queue": start(Echo(WORK / "echo-queue", "queue")),
                        "echo callbacks": start(Echo(WORK / "echo-callbacks", "callbacks")),
                        "annulus-1": start(Annulus(WORK / "annulus-1", 1, 1)),
                        "annulus-3": start(Annulus(WORK / "annulus-3", 3, 3))}
        if "annulus-5" not in without:
            self.systems["annulus-5"] = start(Annulus(WORK / "annulus-5", 5, 3))
        for name, make in (("etcd", lambda: Etcd(WORK / "etcd", etcd_binary(WORK))),
                           ("redis", lambda: Redis(WORK / "redis", redis_binary(), synced=False)),
                           ("redis synced", lambda: Redis(WORK / "redis-synced", redis_binary(), synced=True))):
            if name.split()[0] in without:
                continue
            try:
                self.systems[name] = start(make())
            except Missing as missing:
                say(f"  {name} is left out: this machine lacks {missing}")
        if self.jars:
            self.systems["cassandra"] = start(Cassandra(WORK / "cassandra", self.jars))

    def fill(self):
        for name, system in self.systems.items():
            say(f"  filling {name}")
            if isinstance(system, Annulus):
                system.bench("pipeline", PIPELINED, 1, 0.5, fill=True, warm_up=0)
            elif isinstance(system, Etcd):
                system.bench(256, 1, 0.5, fill=True, warm_up=0)
            elif isinstance(system, Cassandra):
                # Its code is compiled while it runs: what is measured should be.
                system.bench(256, 0.5, 60, fill=True, warm_up=0)

    def round(self):
        seconds = self.options.seconds
        for kind in ("queue", "callbacks"):
            echo = self.systems[f"echo {kind}"]
            self.measure(f"echo {kind} put", lambda: echo.bench("unary", CLIENTS, 0, seconds))
            self.measure(f"echo {kind} get", lambda: echo.bench("unary", CLIENTS, 1, seconds))
            self.measure(f"echo {kind} put alone", lambda: echo.bench("unary", 1, 0, seconds / 2))
        echo = self.systems["echo queue"]
        self.measure("echo pipeline", lambda: echo.bench("pipeline", PIPELINED, 0, seconds))
        self.disk()
        for name in ("annulus-1", "annulus-3", "annulus-5"):
            if name not in self.systems:
                continue
            system = self.systems[name]
            self.measure(f"{name} put", lambda: system.bench("unary", CLIENTS, 0, seconds))
            self.measure(f"{name} get", lambda: system.bench("unary", CLIENTS, 1, seconds))
            self.measure(f"{name} pipeline put", lambda: system.bench("pipeline", PIPELINED, 0, seconds))
            self.measure(f"{name} pipeline get", lambda: system.bench("pipeline", PIPELINED, 1, seconds))
            self.measure(f"{name} batch put", lambda: system.bench("batch", 8, 0, seconds, group=128))
            self.measure(f"{name} put alone", lambda: system.bench("unary", 1, 0, seconds / 2))
        if "etcd" in self.systems:
            etcd = self.systems["etcd"]
            self.measure("etcd put 64", lambda: etcd.bench(64, 0, seconds))
            self.measure("etcd put 256", lambda: etcd.bench(256, 0, seconds))
            self.measure("etcd get", lambda: etcd.bench(64, 1, seconds))
            self.measure("etcd get serializable", lambda: etcd.bench(64, 1, seconds, serializable=True))
            self.open_loop(etcd, seconds)
        if "cassandra" in self.systems:
            cassandra = self.systems["cassandra"]
            self.measure("cassandra put 64", lambda: cassandra.bench(64, 0, seconds))
            self.measure("cassandra put 256", lambda: cassandra.bench(256, 0, seconds))
            self.measure("cassandra get", lambda: cassandra.bench(64, 1, seconds))
        for name in ("redis", "redis synced"):
            if name in self.systems:
                redis = self.systems[name]
                for command in ("set", "get"):
                    self.measure(f"{name} {command}", lambda: redis.bench(command, 64, 100_000))
                    self.measure(f"{name} {command} pipelined", lambda: redis.bench(command, 64, 1_000_000, 128))

    def open_loop(self, etcd, seconds):
        """The same rate to both, by the clock: 70 % of etcd's most."""
        annulus = self.systems["annulus-3"]
        for kind, reads, most in (("put", 0, self.figures.best("etcd put 64", "etcd put 256")),
                                  ("get", 1, self.figures.median("etcd get"))):
            rate = round(0.7 * most)
            self.measure(f"etcd open {kind}", lambda: etcd.bench(1024, reads, seconds, rate=rate))
            self.measure(f"annulus-3 open {kind}",
                         lambda: annulus.bench("unary", 1024, reads, seconds, rate=rate))

    def disk(self):
        done = subprocess.run([PEERS, "disk", "--path", WORK, "--seconds", "1"], capture_output=True, text=True,
                              check=True)
        sample = json.loads(done.stdout)
        self.figures.add("disk", sample)
        say(f"    {'disk':<24} fdatasync {sample['fdatasync_us'] / 1e3:.2f} ms; RocksDB "
            f"{sample['rocks_unsynced_per_s']:,.0f}/s unsynced, {sample['rocks_synced_128_per_s']:,.0f}/s synced by 128")

    def idle(self):
        """A node that is started anew and left alone."""
        with Annulus(WORK / "idle", 1, 1) as annulus:
            time.sleep(IDLE_SECONDS)
            sample = {"mib": resident_bytes(annulus.pids()[0]) / (1 << 20), "start_s": annulus.start_seconds}
        self.figures.add("idle", sample)
        say(f"    idle: {sample['mib']:.1f} MiB; started in {sample['start_s']:.2f} s")

    def many_keys(self, keys):
        """Few keys, then many, in one cluster of their own; and what many take on disk."""
        seconds = self.options.seconds
        with Annulus(WORK / "many", 3, 3) as annulus:
            for name, count, more in (("few keys", 100_000, ("--prefix", "few-")), ("many keys", keys, ())):
                say(f"  filling {count:,} keys")
                annulus.bench("pipeline", PIPELINED, 1, 0.5, keys=count, fill=True, warm_up=0, more=more)
                if count == keys:
                    self.disk_use(annulus, keys)
                for _ in range(self.options.rounds):
                    for kind, reads in (("put", 0), ("get", 1)):
                        self.measure(f"{name} {kind}", lambda: annulus.bench("unary", CLIENTS, reads, seconds, keys=count,
                                                                             more=more))

    def disk_use(self, annulus, keys):
        """Once it has stopped to shrink: merges go on for a while after a load."""
        before, deadline = annulus.disk_bytes(), time.monotonic() + 300
        while time.monotonic() < deadline:
            time.sleep(10)
            now = annulus.disk_bytes()
            if now >= 0.995 * before:
                break
            before = now
        key_bytes = sum(len(str(i)) for i in range(0, keys, 1000)) / len(range(0, keys, 1000))
        ratio = annulus.disk_bytes() / (3 * keys * (key_bytes + VALUE_BYTES))
        self.figures.add("many keys disk", {"ratio": ratio})
        say(f"    disk use: {ratio:.2f} x N x (key + value)")

    def table(self):
        return [(name, self.figures.median(name), self.figures.spread(name))
                for name, samples in self.figures.samples.items() if "ok_per_s" in samples[0]]


def main():
    # As Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    try:
        jars = cassandra_jars(WORK) if options.cassandra else None
    except Missing as missing:
        sys.exit(f"--cassandra needs {missing}")
    run = Run(options, jars)
    with contextlib.ExitStack() as stack:
        say("starting")
        run.start_all(stack)
        run.fill()
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            run.round()
            run.idle()
    if options.many_keys:
        say("many keys")
        run.many_keys(options.many_keys)

    say("cost in the simulator, 5 and 64 nodes")
    cost = subprocess.run([ROOT / "build/release/annulus_sim", "--cost"], capture_output=True, text=True, check=False)
    verdicts = [*judge(run.figures), Verdict(cost.stdout.strip().splitlines()[-1], cost.returncode == 0)]
    say("\nmedians, and how far the rounds are from them:")
    for name, rate, spread in run.table():
        say(f"  {name:<26} {rate:>10,.0f}/s ± {spread:.0%}")
    say("\nwhat each promises for its figures:")
    for name, promise in PROMISES.items():
        if name in ("echo", "disk") or name in run.systems:
            say(f"  {name:<14} {promise}")
    say("")
    for line in beside_cassandra(run.figures):
        say(line)
    for verdict in verdicts:
        say(verdict.line())
    stamp = time.strftime("%Y%m%d-%H%M%S")
    (RESULTS / f"peers-{stamp}.json").write_text(json.dumps(
        {"options": vars(options), "promises": PROMISES, "samples": run.figures.samples,
         "verdicts": [{"text": v.text, "good": v.good} for v in verdicts]}, indent=1), encoding="utf-8")
    (RESULTS / f"peers-{stamp}.svg").write_text(svg("Operations a second", run.table()), encoding="utf-8")
    short = sum(not verdict.good for verdict in verdicts)
    say(f"\nresults: {pathlib.Path('bench/results') / f'peers-{stamp}'}.json and .svg")
    say(f"bench peers: {len(verdicts) - short} of {len(verdicts)} criteria hold")
    return 0 if short == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
