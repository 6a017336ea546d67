"""Prints `PASSED FAILED SKIPPED` for a JUnit file of ctest or a log of unittest.

ctest counts programs. A program of GoogleTest or unittest holds many test cases and prints how many:
those are what is counted, and one for a program that prints no such thing.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree


def cases(output, passed):
    """(passed, failed, skipped) of one program, from what it printed and whether it ended well."""
    gtest = [sum(int(n) for n in re.findall(rf"^\[  {word} +\] (\d+) tests?[.,]", output, re.M))
             for word in ("PASSED", "FAILED", "SKIPPED")]
    ran = re.findall(r"^Ran (\d+) tests? in", output, re.M)
    if any(gtest):
        good, bad, skipped = gtest
    elif ran:
        bad = sum(int(n) for n in re.findall(r"^FAILED .*?(?:failures|errors)=(\d+)", output, re.M))
        bad += sum(int(n) for n in re.findall(r"^FAILED .*failures=\d+, errors=(\d+)", output, re.M))
        skipped = sum(int(n) for n in re.findall(r"^(?:OK|FAILED) .*?skipped=(\d+)", output, re.M))
        good = max(0, sum(int(n) for n in ran) - bad - skipped)
    else:
        good, bad, skipped = (1, 0, 0) if passed else (0, 1, 0)
    # A program that crashed after its last good case has still failed.
    return good, bad if passed else max(1, bad), skipped


def of_junit(path):
    total = (0, 0, 0)
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.get("status") in ("notrun", "disabled"):
            found = (0, 0, 1) if case.find("skipped") is not None else (0, 1, 0)
        else:
            found = cases(case.findtext("system-out") or "", case.get("status") == "run")
        total = tuple(a + b for a, b in zip(total, found))
    return total


def of_log(path):
    text = open(path, encoding="utf-8", errors="replace").read()
    return cases(text, re.search(r"^OK", text, re.M) is not None)


def main():
    path = sys.argv[1]
    try:
        total = of_junit(path) if path.endswith(".xml") else of_log(path)
    except (OSError, ElementTree.ParseError) as error:
        print(f"tally: {error}", file=sys.stderr)
        total = (0, 1, 0)  # nothing to count means that the tests did not run
    if total == (0, 0, 0):
        total = (0, 1, 0)
    print(*total)


if __name__ == "__main__":
    main()
