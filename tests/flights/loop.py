#!/usr/bin/env python3
"""Checks the model half of the flights example: the replay, the policy month by month, and the leak table.

Usage: loop.py REPLAY.json MONTHS.json LEAK.json

The files hold what `seawall replay`, `seawall model months late` and `seawall model leak late` print with
`--output json`. The decisions are compared with decisions.golden.json beside this file; UPDATE_GOLDEN=1 rewrites it.
Exits with 0 when everything holds and with 1 when something does not.
"""

import json
import os
import re
import sys
from pathlib import Path

GOLDEN = Path(__file__).with_name("decisions.golden.json")
MONTHS = [f"2014-{month:02}" for month in range(5, 13)]
DIGITS = 4
LEAK_MIN = 0.01
PARITY_MAX = 0.001


def rounded(value):
    """The same JSON value with every fraction rounded, also those written within a sentence."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, str):
        return re.sub(r"-?\d+\.\d{5,}", lambda found: str(round(float(found[0]), DIGITS)), value)
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return value


def refusals(name, result):
    """Commands that fail print an error instead of a result."""
    if "error" in result:
        error = result["error"]
        yield f"{name} was refused: {error.get('code')} {error.get('message')}"


def replay_problems(replay):
    for name, counts in replay.get("datasets", {}).items():
        parts = sum(counts[key] for key in ("accepted", "quarantined", "deduplicated", "rejected"))
        if counts["received"] != parts:
            yield f"replay: {name} received {counts['received']} rows, but accounted for {parts}"
    skew = replay.get("skew", {})
    if not skew.get("replayed"):
        yield "replay: no vector was replayed"
    for key in ("mismatched", "parity_differing"):
        if skew.get(key) != 0:
            yield f"replay: skew.{key} is {skew.get(key)}, not 0"


def auc_problems(where, estimate):
    """An estimate lies within its interval."""
    ends = [estimate.get(key) for key in ("low", "value", "high")] if isinstance(estimate, dict) else [None]
    if not all(isinstance(end, (int, float)) for end in ends) or ends != sorted(ends):
        yield f"{where} is no estimate with its interval: {estimate}"


def months_problems(result):
    found = [month.get("month") for month in result.get("months", [])]
    missing = [month for month in MONTHS if month not in found]
    if missing:
        yield f"months: {', '.join(missing)} missing"
    for month in result.get("months", []):
        if month["month"] in MONTHS:
            for key in ("auc_champion", "auc_challenger"):
                yield from auc_problems(f"months: {key} of {month['month']}", month.get(key))
    for decision in result.get("decisions", []):
        for key in ("month", "decision", "signal", "reason", "rejected"):
            if key not in decision:
                yield f"months: a decision without {key}: {decision}"
        signal = decision.get("signal")
        if signal and len(signal.get("interval") or ()) != 2:
            yield f"months: the signal of {decision.get('month')} has no interval"


def leak_problems(result):
    lines = {line.get("known"): line for line in result.get("leak", [])}
    if set(lines) != {"in_time", "ignore"}:
        yield f"leak: lines for {sorted(map(str, lines))}, not for in_time and ignore"
        return
    honest, leaking = lines["in_time"], lines["ignore"]
    if honest["rows"] != leaking["rows"] or not honest["rows"]:
        yield f"leak: in_time has {honest['rows']} decisions, ignore {leaking['rows']}"
    if leaking["claimed"] <= honest["claimed"]:
        yield f"leak: ignore claims {leaking['claimed']:.4f}, not more than in_time with {honest['claimed']:.4f}"
    if leaking["claimed"] - leaking["served"] < LEAK_MIN:
        yield f"leak: ignore claims {leaking['claimed']:.4f} and serves {leaking['served']:.4f}"
    if abs(honest["claimed"] - honest["served"]) > PARITY_MAX:
        yield f"leak: in_time claims {honest['claimed']:.4f}, but serves {honest['served']:.4f}"


def golden_problems(decisions, golden, update):
    """Compares with the golden file, or rewrites it."""
    found = rounded(decisions)
    if update:
        golden.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return
    if not golden.exists():
        yield f"{golden.name} is not there: run again with UPDATE_GOLDEN=1 and review it"
        return
    expected = json.loads(golden.read_text(encoding="utf-8"))
    if len(found) != len(expected):
        yield f"{len(found)} decisions, but {golden.name} has {len(expected)}"
    for one, wanted in zip(found, expected):
        if one != wanted:
            yield f"decision of {one.get('month')}: expected {json.dumps(wanted)}, found {json.dumps(one)}"


def problems(replay, months, leak, golden=GOLDEN, update=False):
    """What is wrong, as sentences. A golden file is only written from a result that holds otherwise."""
    found = []
    named = (("replay", replay, replay_problems), ("months", months, months_problems), ("leak", leak, leak_problems))
    for name, result, check in named:
        refused = list(refusals(name, result))
        found += refused or list(check(result))
    if months.get("decisions") and not (update and found):
        found += golden_problems(months["decisions"], golden, update)
    elif not months.get("decisions"):
        found.append("months: no decisions")
    return found


def main():
    if len(sys.argv) != 4:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 1
    results = [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    found = problems(*results, update=os.environ.get("UPDATE_GOLDEN") == "1")
    for problem in found:
        print(f"flights: {problem}", file=sys.stderr)
    for line in results[2].get("leak", []):
        print(f"{line['known']:<8} claimed {line['claimed']:.4f}, served {line['served']:.4f}, {line['rows']} decisions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
