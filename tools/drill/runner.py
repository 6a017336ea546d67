"""Runs one drill from its workload's start to its verdict."""

import collections
import dataclasses
import os
import subprocess
import time

import checker
import report
from cluster import Unavailable
from converge import final_values, wait_until_level
from drills import Scene
from history import History
from workload import Workload

LEVEL_SECONDS = 30
BEFORE, AFTER = (1.5, 10), (2, 20)  # seconds of workload around the fault, short and long


@dataclasses.dataclass
class Result:
    name: str
    about: str
    state: str = "FAILED"  # "ok", "FAILED", "skipped"
    words: str = ""
    notes: list = dataclasses.field(default_factory=list)
    timeline: list = dataclasses.field(default_factory=list)
    bands: list = dataclasses.field(default_factory=list)
    figures: dict = dataclasses.field(default_factory=dict)

    def summary(self):
        return f"{self.state:<8} {self.name:<17} {self.words}"

    def as_json(self):
        return {"name": self.name, "state": self.state, **self.figures, "words": self.words, "notes": self.notes,
                "bands": [dataclasses.asdict(band) for band in self.bands],
                "timeline": [dataclasses.asdict(bucket) for bucket in self.timeline]}


def run_drill(drill, cluster, seed, short):
    if drill.figures:
        return _run_figures(drill, cluster, short)
    result = Result(drill.name, drill.about)
    history = History()
    # A bucket of its own, so that drills may share a cluster.
    bucket = f"drill-{drill.name}-{os.getpid()}-{int(time.time())}"
    coordinator = cluster.client_address(cluster.coordinators[0])
    workload = Workload([cluster.client_address(name) for name in cluster.coordinators], history, bucket, seed)
    scene = Scene(cluster, workload.now, short)
    workload.start()
    try:
        scene.wait(*BEFORE)
        drill.run(scene)
        scene.wait(*AFTER)
    except Unavailable as reason:
        result.state, result.words = "skipped", str(reason)
    finally:
        workload.stop()
        result.timeline, result.bands = report.buckets(history.calls), scene.bands
    cluster.heal()
    if result.state == "skipped":
        result.timeline = []
        return result
    return _judge(drill, result, cluster, coordinator, bucket, history)


def _run_figures(drill, cluster, short):
    result = Result(drill.name, drill.about)
    began = time.monotonic()
    scene = Scene(cluster, lambda: time.monotonic() - began, short)
    try:
        criteria = drill.run(scene)
    except Unavailable as reason:
        cluster.heal()
        result.state, result.words = "skipped", str(reason)
        return result
    cluster.heal()
    result.timeline, result.bands = scene.timeline, scene.bands
    result.state = "ok" if all(criterion.good for criterion in criteria) else "FAILED"
    result.words = f"{sum(criterion.good for criterion in criteria)} of {len(criteria)} criteria hold"
    result.notes = [f"{'holds' if criterion.good else 'BROKEN'}: {criterion.text}" for criterion in criteria]
    return result


def _judge(drill, result, cluster, coordinator, bucket, history):
    keys = history.keys()
    level_after, different, unended = _level(cluster, coordinator, bucket, keys)
    verdict = checker.check(history, final_values(coordinator, bucket, keys))
    failures = collections.Counter(call.failure for call in history.calls if call.failure and not call.strict)
    failed = sum(failures.values())
    strict_refused = sum(bool(call.failure) for call in history.calls if call.strict)
    reaped = sum(map(cluster.reaped, cluster.nodes))
    if drill.reaps and reaped == 0:
        unended.append("no tombstone was deleted for good")
    too_many = drill.failures is not None and failed > drill.failures
    latencies = sorted(call.ended - call.due for call in history.calls if not call.failure)

    result.figures = {
        "operations": len(history.calls), "failed": failed, "failures": dict(failures),
        "strict_refused": strict_refused, "reaped": reaped,
        "acknowledged_writes": verdict.acknowledged, "unknown_writes": verdict.unknown, "exempt": verdict.exempt,
        **{kind: verdict.count(kind) for kind in checker.KINDS}, "different_keys": len(different),
        "level_after_s": round(level_after, 2), "p50_ms": _ms(report.quantile(latencies, 0.5)),
        "p99_ms": _ms(report.quantile(latencies, 0.99))}
    result.notes += [f"{violation.kind}: {violation.key.decode()}: {violation.text}"
                     for violation in verdict.violations[:20]]
    result.notes += [f"not level: {key.decode()}: {text}" for key, text in list(different.items())[:20]]
    result.notes += unended
    result.notes += [f"failed: {count} x {what}" for what, count in failures.most_common(10)]
    good = not verdict.violations and not different and not too_many and not unended
    result.state = "ok" if good else "FAILED"
    result.words = (
        f"{len(history.calls):,} operations, {failed} failed{' (too many)' if too_many else ''}, "
        f"{strict_refused} strict ones refused, {reaped} tombstones gone for good, "
        f"p99 {result.figures['p99_ms']} ms; {verdict.acknowledged:,} acknowledged writes: "
        f"{verdict.count('lost') + verdict.count('element')} lost, {verdict.count('resurrected')} resurrected, "
        f"{verdict.count('invented')} invented, {verdict.count('forgotten')} forgotten, {verdict.exempt} exempt; "
        + (f"level after {level_after:.1f} s" if not different else f"{len(different)} keys NOT LEVEL"))
    return result


def _level(cluster, coordinator, bucket, keys):
    """Hurries what makes replicas equal, and waits: seconds, keys that differ, and what did not come to its end."""
    began, unended = time.monotonic(), []
    for command in ("hints", "repair"):
        try:
            code, output = cluster.run_cli(command, "--wait", timeout=LEVEL_SECONDS)
        except subprocess.TimeoutExpired:
            code, output = "no end", f"after {LEVEL_SECONDS} s"
        if code != 0:
            unended.append(f"annulus {command} --wait ended with {code}: {output.strip()[:300]}")
    _, different = wait_until_level(coordinator, bucket, keys, LEVEL_SECONDS)
    return time.monotonic() - began, different, unended


def _ms(seconds):
    return None if seconds is None else round(seconds * 1000, 1)
