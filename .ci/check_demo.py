#!/usr/bin/env python3
"""Checks the JSON result of `seawall demo --output json`: rows add up, nothing differs from the simulator's own
account, and no replayed vector differs from the served one.

Usage: check_demo.py RESULT.json
"""

import json
import sys

COUNTS = ("received", "accepted", "quarantined", "deduplicated", "rejected")
REPLAYED_MIN = 10_000


def problems(result):
    """What is wrong with `result`, as sentences."""
    for section, keys in (("ingest", COUNTS), ("truth", COUNTS), ("skew", ("replayed", "mismatched"))):
        for key in keys:
            if not isinstance(result.get(section, {}).get(key), int):
                yield f"{section}.{key} is not a whole number"
                return
    ingest, truth, skew = result["ingest"], result["truth"], result["skew"]
    accounted = sum(ingest[key] for key in COUNTS[1:])
    if ingest["received"] != accounted:
        yield f"received {ingest['received']} rows, but accounted for {accounted}"
    if ingest["received"] == 0:
        yield "received no rows"
    for key in COUNTS:
        if ingest[key] != truth[key]:
            yield f"{key}: counted {ingest[key]}, the simulator made {truth[key]}"
    if skew["replayed"] < REPLAYED_MIN:
        yield f"replayed {skew['replayed']} vectors, fewer than {REPLAYED_MIN}"
    if skew["mismatched"] != 0:
        yield f"{skew['mismatched']} of {skew['replayed']} replayed vectors differ"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    found = list(problems(result))
    for problem in found:
        print(f"demo: {problem}", file=sys.stderr)
    if not found:
        ingest = ", ".join(f"{key} {result['ingest'][key]}" for key in COUNTS)
        print(f"{ingest}; replayed {result['skew']['replayed']}, mismatched 0")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
