#!/usr/bin/env python3
"""Turns this machine's Debian package index into JSON Lines that `annulus import` takes.

Each line is {"key": package name, "value": its stanza of `apt-cache dumpavail`}. Where the index has a
name more than once (another version or architecture), the first stanza has the plain name and the later
ones NAME=VERSION:ARCHITECTURE, so that no stanza is lost; an exact repetition is dropped, and counted.

    examples/debian-packages.py --output packages.jsonl
    examples/debian-packages.py --limit 1000 | annulus import -
"""

import argparse
import json
import subprocess
import sys


def stanzas(lines):
    """Yields each stanza as text; they are parted by empty lines."""
    current = []
    for line in lines:
        if line.strip():
            current.append(line)
        elif current:
            yield "".join(current)
            current = []
    if current:
        yield "".join(current)


def field(stanza, name):
    prefix = name + ": "
    for line in stanza.splitlines():
        if line.startswith(prefix):
            return line[len(prefix):].strip()
    return ""


def keyed(all_stanzas, counts):
    """Yields (key, stanza), each key once."""
    seen = set()
    for stanza in all_stanzas:
        name = field(stanza, "Package")
        key = name
        if name in seen:
            key = f"{name}={field(stanza, 'Version')}:{field(stanza, 'Architecture')}"
            counts["again"] += 1
        if key in seen:
            counts["dropped"] += 1
            continue
        seen.add(key)
        yield key, stanza


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="-", help="file to write (default: standard output)")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many records (default: all)")
    options = parser.parse_args()

    dump = subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, encoding="utf-8",
                            errors="replace")
    out = sys.stdout if options.output == "-" else open(options.output, "w", encoding="utf-8")
    counts = {"again": 0, "dropped": 0}
    written = 0
    size = 0
    for key, stanza in keyed(stanzas(dump.stdout), counts):
        out.write(json.dumps({"key": key, "value": stanza}, ensure_ascii=False) + "\n")
        written += 1
        size += len(stanza)
        if written == options.limit:
            dump.terminate()
            break
    out.close()
    if dump.wait() != 0 and written != options.limit:
        sys.exit("debian-packages: apt-cache dumpavail failed; it needs a Debian system")
    if written == 0:
        sys.exit("debian-packages: the package index is empty; fetch it with: apt-get update")
    print(f"{written} records, {size / 1e6:.1f} MB; {counts['again']} under a name that was taken, "
          f"{counts['dropped']} exact repetitions dropped", file=sys.stderr)


if __name__ == "__main__":
    main()
