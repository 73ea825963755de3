#!/usr/bin/env python3
"""Durable ingestion: events acknowledged after a sync, by Seawall and by what teams use for it otherwise.

Usage: ingest.py [--seconds N] [--sustained N] [--binary PATH] [--folder DIR] [--json]

Everything runs on this machine, load generators included, and every acknowledgement is durable. Events have 100 bytes,
requests 100 events, 64 connections wait for their answers:

- seawall ndjson, seawall arrow: gate and log; the sinks (tables, features) run too, but nobody waits for them.
- seawall sustained: NDJSON for --sustained seconds, and until tables hold everything; events per second over both.
- raw log: the frames that Seawall wrote, appended to a plain file in groups of 64 with a sync each. What the disk allows.
- Redis Streams with `appendfsync always`, and PostgreSQL COPY with a commit per request: where their packages are installed.

Before any number counts, every event that was acknowledged must be in the table exactly once, and none that was never
sent (`equal`). Needs `redis-server`, and `initdb` and `postgres`, for the peers; a missing one is named on standard error.
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import frame

CONNECTIONS = 64
EVENTS_PER_REQUEST = 100
EVENT_BYTES = 100
FIRST_EVENT = 10**15
PROJECT = Path(__file__).resolve().parent / "ingest"


def main():
    parser = frame.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each side sends (default 10)")
    parser.add_argument("--sustained", type=float, default=60.0, help="how long the sustained run sends (default 60)")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: a temporary one)")
    settings = parser.parse_args()
    frame.use_pinned_packages(__file__)
    binary = frame.find_binary(settings.binary)
    with tempfile.TemporaryDirectory(prefix="seawall-ingest-", dir=settings.folder) as folder:
        report = measure(binary, Path(folder), settings)
    if settings.json:
        print(json.dumps(report))
    else:
        print_report(report)
    return 0 if report["equal"] else 1


def measure(binary, folder, settings):
    """The report; without numbers when events are missing or there twice."""
    report = {"bench": "ingest", "profile": binary.profile, "machine": frame.machine(), "equal": True}
    report |= {"connections": CONNECTIONS, "events_per_request": EVENTS_PER_REQUEST, "event_bytes": EVENT_BYTES}
    runs = {}
    for name, form, seconds, drained in [
        ("ndjson", "ndjson", settings.seconds, False),
        ("arrow", "arrow", settings.seconds, False),
        ("sustained", "ndjson", settings.sustained, True),
    ]:
        data = folder / name
        runs[name] = run_seawall(binary, data, form, seconds, drained)
        shutil.rmtree(data)
    wrong = {name: run["wrong"] for name, run in runs.items() if any(run["wrong"].values())}
    if wrong:
        return report | {"equal": False, "wrong": wrong}
    raw = raw_log(binary, folder, runs["arrow"]["frame_bytes"], settings.seconds)
    report["seawall"] = {
        "ndjson_events_per_s": runs["ndjson"]["events_per_s"],
        "arrow_events_per_s": runs["arrow"]["events_per_s"],
        "sustained_events_per_s": runs["sustained"]["sustained_events_per_s"],
        "ack_p99_ms": runs["ndjson"]["ack_ms"]["p99"],
        "runs": runs,
    }
    report["raw_log"] = raw
    report["peers"] = peers(folder, settings.seconds)
    report["ratios"] = {"arrow_over_raw_log": round(runs["arrow"]["events_per_s"] / raw["events_per_s"], 3)}
    for name, peer in report["peers"].items():
        report["ratios"][f"ndjson_over_{name}"] = round(runs["ndjson"]["events_per_s"] / peer["events_per_s"], 3)
    return report


def run_seawall(binary, data, form, seconds, drained):
    """One run against a server of its own: what the load generator saw, and what the table then holds."""
    data.mkdir()
    frame.command(binary, PROJECT, data, "apply")
    with frame.serving(binary, PROJECT, data) as (client, server):
        host = client.url.removeprefix("http://")
        began, cpu = time.perf_counter(), frame.cpu_ms(server)
        load = ["bench", "load", "--host", host, "--form", form, "--seconds", str(seconds)]
        load += ["--connections", str(CONNECTIONS), "--events", str(EVENTS_PER_REQUEST)]
        run = frame.command(binary, PROJECT, data, *load)
        run["server_cpu_ms"] = frame.cpu_ms(server) - cpu
        run["backlog_entries"] = backlog(client)
        while backlog(client):
            time.sleep(0.05)
        run["sustained_events_per_s"] = run["events"] / (time.perf_counter() - began) if drained else None
        run["wrong"] = compare(client, run)
    run["frame_bytes"] = frame_bytes(data / "log", run)
    return run


def backlog(client):
    """Log entries that tables do not hold yet."""
    progress = client.status()["progress"]
    return progress["durable_entries"] - progress["committed_entries"]


def compare(client, run):
    """Events that were acknowledged and are missing or there twice, and events that nobody sent."""
    import pyarrow
    import pyarrow.compute as compute

    block = f"(event_id - {FIRST_EVENT}) / {run['events_per_block']}"
    counted = f"select {block} as block, count(*) as n, count(distinct event_id) as ids from events group by 1"
    table = client.query(counted).to_arrow()
    whole = compute.and_(
        compute.equal(table["n"], run["events_per_block"]), compute.equal(table["ids"], run["events_per_block"])
    )
    found = set(table.filter(whole)["block"].to_pylist())
    acknowledged = {block for first, end in run["acknowledged"] for block in range(first, end)}
    unknown = {block for first, end in run["unknown"] for block in range(first, end)}
    return {
        "missing": len(acknowledged - found),
        "torn_or_twice": table.num_rows - len(found),
        "never_sent": len(found - acknowledged - unknown),
    }


def frame_bytes(log, run):
    """Bytes of the log per request: what the raw log is to append."""
    end = sum(used_bytes(segment) for segment in log.iterdir() if segment.is_file())
    return max(1, end // max(1, run["requests"]))


def used_bytes(segment):
    """Length of a preallocated file up to its last byte that is not zero."""
    with open(segment, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        step = 1 << 20
        while length > 0:
            start = max(0, length - step)
            file.seek(start)
            kept = file.read(length - start).rstrip(b"\0")
            if kept:
                return start + len(kept)
            length = start
    return 0


def raw_log(binary, folder, payload, seconds):
    """Appends of equal size, a sync per group of as many as wait for Seawall."""
    line = ["bench", "log", "--folder", folder, "--payload-bytes", str(payload), "--group", str(CONNECTIONS)]
    line += ["--events", str(EVENTS_PER_REQUEST), "--seconds", str(seconds)]
    return frame.command(binary, PROJECT, folder, *line) | {"payload_bytes": payload}


def peers(folder, seconds):
    """What the peers manage whose packages are there."""
    found = {}
    for name, peer in [("redis_streams", redis_streams), ("postgresql_copy", postgresql_copy)]:
        try:
            found[name] = peer(folder / name, seconds)
        except FileNotFoundError as missing:
            print(f"SKIPPED {name}: {missing.filename or missing} is not installed", file=sys.stderr)
    return found


def event_values():
    """The fields of an event but its number, as the load generator of Seawall sends them."""
    fixed = len('{"event_id":,"at":"2026-03-01T12:00:00Z","user":"u0000042","amount":12.5,"note":""}\n') + 16
    return "2026-03-01T12:00:00Z", "u0000042", "12.5", "n" * (EVENT_BYTES - fixed)


def program(name, *folders):
    """Path of a program, also where Debian hides servers."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)]))
    if not found:
        raise FileNotFoundError(2, "not installed", name)
    return found


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def running(line, log, **options):
    """A server that runs as long as the block."""
    with open(log, "ab") as output:
        server = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)
    try:
        yield server
    finally:
        server.terminate()
        server.wait(timeout=60)


def in_processes(work, arguments, seconds):
    """Runs `work` for each connection, on as many processes as there are processors. Requests, and what each took."""
    workers = min(CONNECTIONS, os.cpu_count() or 1)
    shares = [CONNECTIONS // workers + (1 if i < CONNECTIONS % workers else 0) for i in range(workers)]
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        done = [pool.submit(work, *arguments, share, i, seconds) for i, share in enumerate(shares)]
        took = [ms for one in done for ms in one.result()]
    return summary(took, seconds)


def summary(took, seconds):
    took.sort()
    quantile = lambda q: round(took[int((len(took) - 1) * q)], 2) if took else None
    events = len(took) * EVENTS_PER_REQUEST
    return {
        "events": events,
        "events_per_s": events / seconds,
        "ack_ms": {"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)},
    }


def redis_streams(folder, seconds):
    """XADD of each event, 100 in a pipeline, `appendfsync always`."""
    server = program("redis-server")
    folder.mkdir()
    port = free_port()
    line = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    line += ["--appendonly", "yes", "--appendfsync", "always"]
    with running(line, folder / "redis.log"):
        wait_for_port(port)
        run = in_processes(redis_client, [port], seconds)
        found = redis_ask(port, b"XLEN", b"events")
    return run | {"version": version(server), "stored": found, "includes": "pipelines of 100 XADD, appendfsync always"}


def redis_command(*words):
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def redis_ask(port, *words):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(redis_command(*words))
        return int(connection.recv(100).strip(b":\r\n"))


def redis_client(port, connections, worker, seconds):
    """Sends pipelines on every connection, and the next on each that was answered."""
    import selectors

    at, user, amount, note = (text.encode() for text in event_values())
    number = FIRST_EVENT + worker * 10**12
    selector, took = selectors.DefaultSelector(), []
    # Commands of equal length: only the number differs.
    one = redis_command(b"XADD", b"events", b"*", b"event_id", b"%d", b"at", at, b"user", user, b"amount", amount, b"note", note)
    one = one.replace(b"$2\r\n%d", b"$16\r\n%d")

    def send(connection):
        nonlocal number
        block = b"".join(one % (number + i) for i in range(EVENTS_PER_REQUEST))
        number += EVENTS_PER_REQUEST
        connection.sendall(block)
        return [time.perf_counter(), 0]

    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, send(connection))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(timeout=1):
            # An answer to XADD is a length and an id, two lines.
            key.data[1] += key.fileobj.recv(1 << 16).count(b"\n")
            if key.data[1] >= 2 * EVENTS_PER_REQUEST:
                took.append((time.perf_counter() - key.data[0]) * 1000)
                key.data[:] = send(key.fileobj)
    return took


def postgresql_copy(folder, seconds):
    """COPY of 100 rows and a commit, by psql."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb, server, psql = (program(name, *places) for name in ("initdb", "postgres", "psql"))
    folder.mkdir()
    as_other = {"user": "nobody"} if os.geteuid() == 0 else {}
    if as_other:
        shutil.chown(folder, "nobody")
        folder.parent.chmod(0o755)
    port, data = free_port(), folder / "data"
    setup = [initdb, "-D", data, "-U", "bench", "-A", "trust", "--no-sync"]
    subprocess.run(setup, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_other)
    line = [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
    line += ["-c", "max_connections=80", "-c", "synchronous_commit=on", "-c", "fsync=on"]
    table = "create table events (event_id bigint, at timestamptz, \"user\" text, amount double precision, note text)"
    ask = [psql, "-h", "127.0.0.1", "-p", str(port), "-U", "bench", "-d", "postgres", "-qAt"]
    with running(line, folder.parent / "postgres.log", cwd="/", **as_other):
        wait_for_port(port)
        for _ in range(100):
            if subprocess.run([*ask, "-c", table], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        run = in_processes(postgresql_client, [ask], seconds)
        stored = subprocess.run([*ask, "-c", "select count(*) from events"], check=True, capture_output=True, text=True)
    told = {"stored": int(stored.stdout), "includes": "COPY of 100 rows per transaction, synchronous_commit=on"}
    return run | {"version": version(server), **told}


def postgresql_client(ask, connections, worker, seconds):
    """One psql per connection, each fed by a thread."""
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        done = [pool.submit(feed_psql, ask, worker * 1000 + i, seconds) for i in range(connections)]
        return [ms for one in done for ms in one.result()]


def feed_psql(ask, connection, seconds):
    at, user, amount, note = event_values()
    rest = f"\t{at}\t{user}\t{amount}\t{note}\n"
    number, took = FIRST_EVENT + connection * 10**9, []
    psql = subprocess.Popen(ask, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        rows = "".join(f"{number + i}{rest}" for i in range(EVENTS_PER_REQUEST))
        number += EVENTS_PER_REQUEST
        # The echo comes only once the transaction of the COPY is committed.
        psql.stdin.write(f"copy events from stdin;\n{rows}\\.\n\\echo done\n")
        psql.stdin.flush()
        if psql.stdout.readline() != "done\n":
            raise RuntimeError("psql ended")
        took.append((time.perf_counter() - began) * 1000)
    psql.stdin.close()
    psql.wait()
    return took


def wait_for_port(port, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens on port {port}")
        time.sleep(0.05)


def version(server):
    return subprocess.run([server, "--version"], capture_output=True, text=True).stdout.strip()


def print_report(report):
    """The report for people."""
    told = report["machine"]
    print(f"ingest: profile {report['profile']}, {told['cpus']} cpus, load {told['load_1m']}, {CONNECTIONS} connections")
    if not report["equal"]:
        print(f"  EVENTS DIFFER: {report['wrong']}")
        return
    own = report["seawall"]
    print("  every acknowledged event is in its table exactly once")
    rows = [(f"seawall {name}", run["events_per_s"], run["ack_ms"]) for name, run in own["runs"].items()]
    rows += [("raw log", report["raw_log"]["events_per_s"], None)]
    rows += [(name, peer["events_per_s"], peer["ack_ms"]) for name, peer in report["peers"].items()]
    print(f"  {'':<20} {'events/s':>12} {'ack p50 ms':>12} {'p99':>8}")
    for name, rate, ack in rows:
        print(f"  {name:<20} {rate:>12,.0f}" + (f" {ack['p50']:>12.1f} {ack['p99']:>8.1f}" if ack else ""))
    print(f"  sustained, tables included: {own['sustained_events_per_s']:,.0f} events/s")
    print(f"  arrow over raw log: {report['ratios']['arrow_over_raw_log']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
