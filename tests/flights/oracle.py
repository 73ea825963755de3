#!/usr/bin/env python3
"""Recomputes the flights example from the raw CSV files and compares it with what Seawall built.

Usage: oracle.py DATA_DIR CSV_DIR

DATA_DIR is Seawall's data folder after `seawall replay` of examples/flights; its Delta tables are read with the
deltalake package. CSV_DIR holds flights.csv, weather.csv and airports.csv.

The rules are written down here once more, from the documentation and in other words than the product's: scheduled
times and landings are derived from the CSV files with the standard library's time zones, windows are found by binary
search in sorted lists, sums are integers and quotients are rounded once. Nothing is taken from Seawall but one thing
that the raw data cannot say: the order of rows (`_partition`, `_lsn`), which decides between rows of equal times.

Prints one line per compared column. Exits with 0 when nothing differs, with 1 when something does, with 2 when the
tables cannot be read.
"""

import argparse
import bisect
import csv
import math
import struct
import sys
import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

MINUTE = 60_000_000
HOUR = 60 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
PACIFIC = "America/Los_Angeles"
ZONES = {
    ("-5", "A"): "America/New_York",
    ("-6", "A"): "America/Chicago",
    ("-7", "A"): "America/Denver",
    ("-7", "N"): "America/Phoenix",
    ("-8", "A"): "America/Los_Angeles",
    ("-9", "A"): "America/Anchorage",
    ("-10", "N"): "Pacific/Honolulu",
}
# Sawtooth windows: length and hop, in microseconds.
WINDOWS = {"3h": (3 * HOUR, MINUTE), "24h": (24 * HOUR, HOUR)}
WEATHER_TTL = 3 * HOUR
WEATHER_COLUMNS = ["temp", "wind_speed", "precip", "visib", "pressure"]


# --- times -----------------------------------------------------------------------------------------------------------


def micros(instant):
    """Microseconds since the epoch of an aware datetime, without passing through a float."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=None)
def instants_of(local, zone):
    """Every instant at which the clocks of `zone` show `local`, ascending: none in a gap, two in an overlap."""
    tz = ZoneInfo(zone)
    found = {local.replace(tzinfo=tz, fold=fold).astimezone(timezone.utc) for fold in (0, 1)}
    return sorted(i for i in found if i.astimezone(tz).replace(tzinfo=None) == local)


def minutes_of(hhmm):
    """Minutes after midnight of a clock time written HHMM without leading zeros; 2400 is midnight."""
    number = int(hhmm)
    return (number // 100 * 60 + number % 100) % 1440


def scheduled_at(row):
    """The scheduled departure: (departure - delay) modulo a day, on the scheduled date, Pacific time."""
    if row["dep_time"] is None:
        return None
    minute = (minutes_of(row["dep_time"]) - int(row["dep_delay"])) % 1440
    local = datetime(int(row["year"]), int(row["month"]), int(row["day"])) + timedelta(minutes=minute)
    return instants_of(local, PACIFIC)[0]


def landed_at(row, zone):
    """The first instant after the actual departure at which the destination's clocks show the arrival time."""
    departed = scheduled_at(row) + timedelta(minutes=int(row["dep_delay"]))
    midnight = departed.astimezone(ZoneInfo(zone)).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    arrival = timedelta(minutes=minutes_of(row["arr_time"]))
    for days in range(4):
        for instant in instants_of(midnight + timedelta(days=days) + arrival, zone):
            if instant > departed:
                return instant
    raise AssertionError("every clock time occurs within four days")


# --- the raw data ----------------------------------------------------------------------------------------------------


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: None if v in ("", "NA") else v for k, v in row.items()} for row in csv.DictReader(file)]


def number(text):
    return None if text is None else float(text)


def read_raw(folder):
    """Flights with a scheduled time by id, landings by id, weather by (airport, instant), number of cancelled flights."""
    zones = {a["faa"]: ZONES.get((a["tz"], a["dst"])) for a in read_csv(folder / "airports.csv")}
    flights, landings, cancelled = {}, {}, 0
    for row in read_csv(folder / "flights.csv"):
        date = f"{int(row['year']):04}-{int(row['month']):02}-{int(row['day']):02}"
        key = f"{date}-{row['carrier']}-{row['flight']}-{row['origin']}"
        assert key not in flights, f"{key} names two flights"
        at = scheduled_at(row)
        if at is None:
            cancelled += 1
            continue
        flights[key] = {
            "scheduled_at": micros(at),
            "carrier": row["carrier"],
            "flight": int(row["flight"]),
            "tailnum": row["tailnum"],
            "origin": row["origin"],
            "dest": row["dest"],
            "distance": int(row["distance"]),
            "hour": at.astimezone(ZoneInfo(PACIFIC)).hour,
        }
        if row["arr_delay"] is not None:
            landings[key] = {
                "landed_at": micros(landed_at(row, zones[row["dest"]])),
                "scheduled_at": micros(at),
                "carrier": row["carrier"],
                "origin": row["origin"],
                "dest": row["dest"],
                "tailnum": row["tailnum"],
                "dep_delay": int(row["dep_delay"]),
                "arr_delay": int(row["arr_delay"]),
            }
    weather = {}
    for row in read_csv(folder / "weather.csv"):
        local = datetime(int(row["year"]), int(row["month"]), int(row["day"]), int(row["hour"]))
        at = micros(instants_of(local, PACIFIC)[0])
        assert (row["origin"], at) not in weather, f"two observations at {row['origin']} {local}"
        weather[row["origin"], at] = {name: number(row[name]) for name in WEATHER_COLUMNS}
    return flights, landings, weather, cancelled


# --- the tables ------------------------------------------------------------------------------------------------------


def read_table(data_dir, name):
    """All rows of the newest version of a Delta table as an Arrow table, from the files that the version lists."""
    import pyarrow
    import pyarrow.parquet
    from deltalake import DeltaTable

    files = DeltaTable(str(data_dir / "tables" / name)).file_uris()
    # Each file is opened by itself: folder names are no columns here.
    tables = [pyarrow.parquet.ParquetFile(uri.removeprefix("file://")).read() for uri in files]
    return pyarrow.concat_tables(tables, promote_options="permissive")


def column(table, name):
    """A column as Python values; instants as microseconds."""
    import pyarrow

    values = table.column(name)
    if pyarrow.types.is_timestamp(values.type):
        values = values.cast(pyarrow.timestamp("us", values.type.tz)).cast(pyarrow.int64())
    return values.to_pylist()


# --- the rule of features --------------------------------------------------------------------------------------------


class Timeline:
    """Rows of one entity in their total order, as lists to search in. Here availability equals event time, so a row is
    visible at T exactly if its time lies before T."""

    def __init__(self, rows):
        rows = sorted(rows)
        self.times = [row[0] for row in rows]
        self.values = [row[-1] for row in rows]

    def visible(self, at):
        """How many rows are visible at `at`; they come first."""
        return bisect.bisect_left(self.times, at)

    def latest(self, at):
        """Time and value of the newest visible row, or None."""
        count = self.visible(at)
        return (self.times[count - 1], self.values[count - 1]) if count else None

    def window(self, at, length, hop):
        """Values of the visible rows with floor(at - length, hop) <= time <= at."""
        begin = bisect.bisect_left(self.times, (at - length) // hop * hop)
        return self.values[begin : self.visible(at)]


def mean(values):
    """Exact sum of integers, one rounding."""
    return sum(values) / len(values) if values else None


def timelines(rows):
    """Groups (entity, time, order.., value) into one timeline per entity."""
    groups = {}
    for entity, *row in rows:
        groups.setdefault(entity, []).append(tuple(row))
    return {entity: Timeline(rows) for entity, rows in groups.items()}


NOTHING = Timeline([])


def landed_of_schedule(rows, at, length, hop):
    """Delays of the flights scheduled with floor(at - length, hop) <= time <= at that have landed before `at`."""
    begin = bisect.bisect_left(rows, ((at - length) // hop * hop,))
    end = bisect.bisect_right(rows, (at, math.inf))
    return [delay for _, landed_at, delay in rows[begin:end] if landed_at < at]


def expected_features(flights, landings, weather, order):
    """The training set's columns for every flight, from raw data."""
    by_airport = timelines((origin, at, at, row) for (origin, at), row in weather.items())
    by_carrier = timelines(
        ((row["carrier"], row["origin"]), row["landed_at"], order[key], row["arr_delay"])
        for key, row in landings.items()
    )
    scheduled = {}
    for key, row in landings.items():
        place = (row["scheduled_at"], row["landed_at"], row["arr_delay"])
        scheduled.setdefault((row["carrier"], row["origin"]), []).append(place)
    for rows in scheduled.values():
        rows.sort()
    by_tail = timelines(
        (row["tailnum"], row["landed_at"], order[key], row["arr_delay"]) for key, row in landings.items()
    )
    for key, flight in flights.items():
        at = flight["scheduled_at"]
        out = {
            "_at": at,
            "route": f"{flight['origin']}-{flight['dest']}",
            "carrier": flight["carrier"],
            "hour": flight["hour"],
        }
        newest = by_airport.get(flight["origin"], NOTHING).latest(at)
        fresh = newest is not None and newest[0] > at - WEATHER_TTL
        for name in WEATHER_COLUMNS:
            out[f"weather__{name}"] = newest[1][name] if fresh else None
        carrier = by_carrier.get((flight["carrier"], flight["origin"]), NOTHING)
        for name, (length, hop) in WINDOWS.items():
            delays = carrier.window(at, length, hop)
            out[f"carrier_origin__mean_delay_{name}"] = mean(delays)
            out[f"carrier_origin__n_{name}"] = len(delays)
        for name, (length, hop) in WINDOWS.items():
            delays = landed_of_schedule(scheduled.get((flight["carrier"], flight["origin"]), []), at, length, hop)
            out[f"schedule__mean_delay_{name}"] = mean(delays)
        landing = by_tail.get(flight["tailnum"], NOTHING).latest(at)
        out["tail__last_delay"] = landing and landing[1]
        out["tail__idle_s"] = landing and (at - landing[0]) / 1_000_000
        out["label"] = landings[key]["arr_delay"] if key in landings else None
        yield key, out


# --- comparing -------------------------------------------------------------------------------------------------------


def same(expected, found):
    """Equal to the bit; null only equals null."""
    if expected is None or found is None:
        return expected is None and found is None
    if isinstance(expected, float) or isinstance(found, float):
        if math.isnan(float(expected)) or math.isnan(float(found)):
            return False
        return struct.pack("<d", float(expected)) == struct.pack("<d", float(found))
    return expected == found


class Report:
    def __init__(self):
        self.differing = 0

    def line(self, what, compared, differing, example=""):
        self.differing += differing
        print(f"{what:<40} compared {compared:>7}  differing {differing:>6}  {example}".rstrip())

    def number(self, what, expected, found):
        self.line(what, 1, int(expected != found), "" if expected == found else f"expected {expected}, found {found}")

    def rows(self, name, key_columns, table, expected, columns):
        """Compares `columns` of a table with `expected`, rows by key."""
        keys = list(zip(*(column(table, k) for k in key_columns))) if len(key_columns) > 1 else column(table, key_columns[0])
        found_at = {key: i for i, key in enumerate(keys)}
        self.number(f"{name}: rows", len(expected), table.num_rows)
        self.number(f"{name}: keys twice", 0, len(keys) - len(found_at))
        self.number(f"{name}: keys missing", 0, len(expected.keys() - found_at.keys()))
        self.number(f"{name}: keys too many", 0, len(found_at.keys() - expected.keys()))
        common = [key for key in expected if key in found_at]
        for col in columns:
            values = column(table, col)
            wrong = [k for k in common if not same(expected[k][col], values[found_at[k]])]
            example = ""
            if wrong:
                key = wrong[0]
                example = f"{key}: expected {expected[key][col]!r}, found {values[found_at[key]]!r}"
            self.line(f"{name}.{col}", len(common), len(wrong), example)
        return keys


def check(data_dir, csv_dir):
    began = time.monotonic()
    flights, landings, weather, cancelled = read_raw(csv_dir)
    print(f"{len(flights)} departed, {cancelled} cancelled, {len(landings)} landed, {len(weather)} observations")
    try:
        tables = {n: read_table(data_dir, n) for n in ("flights", "landings", "weather", "delays__training_set")}
    except Exception as error:  # noqa: BLE001: whatever the reader says is the answer
        print(f"the tables cannot be read: {error}", file=sys.stderr)
        return 2

    report = Report()
    known_when = lambda rows, at: {k: {**row, "_available_at": row[at]} for k, row in rows.items()}
    report.rows(
        "flights", ["flight_id"], tables["flights"], known_when(flights, "scheduled_at"),
        ["scheduled_at", "carrier", "flight", "tailnum", "origin", "dest", "distance", "_available_at"],
    )
    keys = report.rows(
        "landings", ["flight_id"], tables["landings"], known_when(landings, "landed_at"),
        ["landed_at", "scheduled_at", "carrier", "origin", "dest", "tailnum", "dep_delay", "arr_delay", "_available_at"],
    )
    observed = {key: {**row, "_available_at": key[1]} for key, row in weather.items()}
    report.rows("weather", ["origin", "observed_at"], tables["weather"], observed, WEATHER_COLUMNS + ["_available_at"])

    places = list(zip(column(tables["landings"], "_partition"), column(tables["landings"], "_lsn")))
    order = dict(zip(keys, places))
    if order.keys() < landings.keys():
        print("landings are missing, so the features cannot be judged", file=sys.stderr)
        return 1
    expected = dict(expected_features(flights, landings, weather, order))
    columns = [c for c in next(iter(expected.values()))]
    built = report.rows("delays", ["flight_id"], tables["delays__training_set"], expected, columns)
    decided = list(zip(column(tables["delays__training_set"], "_at"), built))
    report.number("delays: rows in order", True, decided == sorted(decided))
    report.number("delays: labelled", len(landings), sum(v is not None for v in column(tables["delays__training_set"], "label")))
    print(f"{report.differing} differences; {time.monotonic() - began:.0f} s")
    return 1 if report.differing else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=Path, help="Seawall's data folder")
    parser.add_argument("csv_dir", type=Path, help="folder with flights.csv, weather.csv and airports.csv")
    arguments = parser.parse_args()
    return check(arguments.data_dir, arguments.csv_dir)


if __name__ == "__main__":
    sys.exit(main())
