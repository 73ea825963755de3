"""What side-by-side runs share: pinned peers, the binary, a server on a project, equality before time, one report.

A bench makes its sides, each of which computes the same thing, and hands them to `compare`: first every side runs once
and its result must equal Seawall's to the bit; only then are all of them timed, taking turns, so that whatever else the
machine does meets all alike. The report has medians and ratios, and says what each side's time includes.

`main` in a bench reads:

    arguments = frame.arguments(__doc__).parse_args()
    frame.use_pinned_packages(__file__)
    ...
    sys.exit(frame.finish(frame.compare("name", seawall, peers, arguments, binary), arguments))

Settings: SEAWALL_BENCH_VENV (default ~/.cache/seawall/bench-venv), SEAWALL_BINARY, CARGO_TARGET_DIR.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "bench" / "requirements.txt"
ROUNDS = 5
sys.path.insert(0, str(ROOT / "python"))


@dataclass
class Run:
    """One run of a side: its time, times of parts of it or around it, and what `Side.table` makes a table of."""

    ms: float
    result: Any
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Side:
    """One way to compute what is compared. `includes` says what its time covers."""

    name: str
    includes: str
    run: Callable[[], Run]
    table: Callable[[Any], Any]
    package: str | None = None


@dataclass
class Binary:
    """The seawall binary and the cargo profile that made it."""

    path: Path
    profile: str


def arguments(description):
    """The arguments that every bench takes."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed runs of each side (default {ROUNDS})")
    parser.add_argument("--binary", type=Path, help="the seawall binary; found or built when absent")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def use_pinned_packages(script):
    """Goes on in a virtual environment with exactly the pinned peers, made when it does not exist yet."""
    venv = Path(os.environ.get("SEAWALL_BENCH_VENV") or Path.home() / ".cache" / "seawall" / "bench-venv")
    python, marker = venv / "bin" / "python", venv / "requirements.txt"
    complete = marker.is_file() and marker.read_text() == REQUIREMENTS.read_text()
    if complete and Path(sys.prefix).resolve() == venv.resolve():
        return
    if not complete:
        print(f"installing the packages of {REQUIREMENTS.name} into {venv}", file=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=sys.stderr)
        subprocess.run(install, check=True, stdout=sys.stderr)
        marker.write_text(REQUIREMENTS.read_text())
    os.execv(python, [str(python), "-B", script, *sys.argv[1:]])


def find_binary(given=None):
    """The binary that was named, or the fastest that was built, or one built here."""
    profiles = {"debug": "dev"}
    given = given or os.environ.get("SEAWALL_BINARY")
    if given:
        path = Path(given).resolve()
        return Binary(path, profiles.get(path.parent.name, path.parent.name))
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    for folder in ("dist", "release", "debug"):
        if (target / folder / "seawall").is_file():
            return Binary(target / folder / "seawall", profiles.get(folder, folder))
    print("building the release binary, which takes a while", file=sys.stderr)
    subprocess.run(["cargo", "build", "--release", "-p", "seawall"], cwd=ROOT, check=True, stdout=sys.stderr)
    return Binary(target / "release" / "seawall", "release")


def command(binary, project, data, *words):
    """Runs a command of Seawall to its end; its JSON."""
    line = [binary.path, "-C", project, "--data-dir", data, *words, "--output", "json"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"
        raise RuntimeError(f"seawall {' '.join(map(str, words))} ended with {done.returncode}: {said}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def serving(binary, project, data):
    """A client of a server that runs on `data` as long as the block, and the server's process id."""
    import seawall

    line = [binary.path, "-C", project, "--data-dir", data, "serve", "--listen", "127.0.0.1:0", "--output", "json"]
    with open(Path(data) / "serve.log", "a") as log:
        server = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            announced = server.stdout.readline()
            if not announced:
                raise RuntimeError(f"the server did not start: {(Path(data) / 'serve.log').read_text()}")
            yield seawall.connect(json.loads(announced)["listening"], timeout=3600), server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=120)
            server.stdout.close()


def timed(work):
    """A run of `work`, timed here, with the processor time of all threads."""
    began, cpu = time.perf_counter(), time.process_time()
    result = work()
    ms, cpu_ms = (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000
    return Run(ms, result, {"cpu_ms": cpu_ms})


def cpu_ms(process):
    """Processor time that another process has taken, all threads; 0 where /proc does not tell."""
    try:
        told = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(told[11]) + int(told[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def differences(expected, found):
    """What differs between two Arrow tables, per column: rows are compared in order, null only equals null, and floats
    are equal when their bits are."""
    import pyarrow
    import pyarrow.compute as compute

    if expected.column_names != found.column_names:
        return [f"columns: {expected.column_names} and {found.column_names}"]
    if expected.num_rows != found.num_rows:
        return [f"rows: {expected.num_rows} and {found.num_rows}"]
    told = []
    for name in expected.column_names:
        a, b = (table.column(name).combine_chunks() for table in (expected, found))
        if a.type != b.type:
            told.append(f"{name}: types {a.type} and {b.type}")
            continue
        null_a, null_b = compute.is_null(a), compute.is_null(b)
        if pyarrow.types.is_float64(a.type):
            a, b = a.view(pyarrow.int64()), b.view(pyarrow.int64())
        unequal = compute.fill_null(compute.not_equal(a, b), False)
        wrong = compute.or_(unequal, compute.not_equal(null_a, null_b))
        count = compute.sum(wrong).as_py() or 0
        if count:
            row = compute.index(wrong, True).as_py()
            example = f"{expected.column(name)[row].as_py()!r} and {found.column(name)[row].as_py()!r}"
            told.append(f"{name}: {count} rows differ, first row {row}: {example}")
    return told


def compare(name, seawall, peers, settings, binary):
    """Checks that all sides agree, then times them in turns. The report; without times when they do not agree."""
    report = {"bench": name, "profile": binary.profile, "machine": machine(), "equal": True, "differences": {}}
    expected = seawall.table(seawall.run().result)
    report["rows"] = expected.num_rows
    for peer in peers:
        if told := differences(expected, peer.table(peer.run().result)):
            report["equal"] = False
            report["differences"][peer.name] = told
    report |= {"seawall": {}, "peers": {}, "ratios": {}}
    if not report["equal"]:
        return report
    sides = [seawall, *peers]
    runs = {side.name: [] for side in sides}
    for turn in range(settings.rounds):
        # Each round begins with another side.
        for i in range(len(sides)):
            side = sides[(turn + i) % len(sides)]
            runs[side.name].append(side.run())
    report["seawall"] = summary(seawall, runs[seawall.name])
    report["peers"] = {peer.name: summary(peer, runs[peer.name]) for peer in peers}
    own = report["seawall"]["median_ms"]
    report["ratios"] = {peer: round(own / told["median_ms"], 3) for peer, told in report["peers"].items()}
    return report


def summary(side, runs):
    """Median, extremes and parts of a side's runs."""
    ms = [run.ms for run in runs]
    told = {
        "median_ms": round(statistics.median(ms), 2),
        "min_ms": round(min(ms), 2),
        "max_ms": round(max(ms), 2),
        "runs": len(ms),
        "includes": side.includes,
    }
    for part in runs[0].parts:
        told[part] = round(statistics.median(run.parts[part] for run in runs), 2)
    if side.package:
        told["version"] = importlib.metadata.version(side.package)
    return told


def machine():
    """What the numbers were measured on."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def skip(name, reason, settings):
    """Says loudly that nothing was compared. The exit code: nothing failed."""
    print(f"SKIPPED {name}: {reason}", file=sys.stderr)
    if settings.json:
        print(json.dumps({"bench": name, "skipped": reason, "equal": None, "seawall": {}, "peers": {}, "ratios": {}}))
    return 0


def finish(report, settings):
    """Prints the report. The exit code: 1 when values differ."""
    if settings.json:
        print(json.dumps(report))
    else:
        print_table(report)
    return 0 if report["equal"] else 1


def print_table(report):
    """The report for people."""
    told = report["machine"]
    where = f"profile {report['profile']}, {told['cpus']} cpus, load {told['load_1m']}"
    print(f"{report['bench']}: {report['rows']:,} rows, {where}")
    for name, found in report["differences"].items():
        print(f"  {name} DIFFERS from seawall: " + "; ".join(found))
    if not report["equal"]:
        return
    print(f"  all values equal to the bit; median of {report['seawall']['runs']} runs each")
    print(f"  {'':<18} {'median ms':>10} {'min':>10} {'max':>10} {'cpu ms':>10} {'seawall takes':>14}")
    for name, side in {"seawall": report["seawall"], **report["peers"]}.items():
        ratio = report["ratios"].get(name)
        times = [side["median_ms"], side["min_ms"], side["max_ms"], side.get("cpu_ms", 0.0)]
        numbers = " ".join(f"{time:>10,.1f}" for time in times)
        print(f"  {name:<18} {numbers} {'' if ratio is None else f'{ratio:.2f}x':>14}")
    for name, side in {"seawall": report["seawall"], **report["peers"]}.items():
        print(f"  {name}: {side['includes']}")
