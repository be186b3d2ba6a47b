#!/usr/bin/env python3
"""Counts the tests of several `meson test` runs.

usage: count_tests.py NAME=LOG.json...

LOG.json is what `meson test --logbase` leaves: one JSON object a line and test. A GoogleTest program counts as its cases, any
other test as one. Prints the failures, then "N passed, N failed, N skipped" as the last line. Fails when anything failed, a
log is missing, or nothing passed.
"""
import json
import re
import sys

CASE = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+)[^\n]* \(\d+ ms\)$", re.MULTILINE)
GOOGLETEST = re.compile(r"^\[==========\] Running \d+ tests? from ", re.MULTILINE)
OUTCOMES = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}  # of Meson; anything else failed


def count(test):
    """Returns ({outcome: number}, [what failed]) of one line of a log."""
    outcome = OUTCOMES.get(test["result"], "failed")
    output = test.get("stdout") or ""
    if not GOOGLETEST.search(output):
        return {outcome: 1}, [f"{test['name']} ({test['result']})"] if outcome == "failed" else []
    numbers = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    for result, case in CASE.findall(output):
        numbers[{"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[result]] += 1
        if result == "FAILED":
            failures.append(f"{test['name']}: {case.rstrip(',')}")
    if outcome == "failed" and not failures:  # it crashed, hung, or failed after its last case
        numbers["failed"] += 1
        failures.append(f"{test['name']} ({test['result']})")
    return numbers, failures


def main(arguments):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    for argument in arguments:
        run, path = argument.split("=", 1)
        try:
            with open(path, encoding="utf-8") as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except FileNotFoundError:
            tests = []
        if not tests:
            total["failed"] += 1
            failures.append(f"{run}: no test ran")
            continue
        for test in tests:
            numbers, failed = count(test)
            for outcome, number in numbers.items():
                total[outcome] += number
            failures += [f"{run}: {what}" for what in failed]
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
