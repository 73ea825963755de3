"""Tables that Seawall wrote, evolved and compacted, read by other programs: delta-rs, DuckDB and Polars.

    python tests/interop/check.py BINARY [PROJECT_FOLDER]

Makes a project with the binary, ingests events in many small commits, adds a column, merges files, deletes nothing and
gives up old versions; after each step every reader must find the rows that `seawall query` finds. Exits with 0 when all
agree, with 1 when one differs. One JSON line per step says what was compared.
"""

import json
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import polars
from deltalake import DeltaTable

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: events
version: {version}
name: Events
status: active
schema:
  - name: events
    properties:
      - {{name: event_id, logicalType: string, primaryKey: true, required: true}}
      - {{name: happened_at, logicalType: timestamp, required: true}}
      - {{name: user_id, logicalType: string, required: true, classification: personal}}
      - {{name: amount, logicalType: number}}
      - {{name: big, logicalType: integer}}
      - {{name: ok, logicalType: boolean}}
{more}    customProperties:
      - {{property: seawall.eventTime, value: happened_at}}
"""
SOURCE = "kind: source\nname: events\nhttp: {}\ncontract: events@1\n"
# Small enough that a few commits are merged.
PROJECT = "kind: project\nname: interop\ntables: {similar_files: 4}\n"
COMMITS = 26


class Seawall:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, Path(folder)
        (self.folder / "contracts").mkdir(parents=True, exist_ok=True)
        (self.folder / "seawall.yaml").write_text(PROJECT)
        (self.folder / "source.yaml").write_text(SOURCE)

    def run(self, *arguments):
        command = [self.binary, "-C", str(self.folder), *arguments, "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def apply(self, version, more=""):
        (self.folder / "contracts" / "events.odcs.yaml").write_text(CONTRACT.format(version=version, more=more))
        self.run("apply")

    def ingest(self, rows):
        file = self.folder / "rows.ndjson"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        counts = self.run("ingest", "events", str(file))["counts"]
        assert counts["accepted"] == len(rows), counts

    def rows(self):
        answer = self.run("query", "select * from events", "--rows-max", "100000")
        assert not answer["truncated"]
        return canonical(answer["rows"])

    def table(self):
        return str(self.folder / ".seawall" / "data" / "tables" / "events")


def value(found):
    """One spelling for the same value, whoever read it."""
    if isinstance(found, datetime):
        return found.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(found, str) and found.endswith("Z") and found[4:5] == "-":
        return value(datetime.fromisoformat(found.replace("Z", "+00:00")))
    return found


def canonical(rows):
    spelled = [{name: value(found) for name, found in row.items() if found is not None} for row in rows]
    return sorted(spelled, key=lambda row: (row["_partition"], row["_lsn"]))


def read_by_delta_rs(path):
    return DeltaTable(path).to_pyarrow_table().to_pylist()


def read_by_duckdb(path):
    """By its own reader when its Delta extension can be had, and over Arrow otherwise."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    # Only an extension that is there already: a check of tables asks no network.
    connection.execute("set autoinstall_known_extensions = false")
    try:
        connection.execute("load delta")
        relation = connection.sql(f"select * from delta_scan('{path}')")
    except duckdb.Error:
        shown = DeltaTable(path).to_pyarrow_dataset()
        relation = connection.from_arrow(shown)
    return relation.to_arrow_table().to_pylist()


def read_by_duckdb_parquet(path):
    """The files that the log shows, read as Parquet: what the files say by themselves."""
    files = DeltaTable(path).file_uris()
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection.read_parquet(files, union_by_name=True).to_arrow_table().to_pylist()


def read_by_polars(path):
    return polars.scan_delta(path).collect().to_dicts()


READERS = [read_by_delta_rs, read_by_duckdb, read_by_duckdb_parquet, read_by_polars]


def event(number, **more):
    at = f"2024-05-{1 + number % 28:02d}T08:{number % 60:02d}:00Z"
    amount = None if number % 5 == 0 else round(number * 0.37, 2)
    row = {"event_id": f"e{number}", "happened_at": at, "user_id": f"u{number % 7}", "amount": amount}
    return {**row, "big": (number - 20) * 10**15, "ok": number % 3 == 0, **more}


def compare(seawall, step):
    expected = seawall.rows()
    agrees = True
    for reader in READERS:
        found = canonical(reader(seawall.table()))
        same = found == expected
        agrees &= same
        told = {"step": step, "reader": reader.__name__, "rows": len(found), "version": DeltaTable(seawall.table()).version()}
        print(json.dumps({**told, "equal": same}), flush=True)
        if not same:
            different = [pair for pair in zip(expected, found) if pair[0] != pair[1]][:2]
            print(json.dumps({"expected_rows": len(expected), "first_differences": different}, default=str))
    return agrees


def main():
    binary = str(Path(sys.argv[1]).resolve())
    folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="seawall-interop-")
    seawall = Seawall(binary, folder)
    seawall.apply("1.0.0")
    for commit in range(COMMITS):
        seawall.ingest([event(commit * 3 + n) for n in range(3)])
    agrees = compare(seawall, "written in small commits")
    seawall.apply("1.1.0", "      - {name: city, logicalType: string}\n      - {name: score, logicalType: number}\n")
    seawall.ingest([event(500 + n, city="Gdańsk", score=n / 7) for n in range(3)])
    agrees &= compare(seawall, "evolved by two columns")
    merged = seawall.run("table", "compact", "events")["merged_files"]
    assert merged >= COMMITS, merged
    agrees &= compare(seawall, "compacted")
    old = DeltaTable(seawall.table(), version=10)
    newest = DeltaTable(seawall.table()).version()
    agrees &= old.to_pyarrow_table().num_rows < DeltaTable(seawall.table(), version=newest).to_pyarrow_table().num_rows
    removed = seawall.run("table", "vacuum", "events", "--keep", "0s", "--run")["vacuum"]
    assert removed["data_files"] >= merged and removed["log_files"] > COMMITS, removed
    agrees &= compare(seawall, "old versions given up")
    seawall.ingest([event(600 + n, city=None, score=None) for n in range(3)])
    agrees &= compare(seawall, "written on")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
