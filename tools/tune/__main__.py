"""Moves the code of a program into the order in which a load uses it: `./x build release tuned_annulus`.

A put runs through so many functions of gRPC, RocksDB and our own that most of their code is not in the processor's
first cache when its turn comes (docs/adr/0018). So the program runs a load once while it counts where it goes, and
LLVM's BOLT puts what is hot side by side and moves what is not out of the way. What it does stays as it is. The
output keeps the names of functions and loses the lines; do not strip it, which breaks programs that BOLT has written.
"""

import argparse
import glob
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))

from systems import Annulus, Echo, bench, say  # noqa: E402: behind the path

MACHINES = ["x86_64"]  # Where this was tried.
CLUSTER_NODES = 4  # With three copies: some nodes are asked for what they do not own.
SECONDS = 2  # Of each load. A counting program is half as fast.
KEYS = 20_000
# Less are those of another program.
FUNCTIONS_MIN = 1000
OPTIMISATIONS = ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold",
                 "-split-eh", "-plt=hot"]


class Failed(Exception):
    """Says what, and what to do about it."""


def arguments():
    parser = argparse.ArgumentParser(prog="tools/tune", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: python3 tools/tune build/release/annulus build/release/tuned/annulus")
    parser.add_argument("program", type=pathlib.Path, help="linked with --emit-relocs")
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--load", choices=LOADS, default="cluster",
                        help="cluster (default): puts, gets, batches, pipelines and scans of a local cluster; echo: of "
                             "the echo servers of annulus_peers")
    parser.add_argument("--client", type=pathlib.Path, help="who sends the load, where the program does not: an annulus")
    return parser.parse_args()


def bolt(name):
    """One of LLVM's programs, as Debian names them: the newest."""
    found = glob.glob(f"/usr/lib/llvm-*/bin/{name}")
    if not found and shutil.which(name):
        found = [os.path.realpath(shutil.which(name))]  # It looks for its runtime beside itself, not beside a link.
    if not found:
        raise Failed(f"{name} is missing; on Debian 12: apt-get install bolt-19")
    return max(found, key=lambda path: [int(number) for number in re.findall(r"llvm-(\d+)", path)])


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


# --- loads ------------------------------------------------------------------------------------------
# Each returns the processes whose profiles it is about.

def load_cluster(program, client, folder):
    """What clients do most; the program is its own client, which is ordered alike."""
    with Annulus(folder, CLUSTER_NODES, 3, binary=program) as cluster:
        def load(mode, clients, reads, *more, **options):
            bench(cluster.endpoints, mode, clients, reads, SECONDS, keys=KEYS, warm_up=0, more=more, binary=client,
                  failures_allowed=True, **options)

        load("unary", 64, 0, fill=True)
        load("unary", 64, 1)
        load("unary", 64, 0.5, "--endpoints-only")
        load("pipeline", 512, 0)
        load("pipeline", 512, 1)
        load("batch", 8, 0.5, group=32)
        load("unary", 64, 0.5, "--workload", "e")
        return cluster.pids()


def load_echo(program, client, folder):
    pids = []
    for kind in ("queue", "callbacks"):
        with Echo(folder / kind, kind, binary=program) as server:
            pids.append(server.running[0].pid)
            server.bench("unary", 64, 0, SECONDS, warm_up=0, binary=client)
            server.bench("unary", 64, 1, SECONDS, warm_up=0, binary=client)
            if kind == "queue":  # The other has no streams.
                server.bench("pipeline", 512, 0, SECONDS, warm_up=0, binary=client)
    return pids


LOADS = {"cluster": load_cluster, "echo": load_echo}

# ----------------------------------------------------------------------------------------------------


def profile_of_load(options, counting, folder):
    """The file with what all processes of the load counted."""
    profile = folder / "profile"
    pids = LOADS[options.load](counting, options.client or counting, folder / "load")
    # A process writes its own as it ends by itself.
    silent = [pid for pid in pids if not (folder / f"profile.{pid}.fdata").exists()]
    if silent:
        raise Failed(f"{len(silent)} of {len(pids)} servers of the load left no profile: they did not end by themselves")
    run(bolt("merge-fdata"), *sorted(folder.glob("profile.*.fdata")), "-o", profile)
    return profile


def check(program, log):
    known = re.search(r"(\d+) out of \d+ functions in the binary .* have non-empty execution profile", log)
    if known is None or int(known.group(1)) < FUNCTIONS_MIN:
        raise Failed(f"the profile does not fit the program:\n{log[-3000:]}")
    # Without this header glibc makes the stacks of threads executable.
    if not re.search(r"GNU_STACK.* RW ", run("readelf", "-lW", program)):
        raise Failed("the stacks of the new program would be executable")
    run(program, "--help")
    return known.group(1)


def tune(options, folder):
    counting, output = folder / "counting", folder / "output"
    say("tune: the program that counts where it goes")
    run(bolt("llvm-bolt"), options.program, "-instrument", "-o", counting,
        f"--instrumentation-file={folder / 'profile'}", "--instrumentation-file-append-pid")
    say(f"tune: the load ({options.load})")
    profile = profile_of_load(options, counting, folder)
    say("tune: the new order")
    log = run(bolt("llvm-bolt"), options.program, "-data", profile, "-o", output, *OPTIMISATIONS)
    functions = check(output, log)
    os.replace(output, options.output)  # Whoever runs the old one keeps it.
    say(f"tune: {options.output}, by a profile of {functions} functions")


def main():
    # As Ctrl-C: what was started is ended.
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda *_: sys.exit(143))
    options = arguments()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        if platform.machine() not in MACHINES:
            say(f"tune: left as it is: this was not tried on {platform.machine()}")
            run("strip", "--strip-debug", "-o", options.output, options.program)
            return
        with tempfile.TemporaryDirectory(prefix="tune-", dir=options.output.parent) as folder:
            tune(options, pathlib.Path(folder).resolve())
    except (Failed, RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"tune: {error}")


if __name__ == "__main__":
    main()
