"""Moves the code of a program into the order in which a load uses it: `cmake --build build/release --target tuned`.

A put runs through so many functions of gRPC, RocksDB and our own that most of their code is not in the processor's
first cache when its turn comes (docs/adr/0018). So the program runs a load once while it counts where it goes, and
LLVM's BOLT puts what is hot side by side and moves what is not out of the way. What the program does stays as it
is. The output has names of functions for profiles and stack traces, and lines only in the program it was made of.
"""

import argparse
import contextlib
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))

from systems import Annulus, Echo, bench, say  # noqa: E402: behind the path

BOLT_MIN = 17  # The first whose instrumented programs run where code may lie anywhere.
CLUSTER_NODES = 4  # With three copies: some nodes are asked for what they do not own.
SECONDS = 2  # Of each load. A counting program is half as fast.
KEYS = 20_000
# A profile of less is one of a program that did not run, or of another one.
FUNCTIONS_MIN = 1000
OPTIMISATIONS = ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold",
                 "-split-eh", "-icf=1", "-plt=hot", "-use-gnu-stack"]


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
    def version(path):
        return int(re.search(r"llvm-(\d+)", path).group(1))

    found = [path for path in glob.glob(f"/usr/lib/llvm-*/bin/{name}") if version(path) >= BOLT_MIN]
    if found:
        return max(found, key=version)
    path = shutil.which(name)
    if path is None:
        raise Failed(f"{name} is missing; on Debian 12: apt-get install bolt-19")
    return os.path.realpath(path)  # It looks for its runtime beside itself, not beside a link.


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


# --- loads ------------------------------------------------------------------------------------------

def load_cluster(program, client, folder):
    """What clients do most; the program is its own client, which is laid out alike."""
    with Annulus(folder, CLUSTER_NODES, 3, binary=program) as cluster:
        def load(mode, clients, reads, *more, **options):
            bench(cluster.endpoints, mode, clients, reads, SECONDS, keys=KEYS, warm_up=0, more=more, binary=client,
                  **options)

        load("unary", 64, 0, fill=True)
        load("unary", 64, 1)
        load("unary", 64, 0.5, "--endpoints-only")
        load("pipeline", 512, 0)
        load("pipeline", 512, 1)
        load("batch", 8, 0.5, group=32)
        load("unary", 64, 0.5, "--workload", "e")


def load_echo(program, client, folder):
    for kind in ("queue", "callbacks"):
        with Echo(folder / kind, kind, binary=program) as server:
            server.bench("unary", 64, 0, SECONDS, warm_up=0, binary=client)
            server.bench("unary", 64, 1, SECONDS, warm_up=0, binary=client)
            if kind == "queue":  # The other has no streams.
                server.bench("pipeline", 512, 0, SECONDS, warm_up=0, binary=client)


LOADS = {"cluster": load_cluster, "echo": load_echo}

# ----------------------------------------------------------------------------------------------------


def tune(options, folder):
    counting, profile, output = folder / "counting", folder / "profile", folder / "output"
    say("tune: the program that counts where it goes")
    run(bolt("llvm-bolt"), options.program, "-instrument", "-o", counting, f"--instrumentation-file={profile}",
        "--instrumentation-file-append-pid")
    say(f"tune: the load ({options.load})")
    try:
        LOADS[options.load](counting, options.client or counting, folder / "load")
    except RuntimeError as error:
        raise Failed(f"the load failed: {error}") from error
    parts = sorted(folder.glob("profile.*.fdata"))  # One of each process that has ended by itself.
    if not parts:
        raise Failed("no process of the load left a profile")
    run(bolt("merge-fdata"), *parts, "-o", profile)
    say("tune: the new order")
    log = run(bolt("llvm-bolt"), options.program, "-data", profile, "-o", output, *OPTIMISATIONS)
    known = re.search(r"(\d+) out of \d+ functions in the binary .* have non-empty execution profile", log)
    if known is None or int(known.group(1)) < FUNCTIONS_MIN:
        raise Failed(f"the profile does not fit the program:\n{log[-3000:]}")
    run(output, "--help")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    # Whoever runs the old one keeps it.
    with contextlib.suppress(FileNotFoundError):
        options.output.unlink()
    shutil.move(output, options.output)
    say(f"tune: {options.output}, by a profile of {known.group(1)} functions")


def main():
    options = arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="annulus-tune-") as folder:
            tune(options, pathlib.Path(folder))
    except Failed as error:
        sys.exit(f"tune: {error}")


if __name__ == "__main__":
    main()
