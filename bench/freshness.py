#!/usr/bin/env python3
"""From a sent event to the changed served value, while other events come in at a steady rate; and how fast tables become
features.

Usage: freshness.py [--rate N] [--seconds N] [--entities N] [--quick] [--binary PATH] [--json]

Freshness: `seawall bench load` sends --rate events per second (default 20,000) over 16 connections, in requests of 100,
each acknowledged after a sync. Meanwhile a probe sends single events, and asks for the feature that each changes until it
has changed. Latency counts from before the event is sent, the sync and the asking included.

Materialize: --entities rows (default 1,000,000) of 250 integers lie in a table. 25 views of 10 latest values are then
declared, and the time of `apply` until all of them are filled from the table counts, reading included, in values per
second, with the largest resident memory. Some entities are then asked for, and must have their rows' values (`equal`).
"""

import argparse
import http.client
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import frame
import serve

PROJECT = Path(__file__).resolve().parent / "freshness"
PROBE_TIMEOUT_S = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rate", type=int, default=20_000, help="events per second beside the probe (default 20,000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long events come in (default 30)")
    parser.add_argument("--entities", type=int, default=1_000_000, help="rows to materialize (default 1,000,000)")
    parser.add_argument("--quick", action="store_true", help="5 seconds, 20,000 entities")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: a temporary one)")
    parser.add_argument("--binary", type=Path, help="the seawall binary; found or built when absent")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    settings = parser.parse_args()
    frame.use_pinned_packages(__file__)
    if settings.quick:
        settings.seconds, settings.entities = min(settings.seconds, 5.0), min(settings.entities, 20_000)
    binary = frame.find_binary(settings.binary)
    report = {"bench": "freshness", "profile": binary.profile, "machine": frame.machine(), "equal": True, "seawall": {}}
    with tempfile.TemporaryDirectory(prefix="seawall-freshness-", dir=settings.folder) as folder:
        if settings.rate:
            report["seawall"] |= freshness(binary, Path(folder), settings)
        if settings.entities:
            told = materialize(binary, Path(folder), settings)
            report["equal"] = told.pop("equal")
            report["seawall"] |= told
    if settings.json:
        print(json.dumps(report))
    else:
        print(f"freshness: profile {report['profile']}, load {report['machine']['load_1m']}, equal {report['equal']}")
        for name, value in report["seawall"].items():
            print(f"  {name:<28} {value}")
    return 0 if report["equal"] else 1


def freshness(binary, folder, settings):
    """Percentiles of the time until a probe is served, and what the load came to."""
    data = folder / "fresh"
    frame.command(binary, PROJECT, data, "apply")
    with frame.serving(binary, PROJECT, data) as (client, _):
        host = client.url.removeprefix("http://")
        line = [binary.path, "bench", "load", "--host", host, "--rate", str(settings.rate), "--connections", "16"]
        line += ["--seconds", str(settings.seconds)]
        load = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        probe, latencies, acknowledged = Probe(host), [], []
        until = time.perf_counter() + settings.seconds - 2
        while time.perf_counter() < until:
            ack_ms, served_ms = probe.once()
            acknowledged.append(ack_ms)
            latencies.append(served_ms)
        run = json.loads(load.communicate(timeout=120)[0])
    return {
        "event_to_served_p50_ms": quantile(latencies, 0.5),
        "event_to_served_p99_ms": quantile(latencies, 0.99),
        "event_to_served_max_ms": quantile(latencies, 1.0),
        "event_to_acknowledged_p99_ms": quantile(acknowledged, 0.99),
        "probes": len(latencies),
        "events_per_s": round(run["events_per_s"], 1),
        "load_ack_p99_ms": run["ack_ms"]["p99"],
    }


class Probe:
    """Sends an event and asks until it is served, over two connections that are kept open."""

    def __init__(self, host):
        self.number = 0
        self.sending = http.client.HTTPConnection(host, timeout=60)
        self.asking = http.client.HTTPConnection(host, timeout=60)

    def once(self):
        """Milliseconds until the event was acknowledged, and until the feature showed it."""
        self.number += 1
        now = datetime.now(timezone.utc).isoformat()
        amount = self.number % 1_000
        event = {"event_id": self.number, "at": now, "user": "probe", "amount": amount, "note": "probe"}
        began = time.perf_counter()
        receipt = self.post(self.sending, "/v1/datasets/events/events", event)
        acknowledged = time.perf_counter()
        if receipt["counts"]["accepted"] != 1:
            raise RuntimeError(f"the probe was not accepted: {receipt}")
        while True:
            answer = self.post(self.asking, "/v1/features", {"views": ["users@1"], "rows": [{"user": "probe"}]})
            if answer["views"][0]["rows"][0]["amount"] == amount:
                ended = time.perf_counter()
                return (acknowledged - began) * 1000, (ended - began) * 1000
            if time.perf_counter() - began > PROBE_TIMEOUT_S:
                raise RuntimeError(f"the probe was not served within {PROBE_TIMEOUT_S} s: {answer}")

    def post(self, connection, path, body):
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {told}")
        return told


def quantile(values, share):
    """The least measured value that is not below that share of them."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, max(0, -(-int(share * 1e6) * len(ordered) // 1_000_000) - 1))], 3)


def materialize(binary, folder, settings):
    """How fast 25 views are filled from a table that is there already."""
    rows = serve.Rows(folder / "rows", list(range(settings.entities)))
    project, data = folder / "project", folder / "data"
    serve.declare(project, rows.path)
    declared = project / "declarations.yaml"
    source, views = declared.read_text().split("---\n", 1)
    declared.write_text(source)
    frame.command(binary, project, data, "apply")
    frame.command(binary, project, data, "run")
    declared.write_text(f"{source}---\n{views}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began = time.perf_counter()
    frame.command(binary, project, data, "apply")
    with frame.serving(binary, project, data) as (client, server):
        seconds = time.perf_counter() - began
        host = client.url.removeprefix("http://")
        peak = peak_mb(server)

        def get(keys):
            answer = serve.post(f"http://{host}/v1/features", serve.own_body(keys))
            found = [[] for _ in keys]
            for view in answer["views"]:
                for values, row in zip(found, view["rows"], strict=True):
                    values.extend(row.values())
            return found

        wrong = serve.differing(rows, get)
    values = settings.entities * serve.VIEWS * serve.FEATURES
    return {
        "equal": wrong is None,
        "materialize_values": values,
        "materialize_s": round(seconds, 2),
        "materialize_values_per_s": round(values / seconds),
        "materialize_peak_mb": peak,
        "apply_peak_mb": round(max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024, 1),
    }


def peak_mb(process):
    """Largest resident memory that another process had so far; none where /proc does not tell."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


if __name__ == "__main__":
    sys.exit(main())
