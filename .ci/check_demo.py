#!/usr/bin/env python3
"""Checks the JSON result of `seawall demo --output json`: rows add up, nothing differs from the simulator's own
account, and no replayed vector differs from the served one.

With `--faults all`, each fault is found or known not to matter, with its cause; with `--faults none`, nothing alarms.

Usage: check_demo.py [--faults none] RESULT.json
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


def fault_problems(result):
    """What is wrong with a run with all faults."""
    faults = {fault["kind"]: fault for fault in result["faults"]}
    for kind, fault in faults.items():
        if not fault["detected"] or not fault["cause"]:
            yield f"fault {kind} was not found with its cause"
    late = faults.get("late_rows", {})
    if (late.get("outcome"), late.get("incident")) != ("exact", None):
        yield f"late rows are {late.get('outcome')} with incident {late.get('incident')}, not exact without one"
    cents = faults.get("cents_instead_of_euros", {})
    if not cents.get("incident") or "amount_eur 100 times as large" not in cents.get("cause", ""):
        yield f"cents instead of euros: incident {cents.get('incident')}, cause {cents.get('cause')}"
    models = result["models"]
    if models["promoted"] < 2:
        yield f"{models['promoted']} versions were promoted, fewer than 2"
    promotions = [one for one in models["decisions"] if one["kind"] == "promote"]
    if len(promotions) != models["promoted"]:
        yield f"{len(promotions)} decisions promote, but {models['promoted']} versions were promoted"
    for one in promotions:
        if not one["approved_by"]:
            yield f"{one['id']} promotes without an approval"


def quiet_problems(result):
    """What is wrong with a run without faults."""
    if result["faults"]:
        yield f"{len(result['faults'])} faults, though none were asked for"
    if result["alarms"]["incidents"]:
        yield f"{result['alarms']['incidents']} incidents without a fault: {result['alarms']['about']}"


def loop_problems(result, quiet):
    """What is wrong with faults, alarms and models."""
    missing = [key for key in ("faults", "alarms", "models") if key not in result]
    if missing:
        yield f"the result has no {', '.join(missing)}"
        return
    if result["alarms"]["false"] != 0:
        yield f"{result['alarms']['false']} false alarms: {result['alarms']['about']}"
    yield from quiet_problems(result) if quiet else fault_problems(result)


def main():
    quiet = sys.argv[1:3] == ["--faults", "none"]
    with open(sys.argv[-1], encoding="utf-8") as file:
        result = json.load(file)
    found = list(problems(result)) + list(loop_problems(result, quiet))
    for problem in found:
        print(f"demo, seed {result.get('seed')}: {problem}", file=sys.stderr)
    if not found:
        ingest = ", ".join(f"{key} {result['ingest'][key]}" for key in COUNTS)
        print(f"{ingest}; replayed {result['skew']['replayed']}, mismatched 0; faults {len(result['faults'])}, false alarms 0")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
