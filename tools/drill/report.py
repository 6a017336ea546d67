"""What a drill looked like: a timeline as text and as SVG, and the page that holds those of one run."""

import collections
import dataclasses
import html
import json
import math

BUCKET = 0.5  # seconds
BAR = 30  # characters of a full bar


@dataclasses.dataclass(frozen=True)
class Bucket:
    """What was due in one part of the timeline."""
    at: float
    served: int
    failed: int
    p50: float | None  # seconds, of those that were served
    p99: float | None
    width: float = BUCKET


def quantile(ordered, share):
    """By the nearest rank; None of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def buckets(calls):
    by_index = collections.defaultdict(list)
    for call in calls:
        by_index[int(call.due / BUCKET)].append(call)
    found = []
    for index in range(max(by_index, default=-1) + 1):
        here = by_index[index]
        latencies = sorted(call.ended - call.due for call in here if not call.failure)
        found.append(Bucket(index * BUCKET, len(latencies), len(here) - len(latencies),
                            quantile(latencies, 0.5), quantile(latencies, 0.99)))
    return found


def _ms(seconds):
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def text_timeline(result):
    """A row for each part: throughput as a bar, latencies, failures, what was wrong."""
    rows = [f"{'s':>5}  {'ops/s':<{BAR + 5}} {'p50 ms':>7} {'p99 ms':>8} {'failed':>6}"]
    most = max((bucket.served / bucket.width for bucket in result.timeline), default=0) or 1
    for bucket in result.timeline:
        rate = bucket.served / bucket.width
        bar = "█" * round(BAR * rate / most)
        bands = [band.label for band in result.bands
                 if band.began < bucket.at + bucket.width and bucket.at < band.ended]
        rows.append(f"{bucket.at:5.1f}  {bar:<{BAR}} {rate:4.0f} {_ms(bucket.p50):>7} "
                    f"{_ms(bucket.p99):>8} {bucket.failed or '':>6}  {'│ ' + ', '.join(bands) if bands else ''}".rstrip())
    return "\n".join(rows)


class _Plot:
    """One panel of the SVG: from time and value to pixels."""

    LEFT, WIDTH = 60, 820

    def __init__(self, top, height, seconds, most, logarithmic=False, least=0.0):
        self.top, self.height, self.seconds = top, height, max(seconds, BUCKET)
        self.most, self.least, self.logarithmic = most, least, logarithmic

    def x(self, at):
        return self.LEFT + self.WIDTH * at / self.seconds

    def y(self, value):
        if self.logarithmic:
            value = min(max(value, self.least), self.most)
            share = math.log(value / self.least) / math.log(self.most / self.least)
        else:
            share = value / self.most
        return self.top + self.height * (1 - share)

    def line(self, points, colour):
        """A line through (time, value), broken where the value is None."""
        parts, started = [], False
        for at, value in points:
            if value is None:
                started = False
                continue
            parts.append(f"{'L' if started else 'M'}{self.x(at):.1f},{self.y(value):.1f}")
            started = True
        return f'<path d="{" ".join(parts)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    def axis(self, ticks):
        lines = []
        for value, label in ticks:
            y = self.y(value)
            lines.append(f'<line x1="{self.LEFT}" x2="{self.LEFT + self.WIDTH}" y1="{y:.1f}" y2="{y:.1f}" '
                         f'stroke="#ddd"/><text x="{self.LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        return lines


def svg_timeline(result):
    found = result.timeline
    seconds = max(bucket.at + bucket.width for bucket in found)
    most = max((bucket.served + bucket.failed) / bucket.width for bucket in found) or 1
    rates = _Plot(40, 130, seconds, most)
    latencies = _Plot(200, 150, seconds, 10.0, logarithmic=True, least=0.0005)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 400" font-family="sans-serif" font-size="11">',
           '<rect width="900" height="400" fill="#fff"/>',
           f'<text x="60" y="16" font-size="13" font-weight="bold">{html.escape(result.summary())}</text>']
    for i, band in enumerate(result.bands):
        left, right = rates.x(band.began), rates.x(band.ended)
        out.append(f'<rect x="{left:.1f}" y="26" width="{max(right - left, 1):.1f}" height="324" fill="#f7c873" '
                   f'fill-opacity="0.35"/><text x="{left + 3:.1f}" y="{36 + 11 * (i % 2)}" fill="#8a5a00">'
                   f'{html.escape(band.label)}</text>')
    out += rates.axis([(0, "0"), (most / 2, f"{most / 2:.0f}"), (most, f"{most:.0f} op/s")])
    out += latencies.axis([(0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1, "1 s"), (10, "10 s")])
    middle = [bucket.at + bucket.width / 2 for bucket in found]
    out.append(rates.line([(at, bucket.served / bucket.width) for at, bucket in zip(middle, found)], "#1a7f37"))
    for at, bucket in zip(middle, found):
        if bucket.failed:
            y = rates.y(bucket.failed / bucket.width)
            out.append(f'<rect x="{rates.x(at) - 3:.1f}" y="{y:.1f}" width="6" '
                       f'height="{rates.top + rates.height - y:.1f}" fill="#c62828"/>')
    out.append(latencies.line([(at, bucket.p50) for at, bucket in zip(middle, found)], "#1565c0"))
    out.append(latencies.line([(at, bucket.p99) for at, bucket in zip(middle, found)], "#6a1b9a"))
    step = max(1, round(seconds / 12))
    for at in range(0, int(seconds) + 1, step):
        out.append(f'<text x="{rates.x(at):.1f}" y="366" text-anchor="middle">{at} s</text>')
    out.append('<text x="60" y="388"><tspan fill="#1a7f37">served</tspan>  <tspan fill="#c62828">failed</tspan>  '
               '<tspan fill="#1565c0">p50</tspan>  <tspan fill="#6a1b9a">p99</tspan> from when they were due  '
               '<tspan fill="#8a5a00">faults</tspan></text></svg>')
    return "\n".join(out)


def write_page(folder, results, last_line):
    """index.html with every timeline, one SVG for each, and report.json."""
    folder.mkdir(parents=True, exist_ok=True)
    body = []
    for result in results:
        body.append(f"<h2>{html.escape(result.name)}</h2><p>{html.escape(result.about)}</p>")
        if result.timeline:
            svg = svg_timeline(result)
            (folder / f"{result.name}.svg").write_text(svg, encoding="utf-8")
            body.append(svg)
        body += [f"<pre>{html.escape(line)}</pre>" for line in [result.summary(), *result.notes]]
    (folder / "index.html").write_text(
        "<!doctype html><meta charset=utf-8><title>Annulus drills</title>"
        "<style>body{font-family:sans-serif;max-width:960px;margin:2em auto}svg{width:100%}</style>"
        f"<h1>Drills</h1><pre>{html.escape(last_line)}</pre>{''.join(body)}\n", encoding="utf-8")
    (folder / "report.json").write_text(
        json.dumps({"summary": last_line, "drills": [result.as_json() for result in results]}, indent=1) + "\n",
        encoding="utf-8")
