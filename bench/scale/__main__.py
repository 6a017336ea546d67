"""./x bench scale: what an operation costs as things grow: nodes (3 to 64, in the simulator, in messages and
bytes), and on 3 real nodes keys, the size of values, and clients."""

import argparse
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))

from systems import ROOT, Annulus  # noqa: E402: behind the path

WORK = ROOT / "build/bench"


def arguments():
    parser = argparse.ArgumentParser(prog="./x bench scale", description=__doc__)
    parser.add_argument("--keys", type=int, action="append", metavar="N",
                        help="how many keys; may be given several times (default: 10^4, 10^5, 10^6)")
    parser.add_argument("--value-bytes", type=int, action="append", metavar="N",
                        help="may be given several times (default: 10, 100, 1000, 10000)")
    parser.add_argument("--clients", type=int, action="append", metavar="N",
                        help="may be given several times (default: 1, 8, 64, 256)")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (default: 5)")
    return parser.parse_args()


def row(name, put, get):
    print(f"  {name:<24} put {put['ok_per_s']:>9,.0f}/s p99 {put['p99_us'] / 1e3:>7.2f} ms   "
          f"get {get['ok_per_s']:>9,.0f}/s p99 {get['p99_us'] / 1e3:>7.2f} ms", flush=True)


def main():
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    print("nodes, in the simulator", flush=True)
    code = subprocess.run([ROOT / "build/release/annulus_sim", "--cost"], check=False).returncode
    with Annulus(WORK / "scale", 3, 3) as annulus:
        def measure(name, clients=64, **which):
            put, get = (annulus.bench("unary", clients, reads, options.seconds, **which) for reads in (0, 1))
            row(name, put, get)

        def fill(**which):
            annulus.bench("pipeline", 1024, 1, 0.5, fill=True, warm_up=0, **which)

        print("keys, on 3 nodes, 64 clients", flush=True)
        for keys in options.keys or [10_000, 100_000, 1_000_000]:
            which = {"keys": keys, "more": ("--prefix", f"keys-{keys}-")}
            fill(**which)
            measure(f"{keys:,} keys", **which)
        print("size of values, 10,000 keys", flush=True)
        for size in options.value_bytes or [10, 100, 1_000, 10_000]:
            which = {"keys": 10_000, "value_bytes": size, "more": ("--prefix", f"size-{size}-")}
            fill(**which)
            measure(f"{size:,} bytes", **which)
        print("clients, 100,000 keys", flush=True)
        fill()
        for clients in options.clients or [1, 8, 64, 256]:
            measure(f"{clients} clients", clients=clients)
    return code


if __name__ == "__main__":
    sys.exit(main())
