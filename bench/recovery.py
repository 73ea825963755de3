#!/usr/bin/env python3
"""How long a start takes over a log that was not taken over yet, and how much memory it needs.

Usage: recovery.py [--gb N] [--rounds N] [--binary PATH] [--json]

Events are sent to a server over HTTP until its log has N GB (default 1). Then the server is killed, and three starts are
timed, each on a copy of the data folder as the kill left it:

    killed        as it is: checkpoints, and the log behind them
    features      without the checkpoints of the features, which are folded from the whole log
    everything    only the log is left: order, tables and features are made of all of it

For each: seconds until /health answers, until a query over a table answers (as the table is by then), until the server
is started and takes events, until features answer, until tables and features hold every event; and the largest resident memory beyond that of a start
that has nothing to read, and beyond what the online store and deduplication keep, which is what the server takes once it
has settled.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

import frame

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
name: Events
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: amount, logicalType: number}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
      - {property: seawall.dedupHorizon, value: 1h}
"""
DECLARATIONS = """\
kind: source
name: events
http: {}
contract: events@1
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_24h: {count: "*", window: 24h}
  sum_24h: {sum: amount, window: 24h}
"""
USERS = 1_000
EVENTS_PER_REQUEST = 20_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gb", type=float, default=1.0, help="size of the log (default 1)")
    parser.add_argument("--rounds", type=int, default=1, help="starts of each kind (default 1)")
    parser.add_argument("--binary", type=Path, help="the seawall binary; found or built when absent")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    binary = frame.find_binary(arguments.binary)
    with tempfile.TemporaryDirectory(prefix="seawall-recovery-") as folder:
        report = measure(Path(folder), binary, arguments)
    if arguments.json:
        print(json.dumps(report))
    else:
        for kind, values in report["starts"].items():
            print(f"{kind:<12}", "  ".join(f"{name} {value}" for name, value in values.items()))
    sys.exit(0 if report["complete"] else 1)


def measure(folder, binary, arguments):
    project, empty, data = folder / "project", folder / "empty", folder / "data"
    (project / "contracts").mkdir(parents=True)
    (project / "seawall.yaml").write_text("kind: project\nname: events\n")
    (project / "contracts" / "events.odcs.yaml").write_text(CONTRACT)
    (project / "declarations.yaml").write_text(DECLARATIONS)
    frame.command(binary, project, empty, "apply")
    # Made once, so that the first start has its folders too.
    idle = timed_start(binary, project, copy(empty, folder / "idle"), 0)
    shutil.copytree(empty, data)
    events, log_bytes, per_second = fill(binary, project, data, arguments.gb)
    starts = {"idle": idle}
    complete = True
    for kind, without in [("killed", []), ("features", ["online"]), ("everything", None)]:
        rounds = []
        for _ in range(arguments.rounds):
            copied = copy(data, folder / "copy")
            if without is None:
                shutil.rmtree(copied)
                shutil.copytree(empty, copied)
                shutil.rmtree(copied / "log", ignore_errors=True)
                shutil.copytree(data / "log", copied / "log")
            for name in without or []:
                shutil.rmtree(copied / name)
            rounds.append(timed_start(binary, project, copied, events))
        complete = complete and all(found["events"] == events for found in rounds)
        starts[kind] = {name: round(statistics.median(found[name] for found in rounds), 2) for name in rounds[0]}
    return {
        "bench": "recovery",
        "profile": binary.profile,
        "cpus": os.cpu_count(),
        "load_1m": os.getloadavg()[0],
        "events": events,
        "log_bytes": log_bytes,
        "ingested_per_s": per_second,
        "complete": complete,
        "starts": starts,
    }


def copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def start(binary, project, data, port=0):
    address = f"127.0.0.1:{port}"
    line = [binary.path, "-C", project, "--data-dir", data, "serve", "--listen", address, "--output", "json"]
    log = open(Path(data) / "serve.log", "a")
    server = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
    log.close()
    return server


def listening(server, data):
    announced = server.stdout.readline()
    if not announced:
        raise RuntimeError(f"the server did not start: {(Path(data) / 'serve.log').read_text()}")
    return urlparse(json.loads(announced)["listening"])


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port):
    """Waits until a server answers at `port`, which it does while it is still being started."""
    while True:
        try:
            return ask(urlparse(f"http://127.0.0.1:{port}"), "/health")
        except ConnectionError:
            time.sleep(0.01)


def ask(address, path, body=None):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
    connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"} if body else {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def fill(binary, project, data, gigabytes):
    """Sends events until the log is large enough, and kills the server right after the last answer."""
    server = start(binary, project, data)
    address = listening(server, data)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
    events, log_bytes, began = 0, 0, time.perf_counter()
    while log_bytes < gigabytes * 1e9:
        lines = (
            f'{{"event_id":"e{n:012}","happened_at":"{now}","user_id":"u{n % USERS:06}","amount":{n % 997}.25}}'
            for n in range(events, events + EVENTS_PER_REQUEST)
        )
        body = "\n".join(lines).encode()
        connection.request("POST", "/v1/datasets/events/events", body, {"content-type": "application/x-ndjson"})
        response = connection.getresponse()
        text = response.read()
        if response.status in (429, 503):
            time.sleep(float(response.headers.get("retry-after", "0.2")))
            continue
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {text[:500]}")
        events += EVENTS_PER_REQUEST
        log_bytes = sum(path.stat().st_size for path in (data / "log").glob("*.log"))
    per_second = round(events / (time.perf_counter() - began))
    server.kill()
    server.wait()
    server.stdout.close()
    return events, log_bytes, per_second


class Memory(threading.Thread):
    """The largest resident memory of a process, and the last."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.largest, self.last, self.stop = pid, 0.0, 0.0, threading.Event()

    def run(self):
        while not self.stop.wait(0.02):
            self.look()

    def look(self):
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            # Pages of files that are mapped are not the server's own.
            if line.startswith("RssAnon"):
                self.last = int(line.split()[1]) / 1024
                self.largest = max(self.largest, self.last)


def timed_start(binary, project, data, events):
    began, port = time.perf_counter(), free_port()
    server = start(binary, project, data, port)
    memory = Memory(server.pid)
    memory.start()
    found = {}
    try:
        since = lambda: time.perf_counter() - began
        status, text = answers(port)
        found["health_s"] = since() if status == 200 else None
        query = json.dumps({"sql": "select count(*) as n from events"})
        address = urlparse(f"http://127.0.0.1:{port}")
        while (first := ask(address, "/v1/query", query))[0] == 503:
            time.sleep(0.01)
        found["query_s"] = since()
        if first[0] != 200 or json.loads(first[1])["rows"][0]["n"] > events:
            raise RuntimeError(f"the first answer from a table is wrong: {first}")
        listening(server, data)
        found["started_s"] = since()
        features = json.dumps({"views": ["users@1"], "rows": [{"user_id": "u000001"}]})
        while ask(address, "/v1/features", features)[0] == 503:
            time.sleep(0.02)
        found["features_s"] = since()
        while True:
            progress = json.loads(ask(address, "/v1/status")[1])["progress"]
            durable = progress["durable_entries"]
            if progress["committed_entries"] == durable and progress["folded_entries"] == durable:
                break
            time.sleep(0.05)
        found["caught_up_s"] = since()
        found["events"] = json.loads(ask(address, "/v1/query", query)[1])["rows"][0]["n"]
        answer = json.loads(ask(address, "/v1/features", features)[1])
        counted = answer["views"][0]["rows"][0]["n_24h"] or 0
        if counted != events // USERS:
            raise RuntimeError(f"{counted} events of a user in the features, not {events // USERS}")
        found["memory_peak_mb"] = memory.largest
        time.sleep(2)
        found["memory_settled_mb"] = memory.last
    finally:
        memory.stop.set()
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stdout.close()
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()}


if __name__ == "__main__":
    main()
