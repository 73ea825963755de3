"""Seawall from Python: query tables, push events, ask for features, training sets and predictions.

>>> import seawall
>>> client = seawall.connect()                                    # or SEAWALL_URL and SEAWALL_TOKEN
>>> client.query("select count(*) as n from payments").to_pylist()
[{'n': 178360}]
>>> client.features("card@1", [{"card_id": "c1"}]).to_pandas()    # features of the present

Everything runs on the standard library. With pyarrow installed, rows travel as Arrow: types, bits and nulls arrive as
they are stored. Without it they travel as JSON, and instants and decimals arrive as text and floats. pandas and polars
are imported when they are asked for.

Errors are `seawall.Error`, with the code that `seawall explain CODE` tells more about.
"""

from __future__ import annotations

import datetime
import decimal
import html
import http.client
import importlib.util
import io
import itertools
import json
import os
import random
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence, Union

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

__all__ = ["Client", "Error", "Receipt", "Result", "TrainingSet", "Verdict", "connect"]
__version__ = "0.1.0"

DEFAULT_URL = "http://127.0.0.1:8321"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"
# The server takes 32 MiB; a larger batch is sent in parts.
BODY_BYTES_MAX = 16 << 20
# How often a request is tried, and how long all its tries may take together, waiting included.
TRIES_MAX = 8
TRYING_SECONDS_MAX = 60.0
# Nobody is helped by trying again: somebody has to look at the dataset first.
HALTED = ("SW0821", "SW0822")
SHOWN_ROWS = 10

# What holds rows: dicts, or a table of pandas, polars or Arrow.
Rows = Union[Mapping[str, Any], Iterable[Mapping[str, Any]], "pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"]
Instant = Union[str, datetime.datetime]


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    timeout: float = 300.0,
    ca_file: str | os.PathLike[str] | None = None,
) -> Client:
    """A client of the server at `url`, or of the one that runs on `data_dir`.

    Without either, `SEAWALL_URL` names the server, and `http://127.0.0.1:8321` is the default. `token` defaults to
    `SEAWALL_TOKEN`. `timeout` is in seconds and holds for each answer. `ca_file` is a PEM file of certificates to trust
    instead of the system's.

    >>> connect("https://seawall.example.com", token="sw_...")
    >>> connect(data_dir="shop/.seawall/data")

    Raises `Error` SW0899 when no server runs on `data_dir`; otherwise nothing is asked yet.
    """
    if url is not None and data_dir is not None:
        raise ValueError("name either url or data_dir")
    if data_dir is not None:
        return _connect_to_data(Path(data_dir), token, timeout, ca_file)
    url = url or os.environ.get("SEAWALL_URL") or DEFAULT_URL
    return Client(url, token, timeout=timeout, ca_file=ca_file)


def _connect_to_data(data: Path, token: str | None, timeout: float, ca_file: Any) -> Client:
    hint = "start one with `seawall -C PROJECT serve`"
    try:
        running = json.loads((data / "serve.json").read_text(encoding="utf-8"))
        client = Client(running["url"], token, timeout=timeout, ca_file=ca_file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Error("SW0899", f"no server runs on {data}", hint=hint) from error
    if client._get("/health").get("instance") != running.get("instance"):
        raise Error("SW0899", f"the server at {running['url']} does not run on {data}", hint=hint)
    return client


class Error(Exception):
    """What the server refused, or what kept it from answering.

    `code` is what `seawall explain` knows; `message` says what happened and `hint` what to do about it; `status` is the
    HTTP status, or None when there was no answer. `kind` says who has to act: `invalid`, `denied`, `not_found`,
    `conflict`, `unavailable`, `corrupt` or `internal`. After a `push` that failed half way, `receipt` tells what was
    taken in before.
    """

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, status: int | None = None, kind: str = "unavailable"
    ) -> None:
        super().__init__(f"[{code}] {message}" + (f"\nhint: {hint}" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.kind = kind
        self.receipt: Receipt | None = None


class Result:
    """Rows of an answer, in whatever form is asked for.

    >>> result = client.query("select card_id, amount_eur from payments limit 2")
    >>> len(result), result.columns
    (2, ['card_id', 'amount_eur'])
    >>> [row["card_id"] for row in result]
    ['c1', 'c7']

    `truncated` says whether rows were left out; `known_at` and `cut` say what features were made from: they saw the
    rows within the cut that were available before that instant. `status` has, for each row, what each feature's value is:
    `present`, `null`, `not_found` or `outside_ttl`. `degraded` says that the answer lags more than it should, and
    `staleness_ms` by how much. `info` holds what else the server told.
    """

    def __init__(
        self,
        rows: list[dict[str, Any]] | None = None,
        *,
        table: pyarrow.Table | None = None,
        status: list[dict[str, str]] | None = None,
        **info: Any,
    ) -> None:
        self._rows = rows
        self._table = table
        self.status = status
        self.info = info
        self.truncated: bool = bool(info.get("truncated", False))
        self.known_at: str | None = info.get("known_at")
        self.cut: str | None = info.get("cut")
        self.degraded: bool = info.get("degraded") in (True, "true")
        self.staleness_ms: int = int(info.get("staleness_ms") or 0)

    @property
    def columns(self) -> list[str]:
        """Names of the columns. An answer without rows that came as JSON has none."""
        if self._table is not None:
            return list(self._table.column_names)
        return list(self._rows[0]) if self._rows else []

    def to_pylist(self) -> list[dict[str, Any]]:
        """One dict per row."""
        if self._rows is None:
            self._rows = self._table.to_pylist()
        return self._rows

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table; needs pyarrow."""
        if self._table is None:
            import pyarrow

            self._table = pyarrow.Table.from_pylist(self._rows)
        return self._table

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame of pandas; instants keep their zone."""
        import pandas

        if self._table is not None:
            return self._table.to_pandas()
        return pandas.DataFrame(self._rows)

    def to_polars(self) -> polars.DataFrame:
        """A DataFrame of polars."""
        import polars

        if self._table is not None:
            return polars.DataFrame(polars.from_arrow(self._table))
        return polars.DataFrame(self._rows, infer_schema_length=None)

    def __len__(self) -> int:
        return self._table.num_rows if self._table is not None else len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_pylist())

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.to_pylist()[row]

    def _caption(self) -> str:
        told = [f"{len(self):,} row{'' if len(self) == 1 else 's'}"]
        told += ["more were left out"] if self.truncated else []
        told += [f"{self.staleness_ms} ms behind"] if self.degraded else []
        told += [f"{key} {value}" for key in ("known_at", "cut") if (value := getattr(self, key))]
        return ", ".join(told)

    def _head(self) -> list[dict[str, Any]]:
        if self._table is not None:
            return self._table.slice(0, SHOWN_ROWS).to_pylist()
        return self._rows[:SHOWN_ROWS]

    def __repr__(self) -> str:
        return f"<seawall.Result {self._caption()}: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        return _html_table(self.columns, [list(row.values()) for row in self._head()], self._caption())


@dataclass
class Verdict:
    """What became of one pushed row that was not simply accepted.

    `row` is its index in what was pushed (after the source's map), or None for a row that could not be decoded;
    `verdict` is `quarantined`, `deduplicated` or `rejected`; each reason has `rule`, `column`, `message` and `mode`.
    """

    row: int | None
    verdict: str
    reasons: list[dict[str, Any]]


@dataclass
class Receipt:
    """What became of pushed rows, all of them: received = accepted + quarantined + deduplicated + rejected.

    Everything up to `cut` is durable. `rows` has a `Verdict` for each row that was not simply accepted, up to 1,000 per
    request; `rows_omitted` is the number of the others.
    """

    dataset: str
    received: int = 0
    accepted: int = 0
    quarantined: int = 0
    deduplicated: int = 0
    rejected: int = 0
    cut: str = ""
    rows: list[Verdict] = field(default_factory=list)
    rows_omitted: int = 0
    warnings: list[str] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every row is in the dataset: accepted now, or before."""
        return self.received == self.accepted + self.deduplicated

    def _add(self, answer: Mapping[str, Any], first: int) -> None:
        for name, count in answer["counts"].items():
            setattr(self, name, getattr(self, name, 0) + count)
        self.cut = _join_cuts(self.cut, answer["cut"])
        for one in answer["rows"]:
            row = None if one["row"] is None else one["row"] + first
            self.rows.append(Verdict(row, one["verdict"], one["reasons"]))
        self.rows_omitted += sum(answer.get("rows_omitted", {}).values())
        self.warnings += [one for one in answer["warnings"] if one not in self.warnings]
        self.unknown_columns += [c for c in answer.get("unknown_columns", []) if c not in self.unknown_columns]

    def __repr__(self) -> str:
        counts = ("received", "accepted", "quarantined", "deduplicated", "rejected")
        shown = [name for name in counts if getattr(self, name) or name == "received"]
        told = ", ".join(f"{getattr(self, name):,} {name}" for name in shown)
        return f"<seawall.Receipt {self.dataset}: {told}, cut {self.cut or 'none'}>"

    def _repr_html_(self) -> str:
        reasons = lambda one: "; ".join(f"{r['rule']}: {r['message']}" for r in one.reasons)
        shown = [[one.row, one.verdict, reasons(one)] for one in self.rows[:SHOWN_ROWS]]
        return _html_table(["row", "verdict", "reasons"] if shown else [], shown, repr(self)[1:-1])


class TrainingSet:
    """One build of a training set: which table version holds it, what it was made of, and its rows.

    >>> fraud = client.training_set("fraud")
    >>> fraud.version, fraud.fingerprint["content"][:12]
    (3, '4833e4130f04')
    >>> frame = fraud.rows.to_pandas()

    `fingerprint` pins inputs with versions and cuts, definitions and content: equal fingerprints, equal rows. `rows` is
    read when it is first asked for, in order of decision time and key.
    """

    def __init__(self, client: Client, name: str, table: str, key: Sequence[str], build: Mapping[str, Any]) -> None:
        self._client = client
        self._key = list(key)
        self._rows: Result | None = None
        self.name = name
        self.table = table
        self.version: int = build["version"] if "version" in build else build["table_version"]
        self.fingerprint: dict[str, Any] = build["fingerprint"]
        # Milliseconds that the engine and the whole build took; only known of a build that was just made.
        self.engine_ms: int | None = build.get("engine_ms")
        self.elapsed_ms: int | None = build.get("elapsed_ms")

    @property
    def rows(self) -> Result:
        """The rows of this version, in order of decision time and key."""
        if self._rows is None:
            order = ", ".join(_quoted(column) for column in ["_at", *self._key])
            sql = f"select * from {_quoted(self.table)} order by {order}"
            self._rows = self._client.query(sql, versions={self.table: self.version})
        return self._rows

    def _caption(self) -> str:
        told = self.fingerprint
        labelled = f"{told['rows']:,} rows, {told['labelled']:,} labelled"
        return f"{self.name} version {self.version}: {labelled}, content {told['content'][:12]}"

    def __repr__(self) -> str:
        return f"<seawall.TrainingSet {self._caption()}>"

    def _repr_html_(self) -> str:
        inputs = [[one["table"], one["version"], json.dumps(one["cut"])] for one in self.fingerprint["inputs"]]
        return _html_table(["input", "version", "cut"], inputs, self._caption())


class Client:
    """A connection to one server. It keeps no state but the address and the token, and may be shared by threads."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 300.0, ca_file: Any = None) -> None:
        self.url = url.rstrip("/")
        address = urllib.parse.urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{url!r} is no address of a server, such as {DEFAULT_URL}")
        self._token = token or os.environ.get("SEAWALL_TOKEN")
        self._timeout = timeout
        handlers: list[Any] = [_NoRedirects()]
        if address.hostname in ("127.0.0.1", "::1", "localhost"):
            handlers.append(urllib.request.ProxyHandler({}))
        if ca_file is not None:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=os.fspath(ca_file))))
        self._opener = urllib.request.build_opener(*handlers)

    def __repr__(self) -> str:
        return f"<seawall.Client {self.url}>"

    def query(self, sql: str, versions: Mapping[str, int] | None = None, *, rows_max: int | None = None) -> Result:
        """Runs one read-only statement. `versions` names tables to read at an older version instead of the newest.

        >>> client.query("select channel, count(*) as n from payments group by channel").to_polars()
        >>> client.query("select * from payments", versions={"payments": 12}, rows_max=100)

        `rows_max` cuts the answer off, and `Result.truncated` says so; None asks for every row.
        """
        body = {"sql": sql, "rows_max": rows_max, "versions": dict(versions or {})}
        answer = self._post("/v1/query", body, arrow=True)
        return answer if isinstance(answer, Result) else Result(answer.pop("rows"), **answer)

    def features(self, training_set_or_views: str | Sequence[str], rows: Rows, at: Instant | None = None) -> Result:
        """Features of the present, one row per decision in `rows`, in the same order.

        >>> client.features("fraud", [{"payment_id": "p9", "card_id": "c1", "amount_eur": 12.5}])  # a training set
        >>> client.features("card@1", frame)                                                     # one view
        >>> client.features(["card@1", "terminal@2"], rows, at="2026-03-01T12:00:00Z")           # several views

        A training set's vectors are recorded, so that they can be proven later; those of views are not. The columns of
        several views are named VIEW__FEATURE. Views also answer a moment `at` of the past, from the tables; then
        `info["source"]` is `tables`. `Result.status` tells what each value is.
        """
        body: dict[str, Any] = {"rows": _plain(_dicts(rows))}
        if at is not None:
            body["at"] = _instant(at)
        if isinstance(training_set_or_views, str) and "@" not in training_set_or_views:
            answer = self._post("/v1/features", {"training_set": training_set_or_views, **body}, arrow=True)
            return answer if isinstance(answer, Result) else _features_result(answer)
        if isinstance(training_set_or_views, str):
            answer = self._post("/v1/features", {"views": [training_set_or_views], **body}, arrow=True)
            return answer if isinstance(answer, Result) else _features_result(answer["views"][0])
        answer = self._post("/v1/features", {"views": list(training_set_or_views), **body})
        return _joined_views(answer["views"])

    def vector(self, service: str, rows: Rows, at: Instant | None = None) -> Result:
        """Vectors of a feature service, one row per request in `rows`, in the same order.

        >>> client.vector("fraud", [{"card_id": "c1", "merchant_id": 7, "amount": 12.5}])

        `service` is `NAME` or `NAME@VERSION`. Features are named VIEW__FEATURE; derived ones have their own names.
        `Result.status` tells what each value is. What is recorded is what the service's `log` takes.
        """
        body: dict[str, Any] = {"service": service, "rows": _plain(_dicts(rows))}
        if at is not None:
            body["at"] = _instant(at)
        answer = self._post("/v1/features", body, arrow=True)
        return answer if isinstance(answer, Result) else _features_result(answer)

    def training_set(self, name: str, version: int | None = None, rebuild: bool = False) -> TrainingSet:
        """A build of a training set: the newest, the one at table version `version`, or with `rebuild` a new one.

        >>> client.training_set("fraud", rebuild=True).rows.to_pandas()

        Raises `Error` when it was not built yet, or not at that version.
        """
        if rebuild and version is not None:
            raise ValueError("a new build has no version yet: give either version or rebuild")
        path = f"/v1/training-sets/{_segment(name)}"
        built = self._post(f"{path}/build", {}, again=False) if rebuild else None
        known = self._get(path)
        builds = {one["table_version"]: one for one in known["builds"]}
        if built is None and not builds:
            hint = f"build it: client.training_set({name!r}, rebuild=True)"
            raise Error("SW0812", f"training set {name!r} was not built yet", hint=hint, kind="not_found")
        build = built or builds.get(max(builds) if version is None else version)
        if build is None:
            hint = f"versions: {', '.join(map(str, sorted(builds)))}"
            raise Error("SW0812", f"training set {name!r} has no version {version}", hint=hint, kind="not_found")
        return TrainingSet(self, name, known["table"], known["key"], build)

    def push(
        self, dataset: str, rows: Rows, batch_rows: int = 5000, *, idempotency_key: str | None = None
    ) -> Receipt:
        """Sends rows to a dataset and waits until they are durable.

        >>> receipt = client.push("payments", [{"payment_id": "p1", "paid_at": "2026-03-01T12:00:00Z", ...}])
        >>> receipt.accepted, receipt.cut
        (1, '0:1200')
        >>> for one in receipt.rows:
        ...     print(one.row, one.verdict, one.reasons)

        `rows` may be an iterator of dicts without end in sight: it is read `batch_rows` at a time. Tables go as Arrow,
        dicts as JSON. A batch is sent again when the server is busy, restarting or gone for a while, for up to a
        minute; it has a key of its own, by which the server recognises it and answers as before. What was taken in
        before an error stands in its `receipt`.

        To repeat a whole push that failed, also from another process, give it an `idempotency_key` that is unique to
        these rows, and give the same rows in the same order again: what was taken in is not taken in twice.
        """
        if batch_rows < 1:
            raise ValueError("batch_rows must be at least 1")
        receipt = Receipt(dataset)
        path = f"/v1/datasets/{_segment(dataset)}/events"
        key = idempotency_key or uuid.uuid4().hex
        try:
            for number, (first, body, content_type) in enumerate(_bodies(rows, batch_rows)):
                sent = self._send("POST", path, body, content_type, patient=True, idempotency_key=f"{key}/{number}")
                receipt._add(_parsed(*sent), first)
        except Error as error:
            error.receipt = receipt
            raise
        return receipt

    def predict(self, model: str, rows: Rows, explain: bool = False) -> Result:
        """Scores decisions with the model's champion: `prediction_id`, `probability` and `status` per row.

        >>> scored = client.predict("fraud", [{"payment_id": "p9", "card_id": "c1", "amount_eur": 12.5}], explain=True)
        >>> scored[0]["reasons"]
        [{'input': 'card__n_1h', 'value': '7', 'contribution': 1.31}, ...]

        With `explain` each row has `reasons`: what its inputs added to the score, the largest first. `info` has the
        model's `version`.
        """
        body = {"rows": _plain(_dicts(rows)), "explain": explain}
        answer = self._post(f"/v1/models/{_segment(model)}/predict", body, again=False)
        return Result(answer.pop("predictions"), **answer)

    def champion(self, model: str, at: Instant | None = None) -> dict[str, Any]:
        """The version of a model that serves, or that served at `at`.

        >>> client.champion("fraud", at="2026-03-01T00:00:00Z")
        """
        asked = "" if at is None else "?" + urllib.parse.urlencode({"at": _instant(at)})
        return self._get(f"/v1/models/{_segment(model)}/champion{asked}")

    def incidents(self) -> list[dict[str, Any]]:
        """Incidents: what went wrong, since when, what it reaches and what to do.

        >>> [(one["id"], one["summary"]) for one in client.incidents() if one["closed"] is None]
        """
        answer = self._get("/v1/incidents")
        return answer["incidents"] if isinstance(answer, dict) else answer

    def status(self) -> dict[str, Any]:
        """What came in, what runs, and how far it has come.

        >>> client.status()["datasets"]["payments"]["counts"]["accepted"]
        178360
        """
        return self._get("/v1/status")

    def _get(self, path: str) -> Any:
        return _parsed(*self._send("GET", path))

    def _post(self, path: str, body: Mapping[str, Any], *, arrow: bool = False, again: bool = True) -> Any:
        accept = f"{ARROW_STREAM}, application/json;q=0.5" if arrow and _has("pyarrow") else "application/json"
        return _parsed(*self._send("POST", path, _json(body), "application/json", accept, again=again))

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = "application/json",
        again: bool = True,
        patient: bool = False,
        idempotency_key: str | None = None,
    ) -> tuple[Any, bytes]:
        """Headers and body of the answer. A busy server (429, 503) is asked again after the time that it tells. A
        connection that breaks is tried again when `again` allows it, one that is refused when `patient`."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={"Accept": accept})
        if content_type:
            request.add_header("Content-Type", content_type)
        if idempotency_key:
            request.add_header("Idempotency-Key", idempotency_key)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        deadline = time.monotonic() + TRYING_SECONDS_MAX
        for attempt in itertools.count(1):
            try:
                with self._opener.open(request, timeout=self._timeout) as response:
                    return response.headers, response.read()
            except urllib.error.HTTPError as refused:
                error, wait = _refusal(refused)
                may = refused.code in (429, 503) and error.code not in HALTED
            except (OSError, http.client.HTTPException) as broken:
                error, wait = _broken(self.url, broken), None
                cause = getattr(broken, "reason", broken)
                may = patient if isinstance(cause, ConnectionRefusedError) else _is_transient(cause) and again
            backoff = random.uniform(0.5, 1.0) * min(0.1 * 2**attempt, 5.0)
            pause = max(wait or 0.0, backoff)
            if not may or attempt >= TRIES_MAX or time.monotonic() + pause > deadline:
                raise error
            time.sleep(pause)
        raise AssertionError("the loop ends by returning or raising")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The server never redirects; a token must not follow somebody else's."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _refusal(refused: urllib.error.HTTPError) -> tuple[Error, float | None]:
    """The server's error, and after how many seconds it wants to be asked again."""
    body = refused.read()
    wait = refused.headers.get("Retry-After")
    seconds = float(wait) if wait and wait.isdigit() else None
    try:
        told = json.loads(body)["error"]
        error = Error(
            told["code"], told["message"], hint=told.get("hint"), status=refused.code, kind=told.get("kind", "internal")
        )
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace")
        message = f"{refused.code} {refused.reason}: {text}"
        error = Error("SW0898", message, hint="is this the address of a Seawall server?", status=refused.code)
    return error, seconds


def _broken(url: str, cause: Exception) -> Error:
    reason = getattr(cause, "reason", cause)
    error = Error("SW0899", f"the server at {url} does not answer: {reason}", hint="does `seawall serve` run there?")
    error.__cause__ = cause
    return error


def _is_transient(cause: Any) -> bool:
    """Whether the same request may succeed on a new connection."""
    return isinstance(cause, (ConnectionError, TimeoutError, http.client.HTTPException))


def _parsed(headers: Any, body: bytes) -> Any:
    """JSON as it is, Arrow as a `Result`."""
    if headers.get_content_type() == ARROW_STREAM:
        return _arrow_result(body)
    try:
        return json.loads(body)
    except ValueError as error:
        message = f"the answer is not JSON: {body[:200].decode('utf-8', 'replace')}"
        raise Error("SW0898", message, hint="is this the address of a Seawall server?") from error


def _arrow_result(body: bytes) -> Result:
    import pyarrow

    table = pyarrow.ipc.open_stream(body).read_all()
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    info: dict[str, Any] = {k.removeprefix("seawall."): v for k, v in metadata.items() if k.startswith("seawall.")}
    info["truncated"] = info.get("truncated") == "true"
    table = table.replace_schema_metadata(None)
    if "features" not in info:
        return Result(table=table, **info)
    info["features"] = json.loads(info["features"])
    status = [dict(zip(info["features"], of_row)) for of_row in table.column("_status").to_pylist()]
    return Result(table=table.drop_columns(["_status"]), status=status, **info)


def _features_result(answer: dict[str, Any]) -> Result:
    """A training set's or one view's answer in JSON; its last columns are the features."""
    rows, lists = answer.pop("rows"), answer.pop("status")
    names = list(rows[0])[-len(lists[0]) :] if rows and lists[0] else []
    status = [dict(zip(names, of_row)) for of_row in lists]
    return Result(rows, status=status, features=names, **answer)


def _joined_views(answers: Sequence[dict[str, Any]]) -> Result:
    """Answers of several views side by side, columns named VIEW__FEATURE; VIEW@VERSION__FEATURE for two versions."""
    names = [one["view"].split("@")[0] for one in answers]
    if len(set(names)) < len(names):
        names = [one["view"] for one in answers]
    count = len(answers[0]["rows"])
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    status: list[dict[str, str]] = [{} for _ in range(count)]
    for name, answer in zip(names, answers):
        for i, (values, of_row) in enumerate(zip(answer.pop("rows"), answer.pop("status"))):
            prefixed = {f"{name}__{feature}": value for feature, value in values.items()}
            rows[i].update(prefixed)
            status[i].update(zip(prefixed, of_row))
    told = lambda key: answers[0].get(key) if len({one.get(key) for one in answers}) == 1 else None
    return Result(rows, status=status, views=list(answers), known_at=told("known_at"), cut=told("cut"))


def _bodies(rows: Rows, batch_rows: int) -> Iterator[tuple[int, bytes, str]]:
    """Index of the first row, body and content type of each request."""
    table = _arrow_table(rows)
    if table is not None:
        for first in range(0, table.num_rows, batch_rows):
            batch = table.slice(first, batch_rows)
            yield from _within_limit(first, batch, batch.num_rows, lambda t, a, n: t.slice(a, n), _ipc, ARROW_STREAM)
        return
    source = iter(_dicts(rows))
    for first in itertools.count(0, batch_rows):
        batch = list(itertools.islice(source, batch_rows))
        if not batch:
            return
        yield from _within_limit(first, batch, len(batch), lambda r, a, n: r[a : a + n], _ndjson, NDJSON)


def _within_limit(
    first: int, rows: Any, count: int, cut: Any, encode: Any, kind: str
) -> Iterator[tuple[int, bytes, str]]:
    """The rows as one body, or halved until each part is small enough."""
    body = encode(rows)
    if len(body) <= BODY_BYTES_MAX or count == 1:
        yield first, body, kind
        return
    half = count // 2
    yield from _within_limit(first, cut(rows, 0, half), half, cut, encode, kind)
    yield from _within_limit(first + half, cut(rows, half, count - half), count - half, cut, encode, kind)


def _ndjson(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(_json(row) + b"\n" for row in rows)


def _ipc(table: pyarrow.Table) -> bytes:
    import pyarrow

    out = io.BytesIO()
    with pyarrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return out.getvalue()


def _library(rows: Any) -> str:
    return type(rows).__module__.split(".")[0]


def _arrow_table(rows: Any) -> pyarrow.Table | None:
    """A table as Arrow; none for dicts, and for any other table when pyarrow is not installed."""
    library = _library(rows)
    if library not in ("pyarrow", "pandas", "polars") or not _has("pyarrow"):
        return None
    import pyarrow

    if library == "pandas":
        return pyarrow.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    if library == "polars":
        return rows.to_arrow()
    if isinstance(rows, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([rows])
    if isinstance(rows, pyarrow.Table):
        return rows
    raise TypeError(f"rows must be dicts or a table, not {type(rows).__name__}")


def _dicts(rows: Any) -> Iterable[Mapping[str, Any]]:
    """Rows as dicts, missing values as None."""
    library = _library(rows)
    if library == "pandas":
        return rows.astype(object).where(rows.notna(), None).to_dict("records")
    if library == "polars":
        return rows.to_dicts()
    if library == "pyarrow":
        return rows.to_pylist()
    if isinstance(rows, Result):
        return rows.to_pylist()
    if isinstance(rows, Mapping):
        return [rows]
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise TypeError(f"rows must be dicts or a table, not {type(rows).__name__}")
    return rows


def _plain(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]


def _json(value: Any) -> bytes:
    """JSON without NaN and infinities: what is missing is null, which is not a number."""
    try:
        text = json.dumps(value, default=_scalar, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"{error}: give None for what is missing") from error
    return text.encode()


def _scalar(value: Any) -> Any:
    """Values that JSON has no word for: instants and dates, decimals, scalars of numpy."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        # The server reads a number's digits, so a float that prints the same digits is the same number.
        if decimal.Decimal(repr(float(value))) == value:
            return float(value)
        raise ValueError(f"{value} has more digits than JSON numbers carry here; send a table of decimals instead")
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "hex") and hasattr(value, "urn"):
        return str(value)
    raise TypeError(f"a row holds a {type(value).__name__}, which is no JSON value")


def _instant(at: Instant) -> str:
    if isinstance(at, datetime.datetime):
        if at.tzinfo is None:
            raise ValueError("`at` needs a zone: datetime(..., tzinfo=timezone.utc)")
        return at.isoformat()
    return at


def _join_cuts(cut: str, more: Mapping[str, int]) -> str:
    """The least cut that covers both: the greater end of each partition."""
    ends = {int(partition): end for partition, end in more.items()}
    for part in filter(None, cut.split(",")):
        partition, end = map(int, part.split(":"))
        ends[partition] = max(end, ends.get(partition, 0))
    return ",".join(f"{partition}:{end}" for partition, end in sorted(ends.items()))


def _segment(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    cell = lambda value: f"<td>{'' if value is None else html.escape(str(value))}</td>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows)
    top = f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{body}</tbody></table>"
