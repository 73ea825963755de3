"""A real server on a small project in a temporary folder."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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
      - {name: shop_id, logicalType: string}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: items, logicalType: integer}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
"""

# A dataset without a key: repeats cannot be told from new rows.
CLICKS_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: clicks
version: 1.0.0
name: Clicks
status: active
schema:
  - name: clicks
    properties:
      - {name: clicked_at, logicalType: timestamp, required: true}
      - {name: page, logicalType: string}
    customProperties:
      - {property: seawall.eventTime, value: clicked_at}
"""

DECLARATIONS = """\
kind: source
name: events
http: {}
contract: events@1
---
kind: source
name: clicks
http: {}
contract: clicks@1
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_24h: {count: "*", window: 24h}
  sum_24h: {sum: amount, window: 24h}
  last_amount: {latest: amount, ttl: 30d}
---
kind: feature_view
name: shops
entity: shop_id
from: events
time: happened_at
features:
  n_24h: {count: "*", window: 24h}
---
kind: training_set
name: next_amount
rows: {from: events, at: happened_at, own_row: exclude}
label: {from: events, join: event_id, column: amount}
features: [users@1, shops@1]
context: {doubled: amount * 2}
---
kind: feature_service
name: pair
features: [{view: users@1, only: [sum_24h]}, shops@1]
request: {amount: double}
derived: {share: amount / users__sum_24h}
"""


def binary():
    """The binary under test."""
    path = os.environ.get("SEAWALL_BINARY")
    if not path or not Path(path).is_file():
        raise RuntimeError("SEAWALL_BINARY must name the seawall binary: cargo build, then target/debug/seawall")
    return path


class Server:
    """A project and the server on it."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="seawall-client-")
        self.project = Path(self.folder.name)
        self.data = self.project / ".seawall" / "data"
        (self.project / "contracts").mkdir()
        (self.project / "seawall.yaml").write_text("kind: project\nname: events\n")
        (self.project / "contracts" / "events.odcs.yaml").write_text(CONTRACT)
        (self.project / "contracts" / "clicks.odcs.yaml").write_text(CLICKS_CONTRACT)
        (self.project / "declarations.yaml").write_text(DECLARATIONS)
        self.run("apply")
        self.options = options
        self.address = "127.0.0.1:0"
        self.start()

    def run(self, *arguments):
        """Runs a command to its end and returns what it printed."""
        command = [binary(), "-C", str(self.project), *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        """Starts the server; on its old address, when it ran before."""
        command = [binary(), "-C", str(self.project), "serve", "--listen", self.address, "--output", "json"]
        self.log = open(self.project / "serve.log", "a")
        self.process = subprocess.Popen(
            [*command, *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError((self.project / "serve.log").read_text())
        announced = json.loads(line)
        self.url = announced["listening"]
        self.flight = announced.get("flight")
        self.address = self.url.split("//")[1]

    def kill(self):
        """Kills the server without warning."""
        self.process.kill()
        self._reap()

    def stop(self):
        """Ends the server as a service manager would, and removes the project."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._reap()
        self.folder.cleanup()

    def _reap(self):
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()


def eventually(check, seconds=20.0):
    """Waits until `check()` is true."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true in time")
        time.sleep(0.05)
