#!/usr/bin/env python3
"""Training sets: values as they were known at each decision, against as-of joins and window queries of Seawall's peers.

Usage: pit.py [--cases NAME ..] [--quick] [--no-feast] [--large N] [--rounds N] [--binary PATH] [--json]

- latest_20k, latest_200k: 20,000 (200,000) decisions, three views of ten integers over 200,000 (2,000,000) rows each.
- latest_deep: 100,000 decisions over 2,000,000 rows, a thousand of them per entity. `feast get_historical_features`
  (its DuckDB store) answers the same beside the others, once, because it takes minutes.
- windowed: ten exact windowed aggregates over 10,000,000 events at 1,000,000 decisions.
- slope: the same at a quarter, a sixteenth and a sixty-fourth of the size, which gives the slope of the cost.
- large (only with --large N): the same ten aggregates over N million events at a tenth as many decisions, with the greatest
  memory of the server; the values of a thousandth of the entities are compared with DuckDB's.

Every value must be known: rows that happen at the decision's own instant are not known yet, and values are younger than
seven days. Amounts are integers, so that sums are exact on every side. All sides read the same Parquet files, those that
Seawall wrote as its tables; the sides named `_memory` have parsed them before.

Values must be equal to the bit, and missing in the same places, before anything is timed; exits with 1 when not.
`ratios` has Seawall's time divided by that of the best peer that also reads its files (`latest_over_best`), the same
against peers in memory, and for Feast and for windows the peer's time divided by Seawall's.

Settings: SEAWALL_FEAST_OFFLINE_VENV (default ~/.cache/seawall/feast-offline-venv), and those of frame.py.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import frame

NAME = "pit"
FEAST_REQUIREMENTS = frame.ROOT / "bench" / "requirements-feast-offline.txt"
DAY = 86_400_000_000
TTL_DAYS = 7
# The history covers so many days from 2026-01-01 on, and decisions are made in its second half.
DAYS = 60
START = 1_767_225_600_000_000
VALUES = [f"f{i}" for i in range(10)]
FILE_ROWS = 10_000_000
# How many times smaller every case is with --quick.
QUICK = 20


@dataclass
class Case:
    """A shape: how many decisions, rows per view, entities and views."""

    name: str
    decisions: int
    rows: int
    entities: int
    views: int = 1

    def smaller(self, times):
        entities = max(self.entities // times, 1)
        return Case(self.name, self.decisions // times, self.rows // times, entities, self.views)


LATEST = [
    Case("latest_20k", 20_000, 200_000, 2_000, 3),
    Case("latest_200k", 200_000, 2_000_000, 20_000, 3),
    Case("latest_deep", 100_000, 2_000_000, 2_000, 1),
]
WINDOWED = Case("windowed", 1_000_000, 10_000_000, 100_000)
SLOPE = "slope"
SLOPE_TIMES = [64, 16, 4]

# Name of the aggregate, days of its window, and how the peers say it.
AGGREGATES = [
    ("n_1d", "count", 1),
    ("sum_1d", "sum", 1),
    ("max_1d", "max", 1),
    ("n_7d", "count", 7),
    ("sum_7d", "sum", 7),
    ("mean_7d", "mean", 7),
    ("n_30d", "count", 30),
    ("sum_30d", "sum", 30),
    ("min_30d", "min", 30),
    ("max_30d", "max", 30),
]
WINDOWS = [1, 7, 30]

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: active
description: {{purpose: Rows of the benchmark.}}
schema:
  - name: {name}
    logicalType: object
    physicalType: table
    properties:
{properties}
    customProperties:
      - {{property: seawall.eventTime, value: t}}
"""
SOURCE = """\
kind: source
name: {name}
files: {{path: {path}, format: parquet}}
contract: {name}@1
available_at: t
history: true
"""
VIEW = """\
kind: feature_view
name: {name}
entity: [entity]
from: {source}
time: t
features:
{features}
"""
TRAINING_SET = """\
kind: training_set
name: {name}
rows: {{from: spine, at: t, own_row: exclude}}
features: [{views}]
"""


# --- inputs ----------------------------------------------------------------------------------------------------------


def times(rng, count, first_day, odd):
    """Distinct instants in order. Those of decisions are odd and those of events even, so that none coincide and nothing
    lies on the edge of a window, where the peers' rules differ."""
    import numpy as np

    step = (DAYS - first_day) * DAY / count
    at = (np.arange(count) * step + rng.random(count) * (step / 2)).astype(np.int64) // 2 * 2
    return START + first_day * DAY + at + (1 if odd else 0)


def write(path, columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(columns)
    columns["t"] = pa.array(columns["t"], pa.int64()).cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), path, row_group_size=131_072, compression="zstd")


def make_inputs(case, values, folder):
    """The Parquet files of a case: `spine`, and `events0` and so on, of which each is the history of one view, in files of
    ten million rows at most."""
    import numpy as np

    rng = np.random.default_rng(7)
    for view in range(case.views):
        at = times(rng, case.rows, 0, odd=False)
        parts = folder / f"events{view}"
        parts.mkdir()
        for part in range(0, case.rows, FILE_ROWS):
            columns = {"t": at[part : part + FILE_ROWS]}
            count = len(columns["t"])
            columns["entity"] = rng.integers(0, case.entities, count)
            columns |= {name: rng.integers(0, 1_000_000, count) for name in values}
            write(parts / f"{part}.parquet", columns)
    at = times(rng, case.decisions, DAYS // 2, odd=True)
    spine = {"id": np.arange(case.decisions), "entity": rng.integers(0, case.entities, case.decisions), "t": at}
    (folder / "spine").mkdir()
    write(folder / "spine" / "0.parquet", spine)


def declare(project, name, properties):
    lines = []
    for column, rest in properties.items():
        lines.append(f"      - {{name: {column}, {rest}}}")
    (project / f"{name}.odcs.yaml").write_text(CONTRACT.format(name=name, properties="\n".join(lines)))
    path = json.dumps(str(project.resolve() / name / "*.parquet"))
    (project / f"{name}.yaml").write_text(SOURCE.format(name=name, path=path))


def make_project(case, values, features, project):
    """A project with the inputs as sources, one view per history, and the training set."""
    make_inputs(case, values, project)
    (project / "seawall.yaml").write_text("kind: project\nname: pit\n")
    integer, instant = "logicalType: integer, required: true", "logicalType: timestamp, required: true"
    declare(project, "spine", {"id": f"{integer}, primaryKey: true", "entity": integer, "t": instant})
    for view in range(case.views):
        name = f"events{view}"
        declare(project, name, {"entity": integer, "t": instant} | {value: integer for value in values})
        text = VIEW.format(name=f"v{view}", source=name, features="\n".join(f"  {line}" for line in features))
        (project / f"v{view}.yaml").write_text(text)
    views = ", ".join(f"v{view}@1" for view in range(case.views))
    (project / "set.yaml").write_text(TRAINING_SET.format(name="set", views=views))


def files_of(data, name):
    """The files of the newest version of a table."""
    from deltalake import DeltaTable

    return [uri.removeprefix("file://") for uri in DeltaTable(str(data / "tables" / name)).file_uris()]


# --- Seawall ---------------------------------------------------------------------------------------------------------


def seawall_side(client, process, data, columns):
    def run():
        cpu = frame.cpu_ms(process)
        built = client.training_set("set", rebuild=True)
        parts = {"cpu_ms": frame.cpu_ms(process) - cpu, "whole_build_ms": built.elapsed_ms}
        return frame.Run(built.engine_ms, built, parts)

    def table(built):
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = pa.concat_tables(pq.ParquetFile(file).read() for file in files_of(data, built.table))
        return normal(whole.rename_columns([{"_at": "t"}.get(name, name) for name in whole.column_names]), columns)

    includes = (
        "the engine reads its Delta tables from disk, orders the decisions, computes, and fingerprints the rows;"
        " whole_build_ms and cpu_ms add the durable commit of a table version and the record in the catalog"
    )
    return frame.Side("seawall", includes, run, table)


def normal(table, columns):
    """A result in the order of the decisions and in the types of the training set, which loses nothing or fails."""
    import pyarrow as pa

    types = {"t": pa.timestamp("us", "UTC")}
    of = lambda name: types.get(name, pa.float64() if "mean" in name else pa.int64())
    schema = pa.schema([(name, of(name)) for name in columns])
    return table.select(columns).cast(schema).sort_by([("t", "ascending"), ("id", "ascending")])


FILES = "reading the needed columns of the Parquet files, joining, the result in memory, ordered by time and key"
MEMORY = "the same on tables that were parsed before"


# --- newest values: polars and DuckDB --------------------------------------------------------------------------------


def latest_columns(case):
    return ["id", "t", *(f"v{view}__{value}" for view in range(case.views) for value in VALUES)]


def polars_latest(tables, case):
    import polars
    from datetime import timedelta

    joined = tables["spine"].lazy().sort("t", "id")
    for view in range(case.views):
        events = tables[f"events{view}"].lazy().sort("t").rename({value: f"v{view}__{value}" for value in VALUES})
        joined = joined.join_asof(
            events, on="t", by="entity", strategy="backward", tolerance=timedelta(days=TTL_DAYS),
            allow_exact_matches=False, check_sortedness=False,
        )  # fmt: skip
    return joined.select(polars.col(latest_columns(case))).collect()


def duckdb_latest(tables, case):
    """One as-of join per view; a value that is too old is taken away again."""
    joins, columns = [], []
    for view in range(case.views):
        joins.append(f"asof left join {tables[f'events{view}']} e{view} on s.entity = e{view}.entity and s.t > e{view}.t")
        fresh = f"epoch_us(e{view}.t) > epoch_us(s.t) - {TTL_DAYS * DAY}"
        columns += [f"case when {fresh} then e{view}.{value} end as v{view}__{value}" for value in VALUES]
    sql = f"select s.id, s.t, {', '.join(columns)} from {tables['spine']} s {' '.join(joins)} order by s.t, s.id"
    return sql


def peers_over(case, files, needed, columns, polars_plans, duckdb_plans):
    """Two sides per plan: over the files, and over tables in memory."""
    import duckdb
    import polars

    table = lambda result: normal(result, columns)
    read = lambda: {name: polars.read_parquet(files[name], columns=needed(name)) for name in files}
    sides, loaded = [], read()
    for name, plan in polars_plans.items():
        make = lambda plan, tables: lambda: frame.timed(lambda: plan(tables(), case))
        to_table = lambda result: table(result.to_arrow())
        sides.append(frame.Side(name, FILES, make(plan, read), to_table, "polars"))
        sides.append(frame.Side(f"{name}_memory", MEMORY, make(plan, lambda: loaded), to_table, "polars"))
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    scans = {name: f"read_parquet({files[name]!r})" for name in files}
    for name in files:
        connection.execute(f"create table {name} as select {', '.join(needed(name))} from {scans[name]}")
    for name, plan in duckdb_plans.items():
        run = lambda sql: lambda: frame.timed(lambda: connection.sql(sql).to_arrow_table())
        sides.append(frame.Side(name, FILES, run(plan(scans, case)), table, "duckdb"))
        sides.append(frame.Side(f"{name}_memory", MEMORY, run(plan({n: n for n in files}, case)), table, "duckdb"))
    return sides


# --- windows: polars and DuckDB --------------------------------------------------------------------------------------


def windowed_columns(_case=None):
    return ["id", "t", *(f"v0__{name}" for name, _, _ in AGGREGATES)]


def polars_rolling(tables, _case):
    """Events and decisions in one table, in order of entity and time; per window, a rolling aggregation over it."""
    import polars
    from polars import col

    spine = tables["spine"].lazy().select("entity", "t", "id", polars.lit(None, polars.Int64).alias("amount"))
    events = tables["events0"].lazy().select("entity", "t", polars.lit(None, polars.Int64).alias("id"), "amount")
    both = polars.concat([events, spine]).sort("entity", "t").collect()
    say = {
        "count": lambda: col("amount").count().cast(polars.Int64),
        "sum": lambda: polars.when(col("amount").count() > 0).then(col("amount").sum()),
        "mean": lambda: col("amount").mean(),
        "min": lambda: col("amount").min(),
        "max": lambda: col("amount").max(),
    }
    joined = both.select("id", "t")
    for days in WINDOWS:
        wanted = [say[kind]().alias(f"v0__{name}") for name, kind, window in AGGREGATES if window == days]
        period = f"{days * DAY - 1}us"
        rolled = both.rolling("t", period=period, closed="left", group_by="entity").agg(*wanted)
        joined = joined.hstack(rolled.drop("entity", "t"))
    return joined.filter(col("id").is_not_null()).sort("t", "id").select(windowed_columns())


def duckdb_range(tables, _case):
    """Events and decisions in one relation with frames by time."""
    columns = [duckdb_aggregate(kind, f"over w{days}", "amount") + f" as v0__{name}" for name, kind, days in AGGREGATES]
    frames = [
        f"w{days} as (partition by entity order by us range between {days * DAY - 1} preceding and 1 preceding)"
        for days in WINDOWS
    ]
    return f"""
        with both_sides as (
            select entity, epoch_us(t) as us, null::bigint as id, amount from {tables['events0']}
            union all
            select entity, epoch_us(t) as us, id, null::bigint as amount from {tables['spine']}
        ),
        computed as (select id, us, {', '.join(columns)} from both_sides window {', '.join(frames)})
        select id, make_timestamptz(us) as t, {', '.join(f'v0__{name}' for name, _, _ in AGGREGATES)}
        from computed where id is not null order by us, id"""


def duckdb_aggregate(kind, of, column):
    call = f"{'avg' if kind == 'mean' else kind}({column}) {of}"
    return f"({call})::bigint" if kind == "sum" else call


def duckdb_join(tables, _case):
    """Every decision with the events of the longest window, aggregated with a filter per window."""
    columns = []
    for name, kind, days in AGGREGATES:
        inside = f"filter (where epoch_us(e.t) > epoch_us(s.t) - {days * DAY})"
        columns.append(f"{duckdb_aggregate(kind, inside, 'e.amount')} as v0__{name}")
    longest = max(WINDOWS)
    return f"""
        select s.id, s.t, {', '.join(columns)}
        from {tables['spine']} s left join {tables['events0']} e
          on s.entity = e.entity and e.t < s.t and e.t > s.t - interval {longest} day
        group by s.id, s.t order by s.t, s.id"""


# --- Feast -----------------------------------------------------------------------------------------------------------


def feast_python():
    """The Python of an environment with Feast's packages, made when it does not exist; none where it cannot be."""
    venv = Path(os.environ.get("SEAWALL_FEAST_OFFLINE_VENV") or Path.home() / ".cache" / "seawall" / "feast-offline-venv")
    python, marker = venv / "bin" / "python", venv / "requirements.txt"
    if marker.is_file() and marker.read_text() == FEAST_REQUIREMENTS.read_text():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", FEAST_REQUIREMENTS]
        subprocess.run(install, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError):
        print("SKIPPED feast: its packages cannot be installed", file=sys.stderr)
        return None
    marker.write_text(FEAST_REQUIREMENTS.read_text())
    return python


def feast(project, folder, expected, case):
    """Feast's time for a case with one view, when its values are equal; none where it is missing."""
    import pyarrow.parquet as pq

    python = feast_python()
    if python is None:
        return None
    script, result = frame.ROOT / "bench" / "pit_feast.py", folder / "feast.parquet"
    line = [python, "-B", script, folder / "feast", project, str(TTL_DAYS), result]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"feast ended with {done.returncode}: {done.stderr[-2_000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    found = pq.read_table(result)
    found = found.rename_columns([{"event_timestamp": "t"}.get(name, name) for name in found.column_names])
    found = found.rename_columns([f"v0__{name}" if name in VALUES else name for name in found.column_names])
    told["differences"] = frame.differences(expected, normal(found, latest_columns(case)))
    return told


# --- all of them -----------------------------------------------------------------------------------------------------


def measure(case, values, features, columns, plans, settings, binary, with_feast=False):
    """The report of one case."""
    polars_plans, duckdb_plans = plans
    with tempfile.TemporaryDirectory(prefix="seawall-bench-") as folder:
        folder = Path(folder)
        project, data = folder / "project", folder / "data"
        project.mkdir()
        make_project(case, values, features, project)
        frame.command(binary, project, data, "apply")
        print(f"{case.name}: loading", file=sys.stderr)
        frame.command(binary, project, data, "run")
        names = ["spine", *(f"events{view}" for view in range(case.views))]
        files = {name: files_of(data, name) for name in names}
        needed = lambda name: ["id", "entity", "t"] if name == "spine" else ["entity", "t", *values]
        peers = peers_over(case, files, needed, columns, polars_plans, duckdb_plans)
        with frame.serving(binary, project, data) as (client, process):
            seawall = seawall_side(client, process, data, columns)
            report = frame.compare(case.name, seawall, peers, settings, binary)
            if with_feast and report["equal"]:
                told = feast(project, folder, seawall.table(client.training_set("set")), case)
                report["feast"] = told
                report["equal"] = not (told and told["differences"])
    return report


def large(events, settings, binary):
    """A history that is larger than the memory for it."""
    import duckdb

    case = Case("large", events // 10, events, max(events // 100, 1))
    with tempfile.TemporaryDirectory(prefix="seawall-bench-") as folder:
        project, data = Path(folder) / "project", Path(folder) / "data"
        project.mkdir()
        make_project(case, ["amount"], windowed_features(), project)
        frame.command(binary, project, data, "apply")
        print("large: loading", file=sys.stderr)
        frame.command(binary, project, data, "run")
        with frame.serving(binary, project, data) as (client, process):
            built = client.training_set("set", rebuild=True)
            status = Path(f"/proc/{process}/status").read_text()
        peak = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
        print("large: comparing", file=sys.stderr)
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'; set memory_limit = '4GB'")
        of_some = lambda name: f"(from read_parquet({files_of(data, name)!r}) where entity % 1000 = 0)"
        names = ["spine", "events0"]
        expected = connection.sql(duckdb_join({name: of_some(name) for name in names}, case)).to_arrow_table()
        columns = ", ".join(f'"{name}"' for name in windowed_columns() if name != "t")
        some = f"select {columns}, _at as t from read_parquet({files_of(data, built.table)!r}) semi join {of_some('spine')} using (id)"
        found = connection.sql(some).to_arrow_table()
        told = frame.differences(normal(found, windowed_columns()), normal(expected, windowed_columns()))
    report = {"events": case.rows, "rows": case.decisions, "compared": expected.num_rows, "differences": told}
    return report | {"equal": not told, "engine_ms": built.engine_ms, "whole_build_ms": built.elapsed_ms, "peak_mib": peak}


def best(report, in_memory):
    peers = report["peers"].items()
    return min(told["median_ms"] for name, told in peers if name.endswith("_memory") == in_memory)


def latest(case, settings, binary):
    features = [f"{value}: {{latest: {value}, ttl: {TTL_DAYS}d}}" for value in VALUES]
    plans = {"polars": polars_latest}, {"duckdb": duckdb_latest}
    with_feast = case.name == "latest_deep" and not settings.no_feast
    return measure(case, VALUES, features, latest_columns(case), plans, settings, binary, with_feast)


def windowed_features():
    features = []
    for name, kind, days in AGGREGATES:
        column = '"*"' if kind == "count" else "amount"
        features.append(f"{name}: {{{kind}: {column}, window: {days}d, edge: exact}}")
    return features


def windowed(case, settings, binary, plans):
    return measure(case, ["amount"], windowed_features(), windowed_columns(), plans, settings, binary)


def ratios(cases):
    told = {}
    for name, report in cases.items():
        if not report["equal"] or not report.get("peers"):
            continue
        own = report["seawall"]["median_ms"]
        if name.startswith("latest"):
            told.setdefault("latest_over_best", {})[name] = round(own / best(report, False), 3)
            told.setdefault("latest_over_best_in_memory", {})[name] = round(own / best(report, True), 3)
        else:
            told["windowed_best_over_seawall"] = round(best(report, False) / own, 2)
            told["windowed_best_in_memory_over_seawall"] = round(best(report, True) / own, 2)
        if report.get("feast"):
            told["feast_over_seawall"] = round(report["feast"]["ms"] / own, 1)
    return told


def slope(reports):
    """The exponent of the cost: the greatest slope of its logarithm between two sizes."""
    sizes = sorted((report["rows"], report["seawall"]["median_ms"]) for report in reports)
    pairs = zip(sizes, sizes[1:])
    return round(max(math.log(b[1] / a[1]) / math.log(b[0] / a[0]) for a, b in pairs), 3)


def main():
    names = [*(case.name for case in LATEST), WINDOWED.name, SLOPE]
    parser = frame.arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--cases", nargs="*", choices=names, default=names, help="only these cases")
    parser.add_argument("--quick", action="store_true", help=f"everything {QUICK} times smaller")
    parser.add_argument("--no-feast", action="store_true", help="leave Feast out")
    parser.add_argument("--large", type=int, default=0, metavar="N", help="also the large case, over N million events")
    settings = parser.parse_args()
    frame.use_pinned_packages(__file__)
    binary = frame.find_binary(settings.binary)
    size = QUICK if settings.quick else 1
    cases = {}
    for case in LATEST:
        if case.name in settings.cases:
            cases[case.name] = latest(case.smaller(size), settings, binary)
    scaled = []
    if WINDOWED.name in settings.cases:
        whole = {"polars_rolling": polars_rolling}, {"duckdb_range": duckdb_range, "duckdb_join": duckdb_join}
        cases[WINDOWED.name] = windowed(WINDOWED.smaller(size), settings, binary, whole)
    if SLOPE in settings.cases:
        for times_smaller in SLOPE_TIMES:
            alone = {}, {"duckdb_join": duckdb_join}
            scaled.append(windowed(WINDOWED.smaller(size * times_smaller), settings, binary, alone))
    of_large = [large(settings.large * 1_000_000, settings, binary)] if settings.large else []
    equal = all(report["equal"] for report in [*cases.values(), *scaled, *of_large])
    report = {"bench": NAME, "profile": binary.profile, "machine": frame.machine(), "equal": equal, "cases": cases}
    report["ratios"] = ratios(cases)
    if scaled and equal:
        report["slope"] = slope(scaled)
    if of_large:
        report["large"] = of_large[0]
    if settings.json:
        print(json.dumps(report))
    else:
        print_report(report)
    return 0 if equal else 1


def print_report(report):
    for case in report["cases"].values():
        frame.print_table(case)
        if case.get("feast"):
            told = case["feast"]
            print(f"  feast {told['version']}: {told['ms']:,.0f} ms, {told['peak_mib']:,} MiB; differences: {told['differences']}")
    print(json.dumps(report["ratios"], indent=2))
    if told := report.get("large"):
        print(f"large: {told['events']:,} events, {told['rows']:,} decisions: {told['engine_ms']:,} ms, {told['peak_mib']:,} MiB")
        print(f"  {told['compared']:,} decisions compared; differences: {told['differences']}")
    if "slope" in report:
        print(f"slope of the cost over 1, 4 and 16 times the size: {report['slope']}")


if __name__ == "__main__":
    sys.exit(main())
