"""The client against the real server: every method, both forms of an answer, and what goes wrong.

`python/tests/run.sh`, or with SEAWALL_BINARY set: `python -m unittest discover -s python/tests -v`.
"""

import datetime
import decimal
import sys
import unittest
from unittest import mock

import support
import seawall

try:
    import pandas
    import polars
    import pyarrow
except ImportError as missing:
    raise RuntimeError("the tests need the packages of python/requirements-test.txt") from missing

UTC = datetime.timezone.utc
NOW = datetime.datetime.now(UTC).replace(microsecond=0)


def event(key, amount=5.0, user="u1", shop="s1", minutes_ago=5, **more):
    at = NOW - datetime.timedelta(minutes=minutes_ago)
    return {"event_id": key, "happened_at": at, "user_id": user, "shop_id": shop, "amount": amount, **more}


def without_pyarrow():
    """As if pyarrow were not installed: rows travel as JSON."""
    real = seawall._has
    return mock.patch.object(seawall, "_has", lambda module: module != "pyarrow" and real(module))


class WithServer(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = support.Server(*cls.options)
        cls.addClassCleanup(cls.server.stop)
        cls.client = seawall.connect(cls.server.url, timeout=60)

    def refused(self, code, status, call, *arguments, **named):
        with self.assertRaises(seawall.Error) as caught:
            call(*arguments, **named)
        self.assertEqual((caught.exception.code, caught.exception.status), (code, status), caught.exception)
        return caught.exception


class Connecting(WithServer):
    def test_by_address_environment_and_data_folder(self):
        self.assertEqual(seawall.connect(self.server.url).url, self.server.url)
        with mock.patch.dict("os.environ", {"SEAWALL_URL": self.server.url + "/"}):
            self.assertEqual(seawall.connect().url, self.server.url)
        with mock.patch.dict("os.environ"):
            seawall.os.environ.pop("SEAWALL_URL", None)
            self.assertEqual(seawall.connect().url, "http://127.0.0.1:8321")
        self.assertEqual(seawall.connect(data_dir=self.server.data).url, self.server.url)
        self.assertEqual(repr(self.client), f"<seawall.Client {self.server.url}>")

    def test_where_no_server_runs(self):
        error = self.refused("SW0899", None, seawall.connect, data_dir=self.server.project / "nothing")
        self.assertIn("seawall -C PROJECT serve", error.hint)
        gone = seawall.connect("http://127.0.0.1:9", timeout=5)
        self.refused("SW0899", None, gone.status)
        with self.assertRaises(ValueError):
            seawall.connect("no address")

    def test_a_stale_marker_is_not_this_server(self):
        marker = self.server.project / "elsewhere"
        marker.mkdir()
        stale = '{"url": "%s", "pid": 1, "instance": "another"}' % self.server.url
        (marker / "serve.json").write_text(stale)
        self.refused("SW0899", None, seawall.connect, data_dir=marker)

    def test_status(self):
        status = self.client.status()
        self.assertIn("events", status["datasets"])
        self.assertIn("users@1", status["feature_views"])


class Pushing(WithServer):
    def count(self, where="true"):
        return self.client.query(f"select count(*) as n from events where {where}")[0]["n"]

    def test_counts_cut_and_verdicts_in_batches(self):
        rows = [event(f"a{i}", amount=float(i)) for i in range(25)]
        rows[7]["amount"] = 5000.0
        rows.append(rows[3])
        rows.append({**rows[4], "amount": 1.5})
        receipt = self.client.push("events", rows, batch_rows=10)
        counts = (receipt.received, receipt.accepted, receipt.quarantined, receipt.deduplicated, receipt.rejected)
        self.assertEqual(counts, (27, 24, 2, 1, 0))
        found = {one.row: (one.verdict, [reason["rule"] for reason in one.reasons]) for one in receipt.rows}
        self.assertEqual(found[25], ("deduplicated", []))
        self.assertEqual(found[26], ("quarantined", ["key_conflict"]))
        self.assertEqual((found[7][0], len(found)), ("quarantined", 3))
        self.assertFalse(receipt.ok)
        self.assertRegex(receipt.cut, r"^0:\d+$")
        self.assertIn("27 received, 24 accepted", repr(receipt))
        self.assertIn("key_conflict", receipt._repr_html_())
        again = self.client.push("events", [rows[0]])
        self.assertEqual((again.deduplicated, again.ok), (1, True))
        support.eventually(lambda: self.count("event_id like 'a%'") == 24)

    def test_tables_keep_their_types(self):
        rows = [event("t1", 0.1, items=3), event("t2", None, items=None)]
        arrow = pyarrow.Table.from_pylist(rows)
        self.assertEqual(self.client.push("events", arrow).accepted, 2)
        frame = pandas.DataFrame([event("t3", 0.1, items=3), event("t4", float("nan"), items=4)])
        self.assertEqual(self.client.push("events", frame, batch_rows=1).accepted, 2)
        wide = polars.DataFrame([event("t5", 0.1, items=3), event("t6", None, items=4)])
        receipt = self.client.push("events", wide)
        self.assertEqual(receipt.accepted, 2, receipt.rows)
        batch = pyarrow.RecordBatch.from_pylist([event("t7", 0.1, items=3)])
        self.assertEqual(self.client.push("events", batch).accepted, 1)
        sql = "select event_id, happened_at, amount, items from events where event_id like 't%' order by event_id"
        support.eventually(lambda: self.count("event_id like 't%'") == 7)
        found = self.client.query(sql).to_pylist()
        self.assertEqual([row["amount"] for row in found], [0.1, None, 0.1, None, 0.1, None, 0.1])
        self.assertEqual([row["items"] for row in found], [3, None, 3, 4, 3, 4, 3])
        self.assertEqual({row["happened_at"] for row in found}, {NOW - datetime.timedelta(minutes=5)})

    def test_tables_without_pyarrow_go_as_json(self):
        with without_pyarrow():
            frame = pandas.DataFrame([event("j1", 0.1, items=3), event("j2", float("nan"), items=4)])
            self.assertEqual(self.client.push("events", frame).accepted, 2)
            wide = polars.DataFrame([event("j3", 0.1, items=3)])
            self.assertEqual(self.client.push("events", wide).accepted, 1)
        support.eventually(lambda: self.count("event_id like 'j%'") == 3)

    def test_python_values_and_streams(self):
        stream = (event(f"p{i}", decimal.Decimal("12.30")) for i in range(3))
        self.assertEqual(self.client.push("events", stream, batch_rows=2).accepted, 3)
        self.assertEqual(self.client.push("events", event("p9")).accepted, 1)
        self.assertEqual(self.client.push("events", []).received, 0)
        with self.assertRaisesRegex(ValueError, "give None"):
            self.client.push("events", [event("p10", float("nan"))])
        with self.assertRaisesRegex(ValueError, "more digits"):
            self.client.push("events", [event("p11", decimal.Decimal("0.12345678901234567890"))])
        with self.assertRaises(TypeError):
            self.client.push("events", "p12")

    def test_large_batches_are_sent_in_parts(self):
        with mock.patch.object(seawall, "BODY_BYTES_MAX", 2000):
            receipt = self.client.push("events", [event(f"l{i}") for i in range(100)] + [event("l7", 99.0)])
            self.assertEqual([(one.row, one.verdict) for one in receipt.rows], [(100, "quarantined")])
            table = pyarrow.Table.from_pylist([event(f"m{i}") for i in range(100)])
            self.assertEqual((receipt.accepted, self.client.push("events", table).accepted), (100, 100))

    def test_what_is_refused(self):
        error = self.refused("SW0813", 404, self.client.push, "nope", [{"a": 1}])
        self.assertEqual((error.receipt.received, error.kind), (0, "not_found"))


class Retrying(WithServer):
    def test_a_server_that_restarts_is_waited_for_and_nothing_enters_twice(self):
        self.client.push("events", [event("r0")])
        self.server.kill()
        seen = []

        def pause(seconds):
            seen.append(seconds)
            if len(seen) == 2:
                self.server.start()

        with mock.patch("time.sleep", pause):
            receipt = self.client.push("events", [event("r0"), event("r1")])
        self.assertEqual((receipt.deduplicated, receipt.accepted), (1, 1))
        self.assertGreaterEqual(len(seen), 2)

    def answers(self, *statuses, code="SW0884"):
        """A client that meets these statuses before it meets the server, and the pauses that it makes."""
        client = seawall.connect(self.server.url)
        real, left = client._opener.open, list(statuses)

        def open_(request, timeout):
            if not left:
                return real(request, timeout=timeout)
            status = left.pop(0)
            if isinstance(status, Exception):
                raise status
            body = b'{"error": {"code": "%s", "kind": "unavailable", "message": "busy", "hint": null}}' % code.encode()
            headers = seawall.http.client.HTTPMessage()
            headers["Retry-After"] = "3"
            raise seawall.urllib.error.HTTPError(self.server.url, status, "busy", headers, seawall.io.BytesIO(body))

        client._opener = mock.Mock(open=open_)
        return client

    def test_busy_answers_are_repeated_after_the_time_they_tell(self):
        with mock.patch("time.sleep") as sleep:
            receipt = self.answers(429, 503).push("events", [event("b1")])
            self.assertEqual(receipt.accepted, 1)
            self.assertEqual(self.answers(503).query("select 1 as one")[0]["one"], 1)
        self.assertTrue(all(call.args[0] >= 3 for call in sleep.call_args_list), sleep.call_args_list)
        self.assertEqual(sleep.call_count, 3)

    def test_tries_have_an_end(self):
        with mock.patch("time.sleep") as sleep:
            error = self.refused("SW0884", 503, self.answers(*[503] * 50).push, "events", [event("b2")])
        self.assertEqual((sleep.call_count, error.receipt.received), (seawall.TRIES_MAX - 1, 0))

    def test_a_halted_dataset_is_not_asked_again(self):
        with mock.patch("time.sleep") as sleep:
            self.refused("SW0821", 503, self.answers(503, code="SW0821").push, "events", [event("b3")])
        sleep.assert_not_called()

    def loses_answers(self, count):
        """A client whose first requests reach the server, but whose answers get lost."""
        client = seawall.connect(self.server.url)
        real, left = client._opener.open, [None] * count

        def open_(request, timeout):
            response = real(request, timeout=timeout)
            if not left:
                return response
            left.pop()
            response.close()
            raise ConnectionResetError("reset")

        client._opener = mock.Mock(open=open_)
        return client

    def clicks(self, page):
        return self.client.query(f"select count(*) as n from clicks where page = '{page}'")[0]["n"]

    def test_a_lost_answer_is_asked_for_again_and_nothing_enters_twice(self):
        # Clicks have no primary key: only the key of the request tells a repeat.
        with mock.patch("time.sleep"):
            receipt = self.loses_answers(2).push("clicks", [{"clicked_at": NOW, "page": "/lost"}] * 3, batch_rows=2)
        self.assertEqual((receipt.received, receipt.accepted), (3, 3))
        support.eventually(lambda: self.clicks("/lost") == 3)

    def test_a_push_is_repeated_by_its_key_across_a_crash(self):
        rows = [{"clicked_at": NOW, "page": "/crash"}] * 5
        first = self.client.push("clicks", rows, batch_rows=2, idempotency_key="crash")
        self.server.kill()
        self.server.start()
        again = self.client.push("clicks", rows, batch_rows=2, idempotency_key="crash")
        self.assertEqual((again.accepted, again.cut), (5, first.cut))
        support.eventually(lambda: self.clicks("/crash") == 5)
        self.refused("SW1204", 422, self.client.push, "clicks", rows[:1], idempotency_key="crash")


# The events that every test of asking finds, whatever others add.
EVENTS = "(select * from events where event_id like 'e%') as e"


class Asking(WithServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rows = [event("e1", 5.0, "u1", "s1", 9), event("e2", 7.0, "u1", "s2", 6), event("e3", None, "u2", "s1", 3)]
        cls.client.push("events", rows)
        # Answers of views wait for nothing; those of tables wait for what is durable.
        support.eventually(lambda: cls.client.features("users@1", {"user_id": "u1"})[0]["n_24h"] == 2)
        cls.built = cls.client.training_set("next_amount", rebuild=True)

    def test_query_in_every_form(self):
        result = self.client.query(f"select event_id, happened_at, amount from {EVENTS} order by event_id")
        self.assertEqual((len(result), result.truncated), (3, False))
        self.assertEqual(result.columns, ["event_id", "happened_at", "amount"])
        self.assertEqual(result.to_arrow().schema.field("happened_at").type, pyarrow.timestamp("us", "UTC"))
        self.assertEqual(result.to_pandas()["amount"].isna().tolist(), [False, False, True])
        self.assertEqual(result.to_polars()["amount"].to_list(), [5.0, 7.0, None])
        self.assertEqual([row["amount"] for row in result], [5.0, 7.0, None])
        self.assertEqual(result[0]["happened_at"], NOW - datetime.timedelta(minutes=9))
        self.assertRegex(repr(result), r"^<seawall.Result 3 rows, cut 0:\d+: event_id, happened_at, amount>$")
        self.assertEqual((result.degraded, result.cut.partition(":")[0]), (False, "0"))
        self.assertIn("<td>7.0</td>", result._repr_html_())
        self.assertEqual(len(self.client.query("select * from events where false").to_arrow()), 0)

    def test_query_without_pyarrow(self):
        sql = f"select event_id, amount from {EVENTS} order by event_id"
        with without_pyarrow():
            result = self.client.query(sql)
            self.assertIsNone(result._table)
        self.assertEqual(result.to_pylist(), self.client.query(sql).to_pylist())
        self.assertEqual(result.to_pandas()["amount"].isna().tolist(), [False, False, True])
        self.assertEqual(result.to_polars()["amount"].to_list(), [5.0, 7.0, None])
        self.assertEqual((result.columns, len(result)), (["event_id", "amount"], 3))

    def test_rows_are_all_there_unless_they_are_limited(self):
        many = "select * from generate_series(1, 2500)"
        self.assertEqual(len(self.client.query(many)), 2500)
        with without_pyarrow():
            self.assertEqual(len(self.client.query(many)), 2500)
        limited = self.client.query(many, rows_max=10)
        self.assertEqual((len(limited), limited.truncated), (10, True))
        self.assertIn("more were left out", repr(limited))

    def test_markup_in_values_stays_text(self):
        shown = self.client.query("select '<b>&' as \"<i>\"")._repr_html_()
        self.assertIn("<td>&lt;b&gt;&amp;</td>", shown)
        self.assertIn("<th>&lt;i&gt;</th>", shown)

    def test_time_travel(self):
        table = "next_amount__training_set"
        before = self.client.training_set("next_amount")
        self.client.push("events", [event("late", 1.0, "u9", "s9", 1)])
        after = self.client.training_set("next_amount", rebuild=True)
        self.assertEqual(len(after.rows), len(before.rows) + 1)
        old = self.client.query(f"select * from {table}", versions={table: before.version})
        self.assertEqual(len(old), before.fingerprint["rows"])
        self.assertEqual(self.client.training_set("next_amount", before.version).fingerprint, before.fingerprint)
        self.assertNotEqual(after.fingerprint["content"], before.fingerprint["content"])

    def test_training_set(self):
        rows = self.built.rows.to_pylist()
        self.assertEqual([row["event_id"] for row in rows], ["e1", "e2", "e3"])
        # Every event arrived after its time, so no decision knew another one.
        self.assertEqual([row["users__n_24h"] for row in rows], [0, 0, 0])
        self.assertEqual([row["label"] for row in rows], [5.0, 7.0, None])
        self.assertEqual(self.built.fingerprint["rows"], 3)
        self.assertGreaterEqual(self.built.elapsed_ms, self.built.engine_ms)
        self.assertIn("next_amount version", repr(self.built))
        self.assertIn("<td>events</td>", self.built._repr_html_())
        self.refused("SW0812", None, self.client.training_set, "next_amount", 999)
        self.refused("SW0812", 404, self.client.training_set, "nope")

    def test_features_of_a_training_set(self):
        asked = [event("e9", 3.0, "u1", "s1", 0), event("e8", None, "nobody", "s1", 0)]
        for rows in (asked, pandas.DataFrame(asked), polars.DataFrame(asked), pyarrow.Table.from_pylist(asked)):
            result = self.client.features("next_amount", rows)
            self.assertEqual([row["users__sum_24h"] for row in result], [12.0, None])
            self.assertEqual([row["doubled"] for row in result], [6.0, None])
            self.assertEqual(result.status[0]["users__sum_24h"], "present")
            self.assertEqual(result.status[1]["users__sum_24h"], "not_found")
            self.assertEqual(result.status[1]["shops__n_24h"], "present")
            self.assertNotIn("_status", result.columns)
            self.assertRegex(result.cut, r"^0:\d+$")
            self.assertIsNotNone(result.known_at)
        with without_pyarrow():
            plain = self.client.features("next_amount", asked)
        self.assertEqual((plain.columns, plain.status), (result.columns, result.status))
        # What was served is recorded in the same log, so the cut moves on.
        self.assertRegex(plain.cut, r"^0:\d+$")
        self.assertEqual(plain[0]["users__sum_24h"], result[0]["users__sum_24h"])

    def test_features_of_views(self):
        one = self.client.features("users@1", [{"user_id": "u1"}, {"user_id": "nobody"}])
        self.assertEqual(one[0], {"n_24h": 2, "sum_24h": 12.0, "last_amount": 7.0})
        self.assertEqual(set(one.status[1].values()), {"not_found"})
        self.assertEqual(one.info["source"], "online")
        with without_pyarrow():
            plain = self.client.features("users@1", [{"user_id": "u1"}, {"user_id": "nobody"}])
        self.assertEqual((plain.to_pylist(), plain.status), (one.to_pylist(), one.status))
        both = self.client.features(["users@1", "shops@1"], [{"user_id": "u1", "shop_id": "s2"}])
        users = {"users__n_24h": 2, "users__sum_24h": 12.0, "users__last_amount": 7.0}
        self.assertEqual(both[0], {**users, "shops__n_24h": 1})
        self.assertEqual(both.status[0]["shops__n_24h"], "present")
        self.assertEqual(self.client.features(["users@1"], [{"user_id": "u1"}])[0]["users__n_24h"], 2)

    def test_vectors_of_a_feature_service(self):
        rows = [{"user_id": "u1", "shop_id": "s2", "amount": 3.0}, {"user_id": "nobody", "shop_id": "s2"}]
        result = self.client.vector("pair", rows)
        self.assertEqual(result[0], {"users__sum_24h": 12.0, "shops__n_24h": 1, "share": 0.25})
        self.assertEqual((result[1]["share"], result.status[1]["share"]), (None, "missing_input"))
        with without_pyarrow():
            plain = self.client.vector("pair@1", rows)
        self.assertEqual((plain.to_pylist(), plain.status), (result.to_pylist(), result.status))
        self.refused("SW0845", 404, self.client.vector, "pairs", rows)

    def test_features_of_the_past_come_from_the_tables(self):
        then = NOW - datetime.timedelta(days=2)
        result = self.client.features("users@1", [{"user_id": "u1"}], at=then)
        self.assertEqual((result.info["source"], result[0]["sum_24h"]), ("tables", None))
        with self.assertRaisesRegex(ValueError, "zone"):
            self.client.features("users@1", [{"user_id": "u1"}], at=datetime.datetime(2026, 1, 1))

    def test_what_is_refused(self):
        error = self.refused("SW0521", 400, self.client.query, "drop table events")
        self.assertEqual(error.kind, "invalid")
        self.assertTrue(str(error).startswith("[SW0521] "))
        self.refused("SW0824", 404, self.client.features, "nope@1", [{"user_id": "u"}])
        self.refused("SW0894", 400, self.client.features, ["users@1", "shops@1"], [{"usr": "u"}])
        self.refused("SW0892", 400, self.client.features, [], [])

    def model_endpoint(self, call, *arguments, **named):
        """The answer; skips where this server has no models and incidents at all."""
        try:
            return call(*arguments, **named)
        except seawall.Error as error:
            if (error.status, error.code) == (404, "SW0885"):
                reason = f"this server has no such endpoint: {error.message}"
                print(f"SKIPPED {self.id()}: {reason}", file=sys.stderr)
                self.skipTest(reason)
            raise

    def test_incidents(self):
        self.assertIsInstance(self.model_endpoint(self.client.incidents), list)

    def test_champion_of_no_model(self):
        with self.assertRaises(seawall.Error) as caught:
            self.model_endpoint(self.client.champion, "nope", at=NOW)
        self.assertEqual(caught.exception.status, 404)

    def test_predict_with_no_model(self):
        with self.assertRaises(seawall.Error) as caught:
            self.model_endpoint(self.client.predict, "nope", [event("e9")])
        self.assertEqual(caught.exception.status, 404)


class Predicting(unittest.TestCase):
    """The form of a prediction's answer, without a trained model at hand."""

    def test_an_answer_becomes_rows(self):
        reasons = [{"input": "card__n_1h", "value": "7", "contribution": 1.25}]
        one = {"prediction_id": "p1", "probability": 0.75, "status": "scored", "reasons": reasons}
        answer = {"model": "fraud", "version": 3, "predictions": [one]}
        answer |= {"known_at": "2026-01-01T00:00:00Z", "cut": "0:7"}
        client = seawall.connect("http://127.0.0.1:9")
        with mock.patch.object(client, "_send") as send:
            headers = seawall.http.client.HTTPMessage()
            headers["Content-Type"] = "application/json"
            send.return_value = (headers, seawall._json(answer))
            result = client.predict("a/b", [{"card_id": "c1"}], explain=True)
        method, path, body = send.call_args.args[:3]
        self.assertEqual((method, path), ("POST", "/v1/models/a%2Fb/predict"))
        self.assertEqual(body, b'{"rows":[{"card_id":"c1"}],"explain":true}')
        self.assertEqual((result.info["version"], result.cut, result.known_at), (3, "0:7", "2026-01-01T00:00:00Z"))
        self.assertEqual(result.to_arrow().column("probability").to_pylist(), [0.75])
        self.assertEqual(result[0]["reasons"][0]["input"], "card__n_1h")


class Tokens(WithServer):
    options = ("--tokens",)

    def test_a_token_decides(self):
        made = self.server.run("token", "create", "--name", "bot", "--role", "service", "--output", "json")
        secret = seawall.json.loads(made)["secret"]
        self.refused("SW0880", 401, seawall.connect(self.server.url).status)
        client = seawall.connect(self.server.url, token=secret)
        self.assertEqual(client.push("events", [event("e1")]).accepted, 1)
        error = self.refused("SW0610", 403, client.query, "select 1")
        self.assertEqual(error.kind, "denied")
        with mock.patch.dict("os.environ", {"SEAWALL_TOKEN": secret}):
            self.assertEqual(seawall.connect(self.server.url).push("events", [event("e1")]).deduplicated, 1)


if __name__ == "__main__":
    unittest.main()
