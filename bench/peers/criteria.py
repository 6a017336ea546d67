"""What Annulus has to reach, as ratios of what was measured in the same run; and ratios that are only shown."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Verdict:
    text: str
    good: bool

    def line(self):
        return f"{'holds' if self.good else 'SHORT'}: {self.text}"


class Figures:
    """Samples of each measurement, by name."""

    def __init__(self):
        self.samples = {}

    def add(self, name, sample):
        self.samples.setdefault(name, []).append(sample)

    def __contains__(self, name):
        return name in self.samples

    def median(self, name, field="ok_per_s"):
        return statistics.median(sample[field] for sample in self.samples[name])

    def spread(self, name, field="ok_per_s"):
        """The largest distance from the median, as a share of it."""
        middle = self.median(name, field)
        return max(abs(sample[field] - middle) for sample in self.samples[name]) / middle if middle else 0

    def best(self, *names):
        return max(self.median(name) for name in names if name in self)


def at_least(what, got, of, base, share):
    return Verdict(f"{what}: {got:,.0f} is {got / base:.2f} of {of} ({base:,.0f}); at least {share:g}", got >= share * base)


def at_most(what, got, limit, unit, of=""):
    return Verdict(f"{what}: {got:,.2f} {unit}; at most {limit:,.2f} {unit}{of}", got <= limit)


def judge(figures):
    """Of what was measured; what was not is left out."""
    found = []
    echo_put = figures.best("echo queue put", "echo callbacks put")
    echo_get = figures.best("echo queue get", "echo callbacks get")
    rate = figures.median
    found.append(at_least("unary Put, 64 clients", rate("annulus-3 put"), "the echo", echo_put, 0.45))
    found.append(at_least("unary Get, 64 clients", rate("annulus-3 get"), "the echo", echo_get, 0.60))
    if "etcd put 64" in figures:
        best_put = figures.best("etcd put 64", "etcd put 256")
        found += [
            at_least("unary Put, 64 clients", rate("annulus-3 put"), "etcd's put", rate("etcd put 64"), 3),
            at_least("unary Get, 64 clients", rate("annulus-3 get"), "etcd's linearizable get", rate("etcd get"), 3),
            at_least("Pipeline Put", rate("annulus-3 pipeline put"), "etcd's best put", best_put, 10),
            at_least("Pipeline Get", rate("annulus-3 pipeline get"), "etcd's linearizable get", rate("etcd get"), 16)]
        for kind in ("put", "get"):
            if f"etcd open {kind}" in figures:
                theirs = figures.median(f"etcd open {kind}", "p99_us") / 1e3
                ours = figures.median(f"annulus-3 open {kind}", "p99_us") / 1e3
                found.append(Verdict(f"p99 of {kind}s at 70 % of etcd's maximum: {ours:.2f} ms; etcd {theirs:.2f} ms",
                                     ours < theirs))
    alone = figures.median("annulus-3 put alone", "p50_us") / 1e3
    parts = (min(figures.median(f"echo {kind} put alone", "p50_us") for kind in ("queue", "callbacks"))
             + figures.median("disk", "fdatasync_us")) / 1e3
    found.append(at_most("one client alone, Put", alone, 2 * parts, "ms", " (twice an echo and an fdatasync)"))
    found.append(at_least("1 node, Get", rate("annulus-1 get"), "the echo", echo_get, 0.85))
    found.append(at_least("1 node, Put", rate("annulus-1 put"), "the echo", echo_put, 0.60))
    if "idle" in figures:
        found.append(at_most("memory of an idle node", figures.median("idle", "mib"), 40, "MiB"))
        found.append(at_most("start until it serves", figures.median("idle", "start_s"), 1, "s"))
    if "many keys put" in figures:
        for kind in ("put", "get"):
            found.append(at_least(f"10^7 keys, {kind}s", rate(f"many keys {kind}"), "the rate at 10^5",
                                  rate(f"few keys {kind}"), 0.70))
        found.append(at_most("disk use at 10^7 keys", figures.median("many keys disk", "ratio"), 2,
                             "x N x (key + value)"))
    return found


def beside_cassandra(figures):
    """Nothing is demanded of these."""
    if "cassandra get" not in figures:
        return []
    return [f"Annulus with 3 nodes, {what}, 64 clients: {figures.median(f'annulus-3 {what}'):,.0f} is "
            f"{figures.median(f'annulus-3 {what}') / figures.median(theirs):.2f} of Cassandra's "
            f"({figures.median(theirs):,.0f})"
            for what, theirs in (("put", "cassandra put 64"), ("get", "cassandra get"))]
