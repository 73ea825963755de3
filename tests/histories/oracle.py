#!/usr/bin/env python3
"""Recomputes training sets over random histories, row by row, and compares them with what Seawall builds.

Usage: oracle.py [--histories N] [--seed S] [--binary PATH]

Each history is a handful of rows of a few entities: late, known early or long after they happened, sent twice, at equal
times, with missing keys, times at the edges of windows and values that rounding punishes. Decisions ask at random instants
and at those edges; those over the history itself must not see the row that asks. All histories lie in one project, so
that 1,000 of them take seconds; what they share is only the table.

The rule is written down here once more, from the design and in plain Python: lists, loops, `math.fsum`, fractions. A row
counts when it is of the entity, happened within the window and not after the decision, was available before K, which is
the decision's time less the visibility lag, and does not itself ask. Nothing is taken from Seawall but what input cannot
say: `_partition` and `_lsn`, which order rows of equal times.

Only the standard library is needed. Prints one line per compared column. Exits with 0 when nothing differs, with 1 when
something does.
"""

import argparse
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
START = 1_735_689_600 * SECOND
LAG = 5 * MINUTE
BUILT_AT = START + 40 * DAY
FINAL_AFTER = 10 * DAY

# Conditions in SQL, and what they say of a row: null is not true.
CONDITIONS = {
    "n < 3": lambda row: row["n"] is not None and row["n"] < 3,
    "s = 'a'": lambda row: row["s"] == "a",
    "x is null": lambda row: row["x"] is None,
}
# Windows of every hop, in microseconds.
WINDOWS = {"1m": MINUTE, "90s": 90 * SECOND, "3h": 3 * HOUR, "11h": 11 * HOUR, "13h": 13 * HOUR, "2d": 2 * DAY, "13d": 13 * DAY}
SHORT, LONG = list(WINDOWS)[:3], list(WINDOWS)[3:]
KINDS = {
    "count": ["*", "x", "n", "s"],
    "sum": ["x", "n"],
    "mean": ["x", "n"],
    "variance": ["x", "n"],
    "stddev": ["x"],
    "min": ["x", "n", "s"],
    "max": ["x", "n", "s"],
    "first": ["x", "s"],
    "last": ["n", "s"],
}

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: active
description: {{purpose: Rows of the oracle.}}
schema:
  - name: {name}
    logicalType: object
    physicalType: table
    properties:
      - {{name: id, logicalType: string, primaryKey: true, required: true}}
{properties}
    customProperties:
      - {{property: seawall.eventTime, value: t}}
"""
COLUMNS = {
    "events": {"history": "integer", "card": "string", "t": "timestamp", "known": "timestamp", "x": "number", "n": "integer", "s": "string"},
    "asks": {"history": "integer", "card": "string", "t": "timestamp"},
    "outcomes": {"t": "timestamp", "known": "timestamp", "y": "number"},
}
SOURCE = """\
kind: source
name: {name}
files: {{path: {name}.ndjson, format: ndjson}}
contract: {name}@1
available_at: {available}
history: true
"""
SETS = """\
kind: training_set
name: asked
rows: {{from: asks, at: t, own_row: exclude}}
label: {{from: outcomes, join: id, column: y}}
features: [card@1]
visibility_lag: {lag}s
---
kind: training_set
name: itself
rows: {{from: events, at: t, own_row: exclude}}
label: {{from: outcomes, join: id, present: true, absent: false, final_after: {final}d}}
features: [card@1]
"""


# --- time ------------------------------------------------------------------------------------------------------------


def text_of(instant):
    return (EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")


def instant_of(text):
    since = datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def hop(window):
    """By how much a sawtooth window advances."""
    return DAY if window >= 12 * DAY else HOUR if window >= 12 * HOUR else MINUTE


def begins_inside(event, at, window, edge):
    if edge == "exact":
        return event > at - window
    step = hop(window)
    return event >= (at - window) // step * step


# --- random histories ------------------------------------------------------------------------------------------------


def random_instant(rng):
    """Instants that crowd on the edges of days, hours and minutes."""
    at = START + rng.choice([rng.randrange(20) * DAY, rng.randrange(480) * HOUR, rng.randrange(600) * MINUTE])
    return at + rng.choice([0, 0, 1, -1, 30 * SECOND, rng.randrange(HOUR)])


def random_number(rng):
    return rng.choice([
        0.1, 0.2, 0.3, 1e16, -1e16, 1.0, -0.0, 1e-300, 5e-324, round(rng.uniform(0, 500), 2), rng.gauss(0, 1e6), rng.random(),
    ])  # fmt: skip


def random_history(rng, number):
    """Rows and decisions of one history. Some rows are sent twice."""
    rows = []
    for i in range(rng.randrange(1, 25)):
        t = random_instant(rng) if not rows or rng.random() < 0.8 else rng.choice(rows)["t"]
        delay = rng.choice([0, 0, 0, 1, rng.randrange(HOUR), rng.randrange(10 * DAY), -rng.randrange(DAY)])
        maybe = lambda value: None if rng.random() < 0.1 else value
        rows.append({
            "id": f"{number}-{i}",
            "history": None if rng.random() < 0.03 else number,
            "card": None if rng.random() < 0.05 else rng.choice("aab"),
            "t": t,
            "known": t + delay,
            "x": maybe(random_number(rng)),
            "n": maybe(rng.choice([rng.randrange(-9, 9), rng.randrange(-(2**40), 2**40)])),
            "s": maybe(rng.choice(["", "a", "b", "ä", "ab"])),
        })  # fmt: skip
    asks = []
    for i in range(rng.randrange(1, 10)):
        near = rng.choice(rows)
        edge = rng.choice([0, 1, -1, LAG, LAG + 1]) + rng.choice([0, *WINDOWS.values()])
        t = rng.choice([random_instant(rng), near["t"] + edge, near["known"] + edge])
        card = None if rng.random() < 0.05 else rng.choice("aabc")
        asks.append({"id": f"{number}-ask-{i}", "history": number, "card": card, "t": t})
    outcomes = []
    for i, asked in enumerate([*rows, *asks]):
        if rng.random() < 0.5:
            t = asked["t"] + rng.randrange(30 * DAY)
            outcomes.append({"id": asked["id"], "t": t, "known": t + rng.randrange(5 * DAY), "y": float(i)})
    return rows, asks, outcomes


@dataclass(frozen=True)
class Feature:
    """`window` is a time to live where there is no `edge`; `where` is one of `CONDITIONS`."""

    kind: str
    column: str
    window: str | None
    edge: str | None = None
    where: str | None = None
    more: str | None = None


def random_features(rng):
    """Every kind over a short and a long window with either edge, some under a condition."""
    features = {"card_x": Feature("latest", "x", None), "card_s": Feature("latest", "s", "2d")}
    features |= {"age": Feature("time_since", "*", None), "age_3h": Feature("time_since", "*", "3h")}
    features |= {"first_age": Feature("time_since_first", "*", None)}
    for name, where in {"few": "n < 3", "named": "s = 'a'"}.items():
        features[f"card_x_{name}"] = Feature("latest", "x", "2d", where=where)
        features[f"age_{name}"] = Feature("time_since", "*", None, where=where)
    for edge in ("exact", "sawtooth"):
        for window in (rng.choice(SHORT), rng.choice(LONG)):
            where = rng.choice(list(CONDITIONS))
            features[f"rows_rate_{edge}_{window}"] = Feature("rate", "*", window, edge, where, "1h")
            features[f"x_rate_{edge}_{window}"] = Feature("rate", "x", window, edge, None, "1h")
            features[f"share_{edge}_{window}"] = Feature("share", "*", window, edge, where)
    for kind in ("count", "sum", "mean", "max"):
        features[f"{kind}_n_ever"] = Feature(kind, "n", "lifetime")
    for kind, columns in KINDS.items():
        for column in columns:
            for edge in ("exact", "sawtooth"):
                for window in (rng.choice(SHORT), rng.choice(LONG)):
                    name = f"{kind}_{'rows' if column == '*' else column}_{edge}_{window}"
                    where = rng.choice([None, None, *CONDITIONS])
                    features[name] = Feature(kind, column, window, edge, where)
    return features


# --- the project -----------------------------------------------------------------------------------------------------


def declare(folder, features, tables, rng):
    (folder / "seawall.yaml").write_text("kind: project\nname: histories\n")
    for name, columns in COLUMNS.items():
        required = ", required: true"
        lines = [f"      - {{name: {c}, logicalType: {t}{required if c == 't' else ''}}}" for c, t in columns.items()]
        (folder / f"{name}.odcs.yaml").write_text(CONTRACT.format(name=name, properties="\n".join(lines)))
        available = "known" if "known" in columns else "t"
        (folder / f"{name}.yaml").write_text(SOURCE.format(name=name, available=available))
        sent = list(tables[name])
        sent += [row for row in sent if name == "events" and rng.random() < 0.05]
        rng.shuffle(sent)
        with open(folder / f"{name}.ndjson", "w") as file:
            for row in sent:
                told = {c: text_of(v) if columns.get(c) == "timestamp" else v for c, v in row.items()}
                file.write(json.dumps(told) + "\n")
    lines = ["kind: feature_view", "name: card", "entity: [history, card]", "from: events", "time: t", "features:"]
    lines += [f"  {name}: {declaration(feature)}" for name, feature in features.items()]
    (folder / "card.yaml").write_text("\n".join(lines) + "\n")
    (folder / "sets.yaml").write_text(SETS.format(lag=LAG // SECOND, final=FINAL_AFTER // DAY))


def declaration(feature):
    """A feature as the project says it."""
    part = {"count": feature.column} if feature.kind == "share" else {feature.kind: feature.column}
    if feature.where:
        part["where"] = feature.where
    told = {"ratio": part, "to": {"count": "*"}} if feature.kind == "share" else part
    if feature.window:
        told["window" if feature.edge or feature.window == "lifetime" else "ttl"] = feature.window
    if feature.edge:
        told["edge"] = feature.edge
    if feature.more:
        told["per"] = feature.more
    # JSON is YAML.
    return json.dumps(told)


def run(binary, folder, *words):
    line = [binary, "-C", folder, "--data-dir", folder / "data", *words, "--output", "json"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"seawall {' '.join(map(str, words))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def query(binary, folder, sql):
    return run(binary, folder, "query", sql, "--rows-max", "10000000")["rows"]


# --- the rule --------------------------------------------------------------------------------------------------------


def visible(rows, key, at, known, own):
    """The entity's rows that the decision may see, in the total order."""
    if None in key:
        return []
    seen = []
    for row in rows:
        of_entity = (row["history"], row["card"]) == key
        if of_entity and row["t"] <= at and row["known"] < known and row["id"] != own:
            seen.append(row)
    return sorted(seen, key=lambda row: (row["t"], row["known"], row["place"]))


def value(feature, rows, at):
    """A feature's value; `rows` is what the decision may see."""
    kind, column, window, edge = feature.kind, feature.column, feature.window, feature.edge
    everything = window in (None, "lifetime")
    inside = rows if everything else [r for r in rows if begins_inside(r["t"], at, WINDOWS[window], edge or "exact")]
    passing = [row for row in rows if feature.where is None or CONDITIONS[feature.where](row)]
    counted = [row for row in inside if row in passing]
    if kind in ("latest", "time_since", "time_since_first"):
        # The newest row of all that pass, if it is young enough.
        newest = passing[0 if kind == "time_since_first" else -1] if passing else None
        if newest is None or newest not in inside:
            return None
        return newest[column] if kind == "latest" else (at - newest["t"]) / 1e6
    values = [row for row in counted] if column == "*" else [row[column] for row in counted if row[column] is not None]
    if kind == "count":
        return len(values)
    if kind == "share":
        return float(Fraction(len(values), len(inside))) if inside else None
    if kind == "rate" and column == "*":
        return float(Fraction(len(values) * HOUR, length(at, WINDOWS[window], edge)))
    if not values:
        return None
    if kind == "rate":
        return float(exact_sum(values) * HOUR / length(at, WINDOWS[window], edge))
    if kind == "sum":
        return math.fsum(values) if column == "x" else sum(values)
    if kind == "mean":
        return float(exact_sum(values) / len(values))
    if kind in ("variance", "stddev"):
        found = variance(values)
        return math.sqrt(found) if kind == "stddev" and found is not None else found
    return {"min": min, "max": max, "first": lambda v: v[0], "last": lambda v: v[-1]}[kind](values)


def length(at, window, edge):
    """How long a window really is, from its beginning to the decision."""
    return window if edge == "exact" else at - (at - window) // hop(window) * hop(window)


def exact_sum(values):
    return sum(map(Fraction, values), Fraction(0))


def variance(values):
    count = len(values)
    if count < 2:
        return None
    mean = exact_sum(values) / count
    return float(sum((Fraction(v) - mean) ** 2 for v in values) / (count - 1))


def first_outcome(outcomes, name):
    known = [row for row in outcomes.get(name, []) if row["known"] < BUILT_AT]
    return min(known, key=lambda row: (row["known"], row["place"])) if known else None


def expected(spine, rows_of, outcomes, features, lag, excludes_itself, label):
    """The training set, row by row, as plain values."""
    for decision in spine:
        at, key = decision["t"], (decision["history"], decision["card"])
        own = decision["id"] if excludes_itself else None
        rows = visible(rows_of.get(decision["history"], []), key, at, at - lag, own)
        out = {"id": decision["id"], "_at": at}
        for name, feature in features.items():
            out[f"card__{name}"] = None if None in key else value(feature, rows, at)
        found = first_outcome(outcomes, decision["id"])
        if label == "value":
            out["label"] = found and found["y"]
        else:
            out["label"] = found is not None if at + FINAL_AFTER <= BUILT_AT else None
        yield out


# --- comparing -------------------------------------------------------------------------------------------------------


def same(a, b):
    """Equal to the bit; null only equals null. JSON tells whole floats like integers."""
    if isinstance(a, float) and isinstance(b, (int, float)) and not isinstance(b, bool):
        # Zero has one sign in every value of a feature.
        return struct.pack("<d", a + 0.0) == struct.pack("<d", float(b) + 0.0)
    return type(a) is type(b) and a == b


def compare(name, wanted, found):
    """Prints a line per column; how many values differ."""
    wanted = sorted(wanted, key=lambda row: (row["_at"], row["id"]))
    for row in found:
        row["_at"] = instant_of(row["_at"])
    order = [(row["_at"], row["id"]) for row in wanted]
    if order != [(row["_at"], row["id"]) for row in found]:
        print(f"{name}: {len(found)} rows, {len(wanted)} expected, or another order")
        return 1
    differing = 0
    for column in wanted[0]:
        wrong = [i for i, row in enumerate(wanted) if not same(row[column], found[i].get(column))]
        present = sum(row[column] is not None for row in wanted)
        told = f"{name}.{column:<28} compared {len(wanted):>6}, of which {present:>6} present, differing {len(wrong):>5}"
        if wrong:
            i = wrong[0]
            told += f"  {wanted[i]['id']}: expected {wanted[i][column]!r}, found {found[i].get(column)!r}"
        print(told)
        differing += len(wrong)
    return differing


def check(binary, histories, seed):
    began, rng = time.monotonic(), random.Random(seed)
    features = random_features(rng)
    tables = {"events": [], "asks": [], "outcomes": []}
    for number in range(histories):
        for table, rows in zip(tables.values(), random_history(rng, number)):
            table.extend(rows)
    with tempfile.TemporaryDirectory(prefix="seawall-histories-") as folder:
        folder = Path(folder)
        declare(folder, features, tables, rng)
        run(binary, folder, "apply")
        run(binary, folder, "run")
        for name in ("events", "outcomes"):
            places = query(binary, folder, f"select id, _partition, _lsn from {name}")
            assert len(places) == len(tables[name]), f"{name} has {len(places)} rows, not {len(tables[name])}"
            place = {row["id"]: (row["_partition"], row["_lsn"]) for row in places}
            tables[name] = [row | {"place": place[row["id"]]} for row in tables[name]]
        built = {}
        for name in ("asked", "itself"):
            run(binary, folder, "training-set", "build", name, "--at", text_of(BUILT_AT))
            built[name] = query(binary, folder, f"select * from {name}__training_set order by _at, id")
    rows_of, outcomes = {}, {}
    for row in tables["events"]:
        rows_of.setdefault(row["history"], []).append(row)
    for row in tables["outcomes"]:
        outcomes.setdefault(row["id"], []).append(row)
    asked = expected(tables["asks"], rows_of, outcomes, features, LAG, False, "value")
    itself = expected(tables["events"], rows_of, outcomes, features, 0, True, "present")
    differing = compare("asked", list(asked), built["asked"]) + compare("itself", list(itself), built["itself"])
    print(f"{differing} differences in {histories} histories, seed {seed}; {time.monotonic() - began:.0f} s")
    return 1 if differing else 0


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    built = os.environ.get("SEAWALL_BINARY") or target / "debug" / "seawall"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--histories", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default 1)")
    parser.add_argument("--binary", type=Path, default=Path(built), help="the seawall binary")
    settings = parser.parse_args()
    return check(settings.binary.resolve(), settings.histories, settings.seed)


if __name__ == "__main__":
    sys.exit(main())
