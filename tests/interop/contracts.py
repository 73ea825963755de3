#!/usr/bin/env python3
"""Random contracts and data: what `seawall contract test` counts against what datacontract-cli counts.

Usage: contracts.py [--pairs N] [--seed N] [--binary PATH]

Each pair is a contract of a few columns with rules whose meaning both share, and a Parquet file of values that often break
them. Contracts have `seawall.compat: datacontract-cli`. Every count and every verdict must be equal; the first pair that
differs is printed with its seed. Needs `pip install 'datacontract-cli[duckdb]==1.2.8' pyarrow` in the Python that runs it.
What the two do differently on purpose is listed in docs/guides/contracts.md and left out here. Exits with 1 on a difference.
"""

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datacontract.data_contract import DataContract

# Their check and our rule.
RULES = {
    "field_required": "required", "field_unique": "unique", "field_minimum": "minimum", "field_maximum": "maximum",
    "field_min_length": "minLength", "field_max_length": "maxLength", "field_regex": "pattern", "field_enum": "enum",
    "field_null_values": "nullValues", "field_missing_values": "missingValues",
    "field_invalid_values": "invalidValues", "field_duplicate_values": "duplicateValues", "row_count": "rowCount",
    "model_duplicate_values": "duplicateValues",
}
WORDS = ["a", "ab", "abc", "abcd", "b", "ba", "N/A", "", "é", "x y", "A1"]
PATTERNS = ["^a", "b$", "^[a-c]+$", "[0-9]", "^(ab|ba)$", "^.{2}$"]


def operator(dice, most):
    low = dice.randrange(0, most + 1)
    high = low + dice.randrange(1, most + 2)
    return dice.choice([
        {"mustBe": low}, {"mustNotBe": low}, {"mustBeGreaterThan": low}, {"mustBeGreaterOrEqualTo": low},
        {"mustBeLessThan": low + 1}, {"mustBeLessOrEqualTo": low}, {"mustBeBetween": [low, high]},
        {"mustNotBeBetween": [low, high]},
    ])


def quality(dice, kind):
    metric = dice.choice(["nullValues", "missingValues", "invalidValues", "duplicateValues"])
    rule = {"metric": metric, **operator(dice, 5)}
    if metric == "missingValues":
        rule["arguments"] = {"missingValues": [None, "N/A", ""] if kind == "string" else [None, 0]}
    if metric == "invalidValues":
        valid = dice.sample(WORDS, 4) if kind == "string" else dice.sample(range(-3, 9), 5)
        rule["arguments"] = {"validValues": valid}
        if kind == "string" and dice.random() < 0.3:
            rule["arguments"] = {"pattern": dice.choice(PATTERNS)}
    if metric != "duplicateValues" and dice.random() < 0.2:
        rule.update({"unit": "percent"})
    return rule


def column(dice, name):
    kind = dice.choice(["string", "integer", "number"])
    declared = {"name": name, "logicalType": kind,
                "customProperties": [{"property": "seawall.mode", "value": "warn"}]}
    if dice.random() < 0.4:
        declared["required"] = True
    if dice.random() < 0.3:
        declared["unique"] = True
    options = {}
    if kind == "string":
        if dice.random() < 0.4:
            options["minLength"] = dice.randrange(1, 4)
        if dice.random() < 0.4:
            options["maxLength"] = options.get("minLength", 1) + dice.randrange(0, 3)
        if dice.random() < 0.4:
            options["pattern"] = dice.choice(PATTERNS)
        if dice.random() < 0.3:
            declared["enum"] = [{"value": word} for word in dice.sample(WORDS, 5)]
        values = [None, None, *WORDS]
        arrow = pa.string()
    else:
        if dice.random() < 0.4:
            options["minimum"] = dice.randrange(-3, 3)
        if dice.random() < 0.4:
            options["maximum"] = dice.randrange(3, 9)
        whole = list(range(-5, 12))
        values = [None, None, *(whole if kind == "integer" else [n / 2 for n in whole])]
        arrow = pa.int64() if kind == "integer" else pa.float64()
    if options:
        declared["logicalTypeOptions"] = options
    if kind != "number" and dice.random() < 0.6:
        declared["quality"] = [quality(dice, kind)]
    return declared, values, arrow


def pair(seed, folder):
    """A contract and its data, as files."""
    dice = random.Random(seed)
    columns = [column(dice, f"c{i}") for i in range(dice.randrange(1, 5))]
    rows = dice.randrange(1, 60)
    data = {declared["name"]: pa.array([dice.choice(values) for _ in range(rows)], arrow)
            for declared, values, arrow in columns}
    path, contract = folder / "rows.parquet", folder / "pair.odcs.yaml"
    pq.write_table(pa.table(data), path)
    rules = []
    if dice.random() < 0.4:
        rules.append({"metric": "rowCount", **operator(dice, 60)})
    if len(columns) > 1 and dice.random() < 0.4:
        rules.append({"metric": "duplicateValues", **operator(dice, 5), "arguments": {"properties": ["c0", "c1"]}})
    declared = {
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "pair", "version": "1.0.0", "status": "active",
        "servers": [{"server": "here", "type": "local", "path": str(path), "format": "parquet"}],
        "schema": [{"name": "rows", "properties": [declared for declared, _, _ in columns], "quality": rules,
                    "customProperties": [{"property": "seawall.compat", "value": "datacontract-cli"}]}],
    }
    # JSON is YAML.
    contract.write_text(json.dumps(declared))
    return contract, path


def theirs(contract):
    """Count and verdict of each of their checks that we know."""
    told = {}
    for check in DataContract(data_contract_file=str(contract)).test().checks:
        if check.type in RULES:
            if check.diagnostics is None:
                raise RuntimeError(f"they did not execute {check.name}: {check.reason}")
            told[RULES[check.type], check.field] = (check.diagnostics["value"], check.result.value == "passed")
    return told


def ours(binary, contract, path):
    done = subprocess.run([binary, "contract", "test", contract, path, "--output", "json"], capture_output=True, text=True)
    answer = json.loads(done.stdout)
    if "rules" not in answer:
        raise RuntimeError(f"seawall contract test: {done.stdout}")
    return {(rule["rule"], rule["column"]): (rule["offending"], rule["holds"], rule["value"]) for rule in answer["rules"]}


def equal(rule, their, our):
    """Whether count and verdict are equal; of a percentage, ours counts the rows and they tell the share."""
    (value, passed), (offending, holds, share) = their, our
    if rule == "unique" or (rule == "duplicateValues" and share is None):
        # They count values that occur more than once; where none may, we count the rows that have to go.
        return passed == holds and (offending >= value if value else offending == 0)
    count = offending if share is None or abs(value - offending) < 1e-9 else share
    return passed == holds and abs(value - count) < 0.01


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=os.environ.get("SEAWALL_BINARY", "target/debug/seawall"))
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    compared = 0
    with tempfile.TemporaryDirectory() as name:
        for seed in range(arguments.seed, arguments.seed + arguments.pairs):
            contract, path = pair(seed, Path(name))
            their, our = theirs(contract), ours(arguments.binary, contract, path)
            for key, told in their.items():
                if key not in our or not equal(key[0], told, our[key]):
                    print(f"seed {seed}: {key}: they tell {told}, we tell {our.get(key)}\n{contract.read_text()}\n"
                          f"{pq.read_table(path).to_pylist()}")
                    return 1
            compared += len(their)
    print(f"{arguments.pairs} contracts, {compared} checks: equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
