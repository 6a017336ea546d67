"""Checks a history against the promises of DESIGN section 13, from values and contexts alone.

    lost         an acknowledged write is in no final value, and no write that may have been applied had
                 a context that covered it
    resurrected  a final value was covered by an acknowledged write
    invented     a value was read that nobody wrote, or whose write was NOT_APPLIED
    forgotten    a read does not show what its at_least covers, or a strict one what strict reads and
                 writes that had ended before it began showed or wrote; but for what a write covers that
                 had begun by then
    element      an acknowledged element is in none of its set's final values

Unknown outcomes stay open: such a write may be there or not, and may or may not have covered others.
Exempt from `resurrected`, and counted, are writes that were handed to several owners, each of which may
mint: one of the dots may arrive after the other was overwritten.
"""

import collections
import dataclasses

from history import APPLIED, NOT_APPLIED, elements_of

KINDS = ("lost", "resurrected", "invented", "forgotten", "element")


@dataclasses.dataclass(frozen=True)
class Violation:
    kind: str
    key: bytes
    text: str


@dataclasses.dataclass
class Verdict:
    violations: list
    acknowledged: int = 0
    unknown: int = 0
    exempt: int = 0

    def count(self, kind):
        return sum(1 for violation in self.violations if violation.kind == kind)


def check(history, final):
    """`final`: for each key the values at the end, read when all owners were equal."""
    verdict = Verdict([])
    verdict.acknowledged = sum(1 for write in history.writes if write.outcome == APPLIED)
    verdict.unknown = sum(1 for write in history.writes if write.outcome not in (APPLIED, NOT_APPLIED))
    writes, reads = collections.defaultdict(list), collections.defaultdict(list)
    for write in history.writes:
        writes[write.key].append(write)
    for read in history.reads:
        reads[read.key].append(read)
    for key in sorted(set(writes) | set(reads) | set(final)):
        _Key(key, writes[key], reads[key], set(final.get(key, ())), verdict).check()
    return verdict


class _Key:
    def __init__(self, key, writes, reads, final, verdict):
        self.key, self.writes, self.reads, self.final, self.verdict = key, writes, reads, final, verdict
        self.by_value = {write.value: write for write in writes}
        # Covered by a write that is there for certain, and by one that may be.
        self.surely_covered, self.maybe_covered = set(), set()
        for write in writes:
            if write.outcome == APPLIED:
                self.surely_covered |= write.covers
            if write.outcome != NOT_APPLIED:
                self.maybe_covered |= write.covers

    def check(self):
        self._invented()
        self._lost()
        self._resurrected()
        self._forgotten()
        self._elements()

    def _say(self, kind, text):
        self.verdict.violations.append(Violation(kind, self.key, text))

    def _invented(self):
        shown = set(self.final).union(*(read.values for read in self.reads))
        for value in sorted(shown):
            write = self.by_value.get(value)
            if write is None or write.delete:
                self._say("invented", f"nobody wrote {value!r}")
            elif write.outcome == NOT_APPLIED:
                self._say("invented", f"{value!r} was told to be NOT_APPLIED")

    def _lost(self):
        for write in self.writes:
            if write.outcome != APPLIED or write.delete:
                continue
            if write.value not in self.final and write.value not in self.maybe_covered:
                self._say("lost", f"{write.value!r} was acknowledged")

    def _resurrected(self):
        for value in sorted(self.final & self.surely_covered):
            write = self.by_value.get(value)
            if write is None:
                continue  # invented
            if write.several_minters or write.outcome != APPLIED:
                self.verdict.exempt += 1
            else:
                self._say("resurrected", f"{value!r} was covered by an acknowledged write")

    def _forgotten(self):
        for read in self.reads:
            missing = read.at_least - set(read.values)
            for write in self.writes if missing else ():
                if write.outcome != NOT_APPLIED and write.began <= read.ended:
                    missing -= write.covers
            for value in sorted(missing):
                self._say("forgotten", f"a read at least as new as {value!r} showed {sorted(read.values)!r}")

    def _elements(self):
        there = set().union(*map(elements_of, self.final))
        for write in self.writes:
            if write.outcome == APPLIED and write.element and write.element not in there:
                self._say("element", f"{write.element!r} was acknowledged, and no value has it")
