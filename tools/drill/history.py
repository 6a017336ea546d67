"""What clients did and saw: the only thing that the checker judges.

Values are unique, so a value names the write that wrote it. A context is tracked with the set of values
that it covers as far as its holder knows: those that a read showed, and those of the holder's own writes.
"""

import dataclasses
import threading

APPLIED, NOT_APPLIED, UNKNOWN = "APPLIED", "NOT_APPLIED", "UNKNOWN"


@dataclasses.dataclass(frozen=True)
class Context:
    """A token and the values that it is known to cover."""
    token: bytes = b""
    covers: frozenset = frozenset()


@dataclasses.dataclass
class Write:
    key: bytes
    value: bytes  # of a delete: its name, which no read ever shows
    covers: frozenset
    delete: bool = False
    element: bytes = b""  # what it adds to a key that is a set
    outcome: str = UNKNOWN
    several_minters: bool = False  # it was handed to more than one owner
    began: float = 0  # seconds since the start of the recording


@dataclasses.dataclass
class Read:
    key: bytes
    values: tuple
    at_least: frozenset = frozenset()  # the answer covers these
    ended: float = float("inf")


@dataclasses.dataclass(frozen=True)
class Call:
    """One RPC, for the timeline. Seconds since the start of the recording; latency from when it was due."""
    due: float
    ended: float
    kind: str
    failure: str = ""
    strict: bool = False  # it may fail where a sloppy one may not


class History:
    """Filled by many threads."""

    def __init__(self):
        self.writes, self.reads, self.calls = [], [], []
        self._lock = threading.Lock()

    def add_write(self, write):
        with self._lock:
            self.writes.append(write)

    def add_read(self, read):
        with self._lock:
            self.reads.append(read)

    def add_call(self, call):
        with self._lock:
            self.calls.append(call)

    def keys(self):
        return sorted({write.key for write in self.writes})


SET_MARK = b"set:"


def set_value(name, elements):
    """A value of a key that is a set: unique by its name."""
    return SET_MARK + name + b":" + b",".join(sorted(elements))


def elements_of(value):
    """The elements in a value of a set; none in any other."""
    if not value.startswith(SET_MARK):
        return set()
    listed = value.split(b":", 2)[2]
    return set(listed.split(b",")) if listed else set()
