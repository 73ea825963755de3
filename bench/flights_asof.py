#!/usr/bin/env python3
"""The newest values known at each of 161,192 departures: Seawall's training set against as-of joins of its peers.

Usage: flights_asof.py [DATA] [--rounds N] [--binary PATH] [--json]

DATA holds the CSV files of examples/flights (default ../shared/data/pnwflights14 beside the checkout, or
SEAWALL_FLIGHTS_DATA). Seawall loads them into a temporary folder; every side then reads the very tables that Seawall
wrote. For each departure: five values of the newest weather observation at the airport that is known and less than
three hours old, the delay of the aircraft's newest known landing, and the seconds since. Rows that arrive at the
departure's own instant are not known yet, and between landings of one instant the row order decides.

Values must be equal to the bit, and missing in the same places, before anything is timed; exits with 1 when not.
"""

import os
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import frame

NAME = "flights_asof"
DATA = Path(os.environ.get("SEAWALL_FLIGHTS_DATA") or frame.ROOT.parent / "shared" / "data" / "pnwflights14")
EXAMPLE = frame.ROOT / "examples" / "flights"
# The feature views of the example whose values are the newest known ones; windows have no counterpart in an as-of join.
VIEWS = ["weather", "tail"]
TRAINING_SET = """\
kind: training_set
name: latest
rows: {from: flights, at: scheduled_at, own_row: exclude}
features: [weather@1, tail@1]
"""
WEATHER = ["temp", "wind_speed", "precip", "visib", "pressure"]
COLUMNS = ["flight_id", "_at", *(f"weather__{name}" for name in WEATHER), "tail__last_delay", "tail__idle_s"]
# What the joins read of each table. The last two columns order landings of one instant.
INPUTS = {
    "flights": ["flight_id", "scheduled_at", "origin", "tailnum"],
    "weather": ["origin", "observed_at", *WEATHER],
    "landings": ["tailnum", "landed_at", "arr_delay", "_partition", "_lsn"],
}
# The value must be younger than three hours, and the peers' tolerances include their ends.
TTL = timedelta(hours=3)
JUST_UNDER_TTL = TTL - timedelta(microseconds=1)
MEMORY = "inputs parsed in memory; sorting, joins, result ordered by time and key in memory; nothing written"
FILES = "the same, and reading the needed columns of Seawall's Parquet files"


def make_project(folder):
    """The example without what is not compared."""
    for part in ("contracts", "maps", "sources"):
        shutil.copytree(EXAMPLE / part, folder / part)
    (folder / "views").mkdir()
    for view in VIEWS:
        shutil.copy(EXAMPLE / "views" / f"{view}.yaml", folder / "views")
    shutil.copy(EXAMPLE / "seawall.yaml", folder)
    (folder / "latest.yaml").write_text(TRAINING_SET)


def seawall_side(client, process):
    """Seawall builds the training set as the next version of its table."""

    def run():
        cpu = frame.cpu_ms(process)
        built = client.training_set("latest", rebuild=True)
        parts = {"cpu_ms": frame.cpu_ms(process) - cpu, "whole_build_ms": built.elapsed_ms}
        return frame.Run(built.engine_ms, built, parts)

    includes = (
        "the engine reads its Delta tables from disk, computes, and fingerprints the rows; whole_build_ms and"
        " cpu_ms add catching up with the log, the durable commit of a table version, and the record in the catalog"
    )
    return frame.Side("seawall", includes, run, lambda built: built.rows.to_arrow().select(COLUMNS))


def parquet_files(data):
    """The files of the newest version of each input table."""
    from deltalake import DeltaTable

    tables = {name: DeltaTable(str(data / "tables" / name)) for name in INPUTS}
    return {name: [uri.removeprefix("file://") for uri in table.file_uris()] for name, table in tables.items()}


def arrow_inputs(files):
    """The inputs as Arrow tables."""
    import pyarrow
    import pyarrow.parquet

    def read(name):
        return pyarrow.concat_tables(pyarrow.parquet.ParquetFile(f).read(INPUTS[name]) for f in files[name])

    return {name: read(name) for name in INPUTS}


def normal(table):
    """A peer's result in the types of the training set, which loses nothing or fails."""
    import pyarrow

    types = {"flight_id": pyarrow.string(), "_at": pyarrow.timestamp("us", "UTC"), "tail__last_delay": pyarrow.int64()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in COLUMNS])
    return table.select(COLUMNS).cast(schema)


# --- polars ----------------------------------------------------------------------------------------------------------


def polars_sides(files):
    import polars

    def read():
        return {name: polars.read_parquet(files[name], columns=INPUTS[name]) for name in INPUTS}

    loaded = read()
    table = lambda result: normal(result.to_arrow())
    return [
        frame.Side("polars", MEMORY, lambda: frame.timed(lambda: polars_join(loaded)), table, "polars"),
        frame.Side("polars_files", FILES, lambda: frame.timed(lambda: polars_join(read())), table, "polars"),
    ]


def polars_join(inputs):
    import polars
    from polars import col

    before = {"strategy": "backward", "allow_exact_matches": False, "check_sortedness": False}
    weather = inputs["weather"].lazy().sort("observed_at")
    landings = inputs["landings"].lazy().sort("landed_at", "_partition", "_lsn")
    spine = inputs["flights"].lazy().sort("scheduled_at", "flight_id")
    joined = spine.join_asof(
        weather, left_on="scheduled_at", right_on="observed_at", by="origin", tolerance=JUST_UNDER_TTL, **before
    ).join_asof(landings, left_on="scheduled_at", right_on="landed_at", by="tailnum", **before)
    idle = (col("scheduled_at") - col("landed_at")).dt.total_microseconds() / 1_000_000
    return joined.select(
        "flight_id",
        col("scheduled_at").alias("_at"),
        *(col(name).alias(f"weather__{name}") for name in WEATHER),
        col("arr_delay").alias("tail__last_delay"),
        idle.cast(polars.Float64).alias("tail__idle_s"),
    ).collect()


# --- DuckDB ----------------------------------------------------------------------------------------------------------

DUCKDB = """
with newest as (
    select distinct on (tailnum, landed_at) tailnum, landed_at, arr_delay
    from {landings} order by tailnum, landed_at, _partition desc, _lsn desc
),
observed as (
    select f.flight_id, f.scheduled_at, f.tailnum, {weather_columns},
        epoch_us(w.observed_at) > epoch_us(f.scheduled_at) - {ttl} as fresh
    from {flights} f asof left join {weather} w on f.origin = w.origin and f.scheduled_at > w.observed_at
)
select o.flight_id, o.scheduled_at as _at, {fresh_columns}, l.arr_delay as tail__last_delay,
    (epoch_us(o.scheduled_at) - epoch_us(l.landed_at)) / 1000000 as tail__idle_s
from observed o asof left join newest l on o.tailnum = l.tailnum and o.scheduled_at > l.landed_at
order by o.scheduled_at, o.flight_id
"""


def duckdb_sides(files):
    import duckdb

    connection = duckdb.connect()
    scans = {name: f"read_parquet({files[name]!r})" for name in INPUTS}
    for name, columns in INPUTS.items():
        connection.execute(f"create table {name} as select {', '.join(columns)} from {scans[name]}")
    run = lambda sql: lambda: frame.timed(lambda: connection.sql(sql).to_arrow_table())
    in_memory, from_files = duckdb_query({name: name for name in INPUTS}), duckdb_query(scans)
    return [
        frame.Side("duckdb", MEMORY, run(in_memory), normal, "duckdb"),
        frame.Side("duckdb_files", FILES, run(from_files), normal, "duckdb"),
    ]


def duckdb_query(tables):
    return DUCKDB.format(
        **tables,
        ttl=int(TTL.total_seconds()) * 1_000_000,
        weather_columns=", ".join(f"w.{name}" for name in WEATHER),
        fresh_columns=", ".join(f"case when o.fresh then o.{name} end as weather__{name}" for name in WEATHER),
    )


# --- pandas ----------------------------------------------------------------------------------------------------------


def pandas_sides(files):
    import pandas
    import pyarrow

    def read():
        # Whole numbers stay whole numbers where some are missing.
        kept = {pyarrow.int64(): pandas.Int64Dtype(), pyarrow.int32(): pandas.Int32Dtype()}
        return {name: table.to_pandas(types_mapper=kept.get) for name, table in arrow_inputs(files).items()}

    loaded = read()
    table = lambda result: normal(pyarrow.Table.from_pandas(result, preserve_index=False))
    return [
        frame.Side("pandas", MEMORY, lambda: frame.timed(lambda: pandas_join(loaded)), table, "pandas"),
        frame.Side("pandas_files", FILES, lambda: frame.timed(lambda: pandas_join(read())), table, "pandas"),
    ]


def pandas_join(inputs):
    import pandas

    spine = inputs["flights"].sort_values(["scheduled_at", "flight_id"])
    weather = inputs["weather"].sort_values("observed_at")
    landings = inputs["landings"].sort_values(["landed_at", "_partition", "_lsn"])
    joined = pandas.merge_asof(
        spine, weather, left_on="scheduled_at", right_on="observed_at", by="origin",
        allow_exact_matches=False, tolerance=pandas.Timedelta(JUST_UNDER_TTL),
    )  # fmt: skip
    joined = pandas.merge_asof(
        joined, landings, left_on="scheduled_at", right_on="landed_at", by="tailnum", allow_exact_matches=False
    )
    idle = (joined["scheduled_at"] - joined["landed_at"]) / pandas.Timedelta(seconds=1)
    renamed = {name: f"weather__{name}" for name in WEATHER}
    renamed |= {"scheduled_at": "_at", "arr_delay": "tail__last_delay"}
    return joined.rename(columns=renamed).assign(tail__idle_s=idle)[COLUMNS]


# --- all of them -----------------------------------------------------------------------------------------------------


def main():
    parser = frame.arguments(__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA, help="folder with the CSV files")
    settings = parser.parse_args()
    if not (settings.data / "flights.csv").is_file():
        return frame.skip(NAME, f"no flights.csv in {settings.data}", settings)
    frame.use_pinned_packages(__file__)
    binary = frame.find_binary(settings.binary)
    with tempfile.TemporaryDirectory(prefix="seawall-bench-") as folder:
        project, data = Path(folder) / "project", Path(folder) / "data"
        project.mkdir()
        make_project(project)
        variables = ["--set", f"data={settings.data.resolve()}"]
        frame.command(binary, project, data, "apply", *variables)
        frame.command(binary, project, data, "run", *variables)
        files = parquet_files(data)
        peers = [*polars_sides(files), *duckdb_sides(files), *pandas_sides(files)]
        with frame.serving(binary, project, data) as (client, process):
            report = frame.compare(NAME, seawall_side(client, process), peers, settings, binary)
    return frame.finish(report, settings)


if __name__ == "__main__":
    sys.exit(main())
