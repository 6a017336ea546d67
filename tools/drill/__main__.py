"""./x drill: break a cluster on purpose, and see that it keeps what it promised."""

import argparse
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build/drill"


def arguments():
    parser = argparse.ArgumentParser(prog="./x drill", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="drills to run, or all")
    parser.add_argument("--list", action="store_true", help="list the drills")
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes; without the long ones")
    parser.add_argument("--compose", action="store_true", help="on containers instead of local processes")
    parser.add_argument("--seed", type=int, default=1, help="of the workload")
    parser.add_argument("--out", type=pathlib.Path, default=None, help="folder of the report")
    parser.add_argument("--quiet", action="store_true", help="no timelines, only verdicts")
    return parser, parser.parse_args()


def make_cluster(compose):
    # Imported late, so that --list and --help need nothing.
    if compose:
        from compose import ComposeCluster
        return ComposeCluster()
    from local import LocalCluster
    return LocalCluster()


def run_all(chosen, options):
    """Drills share a cluster for as long as it comes out of them level."""
    from drills import why_not
    from runner import Result, run_drill

    results, cluster = [], None
    try:
        for drill in chosen:
            reason = why_not(drill, "compose" if options.compose else "local")
            if reason:
                results.append(Result(drill.name, drill.about, "skipped", reason))
            else:
                if cluster is None:
                    cluster = make_cluster(options.compose)
                    cluster.__enter__()
                results.append(run_one(run_drill, drill, cluster, options, Result))
            tell(results[-1], options.quiet)
            if results[-1].state == "FAILED" and cluster is not None:
                cluster.__exit__(None, None, None)
                cluster = None
    finally:
        if cluster is not None:
            cluster.__exit__(None, None, None)
    return results


def run_one(run_drill, drill, cluster, options, result_type):
    try:
        return run_drill(drill, cluster, options.seed, options.short)
    except Exception as error:  # the next drill may still tell something
        logs = [f"--- {name}\n{cluster.log_tail(name)}" for name in cluster.processes()]
        return result_type(drill.name, drill.about, "FAILED", f"{type(error).__name__}: {error}", logs)


def tell(result, quiet):
    import report
    if result.timeline and (not quiet or result.state == "FAILED"):
        print(f"\n{result.name}: {result.about}\n{report.text_timeline(result)}")
    print(result.summary(), flush=True)
    for note in result.notes:
        print(f"           {note}", flush=True)


def main():
    parser, options = arguments()
    import capacity  # noqa: F401: adds its drills
    from drills import DRILLS
    if options.list:
        for drill in DRILLS.values():
            marks = [mark for mark, on in (("compose only", drill.compose_only), ("long only", drill.long_only)) if on]
            print(f"{drill.name:<17} {drill.about}{' [' + ', '.join(marks) + ']' if marks else ''}")
        return 0
    unknown = [name for name in options.names if name not in DRILLS and name != "all"]
    if unknown or not options.names:
        parser.error(f"there is no drill {unknown[0]}; see --list" if unknown else "name a drill, or all; see --list")
    chosen = [drill for drill in DRILLS.values()
              if drill.name in options.names or ("all" in options.names and not (options.short and drill.long_only))]

    began = time.monotonic()
    results = run_all(chosen, options)
    failed = [result.name for result in results if result.state == "FAILED"]
    skipped = [result.name for result in results if result.state == "skipped"]
    last_line = (f"drill: {len(results) - len(failed) - len(skipped)} ok, {len(failed)} failed, {len(skipped)} skipped "
                 f"in {time.monotonic() - began:.0f} s"
                 + (f"; failed: {', '.join(failed)}" if failed else ""))
    import report
    folder = options.out or RESULTS / time.strftime("%Y%m%d-%H%M%S")
    report.write_page(folder, results, last_line)
    print(f"\nreport: {folder}/index.html\n{last_line}")
    return 1 if failed or len(skipped) == len(results) else 0


if __name__ == "__main__":
    sys.exit(main())
