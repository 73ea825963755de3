#!/usr/bin/env python3
"""A contract over a Parquet file: Seawall's gate with the reasons of every row against data-quality tools.

Usage: gate.py [--rows N] [--columns N] [--rounds N] [--binary PATH] [--only SIDE,...] [--scaling] [--json]

1,000,000 rows x 10 columns, 12 rules, among them a regular expression, uniqueness and a composite key; about 0.1 % of
the rows break each rule, and no row breaks two. First every side's counts must equal Seawall's; only then is it timed.
Start-up and imports are outside of every time, the file is in the page cache, the median of 7 runs counts. Peak memory
is what a side's process held at most during its runs: all of it for Seawall, what it grew by after its imports for the
others. Each peer runs in a process of its own, in its own virtual environment; one that cannot be installed is reported
and left out, never silently.

`--scaling` also judges NDJSON of 10 and 100 columns and 1, 4 and 16 times the rows, and prints the log-log slope of
the cost. `--json` prints `equal`, `ratios.rows_1m.{wall_over_best,peak_over_best}` (best: the fastest side that tells
the reasons of rows) and every side's numbers. Exits with 1 when counts differ.
"""

import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import frame

ROUNDS = 7
CURRENCIES = ["EUR", "USD", "GBP", "CHF", "JPY"]
STATUSES = ["new", "paid", "shipped", "returned"]
EMAIL = r"^[a-z0-9.]+@[a-z]+\.[a-z]{2,4}$"
CONTRACT = f"""\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
schema:
  - name: orders
    properties:
      - {{name: id, logicalType: integer, required: true, unique: true}}
      - {{name: customer, logicalType: string, required: true}}
      - {{name: amount, logicalType: number, logicalTypeOptions: {{minimum: 0, maximum: 50000}}}}
      - {{name: currency, logicalType: string, enum: [{", ".join(f"{{value: {c}}}" for c in CURRENCIES)}]}}
      - {{name: email, logicalType: string, logicalTypeOptions: {{pattern: '{EMAIL}'}}}}
      - {{name: status, logicalType: string, enum: [{", ".join(f"{{value: {s}}}" for s in STATUSES)}]}}
      - {{name: country, logicalType: string, logicalTypeOptions: {{maxLength: 2}}}}
      - {{name: quantity, logicalType: integer, logicalTypeOptions: {{minimum: 1}}}}
      - {{name: created, logicalType: timestamp, required: true}}
      - {{name: note, logicalType: string}}
    quality:
      - {{metric: duplicateValues, mustBe: 0, arguments: {{properties: [customer, created]}}}}
"""
# Each rule with the name of the kernel's rule and column.
RULES = {
    "id_null": ("required", "id"),
    "id_unique": ("unique", "id"),
    "customer_null": ("required", "customer"),
    "amount_min": ("minimum", "amount"),
    "amount_max": ("maximum", "amount"),
    "currency": ("enum", "currency"),
    "email": ("pattern", "email"),
    "status": ("enum", "status"),
    "country": ("maxLength", "country"),
    "quantity": ("minimum", "quantity"),
    "created_null": ("required", "created"),
    "composite": ("duplicateValues", None),
}


def make_rows(rows, path):
    """Writes the file. Rows are dealt out so that each breaks one rule at most, and the first of a pair none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(7)
    names = list(RULES)
    bad = rng.choice(np.arange(1000, rows), size=len(names) * (rows // 1000), replace=False)
    of_rule = dict(zip(names, np.array_split(bad, len(names))))
    ids = np.arange(rows, dtype=np.int64)
    customer = np.char.add("c", (ids % 97_003).astype(str)).astype(object)
    amount = np.round(rng.uniform(0, 5000, rows), 2)
    currency = np.array(CURRENCIES, dtype=object)[rng.integers(0, 5, rows)]
    email = np.char.add(np.char.add("user", ids.astype(str)), "@example.org").astype(object)
    status = np.array(STATUSES, dtype=object)[rng.integers(0, 4, rows)]
    country = np.array(["DE", "FR", "US", "JP"], dtype=object)[rng.integers(0, 4, rows)]
    quantity = rng.integers(1, 50, rows)
    created = (1_700_000_000_000_000 + ids * 1_000_000).astype(object)
    note = np.where(rng.random(rows) < 0.5, None, "a note that somebody wrote").astype(object)
    id_values = ids.astype(object)
    id_values[of_rule["id_null"]] = None
    id_values[of_rule["id_unique"]] = np.arange(len(of_rule["id_unique"]))
    customer[of_rule["customer_null"]] = None
    amount[of_rule["amount_min"]] = -1.5
    amount[of_rule["amount_max"]] = 70_000.0
    currency[of_rule["currency"]] = "XXX"
    email[of_rule["email"]] = "not an address"
    status[of_rule["status"]] = "lost"
    country[of_rule["country"]] = "DEU"
    quantity[of_rule["quantity"]] = 0
    created[of_rule["created_null"]] = None
    twins = np.arange(len(of_rule["composite"]))
    customer[of_rule["composite"]] = customer[twins]
    created[of_rule["composite"]] = created[twins]
    table = pa.table({
        "id": pa.array(list(id_values), pa.int64()),
        "customer": pa.array(list(customer), pa.string()),
        "amount": pa.array(amount, pa.float64()),
        "currency": pa.array(list(currency), pa.string()),
        "email": pa.array(list(email), pa.string()),
        "status": pa.array(list(status), pa.string()),
        "country": pa.array(list(country), pa.string()),
        "quantity": pa.array(quantity, pa.int64()),
        "created": pa.array(list(created), pa.timestamp("us", tz="UTC")),
        "note": pa.array(list(note), pa.string()),
    })
    pq.write_table(table, path, row_group_size=131_072, compression="zstd")


# --- peers: each returns a function that judges the file once and gives offending rows by rule


def polars_masks(pl, data):
    """Hand-written: one boolean column per rule, from which the reasons of each row can be read."""
    key = ["customer", "created"]
    return data.with_columns(
        pl.col("id").is_null().alias("id_null"),
        (pl.col("id").is_not_null() & ~pl.col("id").is_first_distinct()).alias("id_unique"),
        pl.col("customer").is_null().alias("customer_null"),
        (pl.col("amount") < 0).fill_null(False).alias("amount_min"),
        (pl.col("amount") > 50_000).fill_null(False).alias("amount_max"),
        (~pl.col("currency").is_in(CURRENCIES)).fill_null(False).alias("currency_bad"),
        (~pl.col("email").str.contains(EMAIL)).fill_null(False).alias("email_bad"),
        (~pl.col("status").is_in(STATUSES)).fill_null(False).alias("status_bad"),
        (pl.col("country").str.len_chars() > 2).fill_null(False).alias("country_bad"),
        (pl.col("quantity") < 1).fill_null(False).alias("quantity_bad"),
        pl.col("created").is_null().alias("created_null"),
        (pl.col("customer").is_not_null() & pl.col("created").is_not_null() & ~pl.struct(key).is_first_distinct())
        .alias("composite"),
    )


def renamed(name):
    return name.removesuffix("_bad")


def polars_side(path):
    import polars as pl

    columns = [n if n in ("id_null", "id_unique", "customer_null", "amount_min", "amount_max", "created_null",
                          "composite") else f"{n}_bad" for n in RULES]

    def run():
        judged = polars_masks(pl, pl.scan_parquet(path)).collect()
        bad = judged.filter(pl.any_horizontal(columns))
        counts = bad.select(pl.col(columns).sum()).row(0)
        return {renamed(name): count for name, count in zip(columns, counts)}

    return run


def duckdb_side(path):
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads to 2")
    currencies = ", ".join(f"'{c}'" for c in CURRENCIES)
    statuses = ", ".join(f"'{s}'" for s in STATUSES)
    sql = f"""
        select count(*) filter (id is null), count(id) - count(distinct id), count(*) filter (customer is null),
          count(*) filter (amount < 0), count(*) filter (amount > 50000), count(*) filter (currency not in ({currencies})),
          count(*) filter (not regexp_matches(email, '{EMAIL}')), count(*) filter (status not in ({statuses})),
          count(*) filter (length(country) > 2), count(*) filter (quantity < 1), count(*) filter (created is null),
          count(*) filter (customer is not null and created is not null)
            - count(distinct (customer, created)) filter (customer is not null and created is not null)
        from read_parquet('{path}')"""
    return lambda: dict(zip(RULES, connection.execute(sql).fetchone()))


def dataframely_side(path):
    import dataframely as dy
    import polars as pl

    class Orders(dy.Schema):
        id = dy.Int64(nullable=False)
        customer = dy.String(nullable=False)
        amount = dy.Float64(nullable=True, min=0, max=50_000)
        currency = dy.String(nullable=True)
        email = dy.String(nullable=True, regex=EMAIL)
        status = dy.String(nullable=True)
        country = dy.String(nullable=True, max_length=2)
        quantity = dy.Int64(nullable=True, min=1)
        created = dy.Datetime(nullable=False, time_zone="UTC", time_unit="us")
        note = dy.String(nullable=True)

        @dy.rule()
        def currency_known(cls) -> pl.Expr:
            return pl.col("currency").is_in(CURRENCIES)

        @dy.rule()
        def status_known(cls) -> pl.Expr:
            return pl.col("status").is_in(STATUSES)

        @dy.rule()
        def id_unique(cls) -> pl.Expr:
            return pl.col("id").is_null() | pl.col("id").is_first_distinct()

        @dy.rule()
        def composite(cls) -> pl.Expr:
            key = pl.struct(["customer", "created"])
            return pl.col("customer").is_null() | pl.col("created").is_null() | key.is_first_distinct()

    names = {"id|nullability": "id_null", "id_unique": "id_unique", "customer|nullability": "customer_null",
             "amount|min": "amount_min", "amount|max": "amount_max", "currency_known": "currency",
             "email|regex": "email", "status_known": "status", "country|max_length": "country",
             "quantity|min": "quantity", "created|nullability": "created_null", "composite": "composite"}

    def run():
        _, failure = Orders.filter(pl.read_parquet(path))
        counts = failure.counts()
        return {short: counts.get(long, 0) for long, short in names.items()}

    return run


def pandera_side(path):
    import pandera.polars as pa
    import polars as pl

    def unique(columns):
        def check(data):
            key = pl.struct(columns)
            missing = pl.any_horizontal(pl.col(columns).is_null())
            return data.lazyframe.select(missing | key.is_first_distinct())
        return check

    schema = pa.DataFrameSchema(
        {
            "id": pa.Column(pl.Int64, nullable=False),
            "customer": pa.Column(pl.String, nullable=False),
            "amount": pa.Column(pl.Float64, [pa.Check.ge(0), pa.Check.le(50_000)], nullable=True),
            "currency": pa.Column(pl.String, pa.Check.isin(CURRENCIES), nullable=True),
            "email": pa.Column(pl.String, pa.Check.str_matches(EMAIL), nullable=True),
            "status": pa.Column(pl.String, pa.Check.isin(STATUSES), nullable=True),
            "country": pa.Column(pl.String, pa.Check.str_length(max_value=2), nullable=True),
            "quantity": pa.Column(pl.Int64, pa.Check.ge(1), nullable=True),
            "created": pa.Column(pl.Datetime("us", "UTC"), nullable=False),
            "note": pa.Column(pl.String, nullable=True),
        },
        checks=[pa.Check(unique(["id"]), name="id_unique"), pa.Check(unique(["customer", "created"]), name="composite")],
    )
    names = {("id", "not_nullable"): "id_null", ("customer", "not_nullable"): "customer_null",
             ("created", "not_nullable"): "created_null", ("amount", "greater_than_or_equal_to(0)"): "amount_min",
             ("amount", "less_than_or_equal_to(50000)"): "amount_max"}

    def run():
        counts = dict.fromkeys(RULES, 0)
        try:
            schema.validate(pl.read_parquet(path), lazy=True)
        except pa.errors.SchemaErrors as errors:
            found = errors.failure_cases.group_by("column", "check").len()
            for column, check, count in found.iter_rows():
                short = names.get((column, check)) or (check if check in counts else column)
                counts[short] = counts.get(short, 0) + count
        return counts

    return run


def pointblank_side(path):
    import pointblank as pb
    import polars as pl

    def run():
        judged = (
            pb.Validate(pl.read_parquet(path))
            .col_vals_not_null("id")
            .col_vals_expr(expr=pl.col("id").is_null() | pl.col("id").is_first_distinct())
            .col_vals_not_null("customer")
            .col_vals_ge("amount", 0, na_pass=True)
            .col_vals_le("amount", 50_000, na_pass=True)
            .col_vals_in_set("currency", CURRENCIES)
            .col_vals_regex("email", EMAIL, na_pass=True)
            .col_vals_in_set("status", STATUSES)
            .col_vals_expr(expr=pl.col("country").str.len_chars() <= 2)
            .col_vals_ge("quantity", 1, na_pass=True)
            .col_vals_not_null("created")
            .col_vals_expr(expr=pl.col("customer").is_null() | pl.col("created").is_null()
                           | pl.struct(["customer", "created"]).is_first_distinct())
            .interrogate(collect_extracts=False)
        )
        judged.get_sundered_data(type="fail")
        return dict(zip(RULES, judged.n_failed().values()))

    return run


def great_expectations_side(path):
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("orders")
    definition = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name="orders"))
    e = gx.expectations
    expected = {
        "id_null": (e.ExpectColumnValuesToNotBeNull, {"column": "id"}),
        "customer_null": (e.ExpectColumnValuesToNotBeNull, {"column": "customer"}),
        "amount_min": (e.ExpectColumnValuesToBeBetween, {"column": "amount", "min_value": 0}),
        "amount_max": (e.ExpectColumnValuesToBeBetween, {"column": "amount", "max_value": 50_000}),
        "currency": (e.ExpectColumnValuesToBeInSet, {"column": "currency", "value_set": CURRENCIES}),
        "email": (e.ExpectColumnValuesToMatchRegex, {"column": "email", "regex": EMAIL}),
        "status": (e.ExpectColumnValuesToBeInSet, {"column": "status", "value_set": STATUSES}),
        "country": (e.ExpectColumnValueLengthsToBeBetween, {"column": "country", "max_value": 2}),
        "quantity": (e.ExpectColumnValuesToBeBetween, {"column": "quantity", "min_value": 1}),
        "created_null": (e.ExpectColumnValuesToNotBeNull, {"column": "created"}),
        "id_unique": (e.ExpectColumnValuesToBeUnique, {"column": "id"}),
        "composite": (e.ExpectCompoundColumnsToBeUnique,
                      {"column_list": ["customer", "created"], "ignore_row_if": "any_value_is_missing"}),
    }
    for rule, (expectation, arguments) in expected.items():
        suite.add_expectation(expectation(meta={"rule": rule}, **arguments))

    def run():
        batch = definition.get_batch({"dataframe": pd.read_parquet(path)})
        outcome = batch.validate(suite, result_format="COMPLETE")
        counts = {result.expectation_config.meta["rule"]: result.result["unexpected_count"]
                  for result in outcome.results}
        # Both rows of a pair are unexpected there.
        return {rule: counts[rule] // 2 if rule in ("id_unique", "composite") else counts[rule] for rule in RULES}

    return run


def datacontract_side(path):
    from datacontract.data_contract import DataContract

    contract = Path(path).with_name("datacontract.odcs.yaml")
    contract.write_text(CONTRACT.replace("schema:\n", f"servers: [{{server: local, type: local, path: {path}, format: "
                                                      "parquet}]\nschema:\n", 1))

    names = {("field_required", "id"): "id_null", ("field_unique", "id"): "id_unique",
             ("field_required", "customer"): "customer_null", ("field_minimum", "amount"): "amount_min",
             ("field_maximum", "amount"): "amount_max", ("field_enum", "currency"): "currency",
             ("field_regex", "email"): "email", ("field_enum", "status"): "status",
             ("field_max_length", "country"): "country", ("field_minimum", "quantity"): "quantity",
             ("field_required", "created"): "created_null", ("model_duplicate_values", None): "composite"}

    def run():
        outcome = DataContract(data_contract_file=str(contract)).test()
        counts = {names[check.type, check.field]: check.diagnostics["value"]
                  for check in outcome.checks if (check.type, check.field) in names}
        return {rule: counts[rule] for rule in RULES}

    return run


# Name: what makes its side, its packages, and whether it tells the reasons of each row.
PEERS = {
    "polars": (polars_side, ["polars"], True),
    "duckdb": (duckdb_side, ["duckdb"], False),
    "dataframely": (dataframely_side, ["dataframely", "polars"], True),
    "pandera": (pandera_side, ["pandera[polars]", "polars"], True),
    "pointblank": (pointblank_side, ["pointblank", "polars"], True),
    "great_expectations": (great_expectations_side, ["great_expectations", "pyarrow"], True),
    "datacontract": (datacontract_side, ["datacontract-cli[duckdb]"], False),
}


def run_peer(name, path, rounds):
    """Within the peer's own process: warms up, then prints counts, times and how far memory grew after the imports."""
    side = PEERS[name][0](path)
    before = memory_kib("VmRSS")
    counts = side()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        again = side()
        times.append((time.perf_counter() - began) * 1000)
        assert again == counts, "a run differs from the one before"
    print(json.dumps({"counts": counts, "ms": times, "peak_mb": max(0, memory_kib("VmHWM") - before) / 1024}))


def memory_kib(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peer(name, path, rounds):
    """A peer's answer, or why there is none."""
    venv = Path(os.environ.get("SEAWALL_GATE_VENVS") or Path.home() / ".cache" / "seawall" / "gate") / name
    python = venv / "bin" / "python"
    if not python.exists():
        print(f"installing {name} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[name][1]]
        if subprocess.run(install, stdout=sys.stderr).returncode != 0:
            return {"missing": "it could not be installed"}
    line = [python, "-B", __file__, "--side", name, "--data", path, "--rounds", str(rounds)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return {"missing": said[-1] if said else f"it ended with {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def seawall(binary, contract, path, rounds, rows_file=None):
    """Seawall's counts, times and peak, each run a process of its own."""
    times, peak, counts = [], 0, None
    for _ in range(rounds + 1):
        line = [binary, "contract", "test", contract, path, "--output", "json"]
        if rows_file:
            line += ["--rows", rows_file]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"seawall contract test ended with {process.returncode}: {told}")
        answer = json.loads(told)
        counts = {(r["rule"], r["column"]): r["offending"] for r in answer["rules"]}
        times.append(answer["took_ms"])
        peak = max(peak, usage.ru_maxrss / 1024)
    return {"counts": {n: counts.get(key, 0) for n, key in RULES.items()}, "ms": times[1:], "peak_mb": peak}


def compare(arguments, binary, folder):
    """Equal counts first, then times."""
    path, contract = folder / "orders.parquet", folder / "orders.odcs.yaml"
    contract.write_text(CONTRACT)
    # Made elsewhere: a process begins with the memory of the one that starts it, so this one stays small.
    subprocess.run([sys.executable, "-B", __file__, "--make", path, "--rows", str(arguments.rows)], check=True)
    sides = {"seawall": seawall(binary.path, contract, path, arguments.rounds, folder / "bad.ndjson")}
    own = sides["seawall"]["counts"]
    wanted = arguments.only.split(",") if arguments.only else list(PEERS)
    for name in wanted:
        sides[name] = peer(name, path, arguments.rounds)
        if "counts" in sides[name]:
            sides[name]["equal"] = sides[name]["counts"] == own
    timed = {name: statistics.median(side["ms"]) for name, side in sides.items() if "ms" in side}
    reasons = [name for name in timed if name != "seawall" and PEERS[name][2] and sides[name].get("equal")]
    best = min(reasons, key=timed.get, default=None)
    equal = all(side.get("equal", True) for side in sides.values())
    ratios = {}
    if best:
        ratios["rows_1m"] = {
            "best": best,
            "wall_over_best": timed["seawall"] / timed[best],
            "peak_over_best": sides["seawall"]["peak_mb"] / max(sides[best]["peak_mb"], 1e-9),
        }
    report = {"bench": "gate", "rows": arguments.rows, "profile": binary.profile, "equal": equal, "ratios": ratios}
    report["sides"] = {
        name: {"median_ms": timed.get(name), **{k: v for k, v in side.items() if k != "ms"}}
        for name, side in sides.items()
    }
    return report


def make_lines(rows, columns, path):
    """NDJSON of `columns` numbers and texts."""
    dice = random.Random(7)
    with open(path, "w") as out:
        for row in range(rows):
            cells = [f'"c{i}": {dice.randrange(1000)}' if i % 2 else f'"c{i}": "v{dice.randrange(1000)}"'
                     for i in range(columns)]
            out.write("{" + f'"id": {row}, ' + ", ".join(cells) + "}\n")


def scaling(binary, folder, rounds, rows):
    """The log-log slope of the time over the number of rows, for 10 and 100 columns."""
    slopes = {}
    for columns in (10, 100):
        properties = "".join(
            f"      - {{name: c{i}, logicalType: {'integer' if i % 2 else 'string'}}}\n" for i in range(columns))
        contract = folder / f"wide{columns}.odcs.yaml"
        head, _ = CONTRACT.split("    properties:\n")
        contract.write_text(f"{head}    properties:\n      - {{name: id, logicalType: integer, unique: true}}\n{properties}")
        points = []
        for factor in (1, 4, 16):
            path = folder / f"wide{columns}_{factor}.ndjson"
            make_lines(rows * factor * 10 // columns, columns, path)
            times = seawall(binary, contract, path, rounds)["ms"]
            points.append((math.log(factor), math.log(max(statistics.median(times), 0.5))))
            path.unlink()
        mean_x, mean_y = (statistics.mean(p[i] for p in points) for i in (0, 1))
        covariance = sum((x - mean_x) * (y - mean_y) for x, y in points)
        slopes[f"columns_{columns}"] = covariance / sum((x - mean_x) ** 2 for x, _ in points)
    return slopes


def print_report(report):
    print(f"{report['rows']:,} rows x 10 columns, 12 rules; profile {report['profile']}; equal: {report['equal']}")
    for name, side in report["sides"].items():
        if side.get("missing"):
            print(f"  {name:20} left out: {side['missing']}")
        else:
            equal = "" if side.get("equal", True) else f"  COUNTS DIFFER: {side['counts']}"
            print(f"  {name:20} {side['median_ms']:9.0f} ms {side['peak_mb']:8.0f} MB{equal}")
    for key, ratio in report["ratios"].items():
        print(f"  {key}: {ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--only", help="peers, separated by commas")
    parser.add_argument("--scaling", action="store_true", help="also the slope over NDJSON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return run_peer(arguments.side, arguments.data, arguments.rounds)
    frame.use_pinned_packages(__file__)
    if arguments.make:
        return make_rows(arguments.rows, arguments.make)
    binary = frame.find_binary(arguments.binary)
    with tempfile.TemporaryDirectory() as name:
        report = compare(arguments, binary, Path(name))
        if arguments.scaling:
            report["slopes"] = scaling(binary.path, Path(name), arguments.rounds, 20_000)
    if arguments.json:
        print(json.dumps(report))
    else:
        print_report(report)
    return 0 if report["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
