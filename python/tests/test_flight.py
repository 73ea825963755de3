"""Arrow Flight with pyarrow's own client against the real server: `DoPut`, receipts, keys, tokens, refusals."""

import datetime
import json
import unittest

import pyarrow
import seawall
import support
from pyarrow import flight

UTC = datetime.timezone.utc
NOW = datetime.datetime.now(UTC).replace(microsecond=0)


def clicks(pages):
    times = pyarrow.array([NOW] * len(pages), pyarrow.timestamp("us", "UTC"))
    return pyarrow.table({"clicked_at": times, "page": pages})


class WithFlight(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = support.Server("--flight", "127.0.0.1:0", *cls.options)
        cls.addClassCleanup(cls.server.stop)

    def connect(self):
        client = flight.connect(self.server.flight)
        self.addCleanup(client.close)
        return client

    def put(self, table, dataset="clicks", rows_max=None, **headers):
        """Receipts of the batches of a table."""
        told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        descriptor = flight.FlightDescriptor.for_path(*dataset.split("/"))
        options = flight.FlightCallOptions(headers=told, timeout=60)
        writer, reader = self.connect().do_put(descriptor, table.schema, options)
        receipts = []
        with writer:
            for batch in table.to_batches(max_chunksize=rows_max):
                writer.write_batch(batch)
                receipts.append(json.loads(reader.read().to_pybytes()))
            writer.done_writing()
            self.assertIsNone(reader.read())
        return receipts

    def refused(self, kind, code, *arguments, **named):
        with self.assertRaises(kind) as caught:
            self.put(*arguments, **named)
        self.assertIn(f"[{code}]", str(caught.exception))


class Putting(WithFlight):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = seawall.connect(cls.server.url)

    def count(self, page):
        return self.client.query(f"select count(*) as n from clicks where page = '{page}'")[0]["n"]

    def test_each_batch_is_answered_by_its_receipt(self):
        receipts = self.put(clicks(["/flight"] * 5), rows_max=2)
        self.assertEqual([one["counts"]["accepted"] for one in receipts], [2, 2, 1])
        cuts = [one["cut"]["0"] for one in receipts]
        self.assertEqual([b - a for a, b in zip(cuts, cuts[1:])], [2, 1])
        support.eventually(lambda: self.count("/flight") == 5)

    def test_rows_pass_the_gate(self):
        table = pyarrow.table({"event_id": ["f1", "f2"], "happened_at": [NOW, NOW], "user_id": ["u", "u"], "amount": [5.0, -1.0]})
        (receipt,) = self.put(table, "events")
        self.assertEqual((receipt["counts"]["accepted"], receipt["counts"]["quarantined"]), (1, 1))
        self.assertEqual((receipt["rows"][0]["row"], receipt["rows"][0]["reasons"][0]["rule"]), (1, "minimum"))

    def test_dictionaries_arrive_as_their_values(self):
        table = clicks(["/dictionary", "/other", "/dictionary"])
        encoded = table.set_column(1, "page", table["page"].dictionary_encode())
        self.assertEqual(self.put(encoded)[0]["counts"]["accepted"], 3)
        support.eventually(lambda: self.count("/dictionary") == 2)

    def test_a_stream_is_repeated_by_its_key_across_a_crash(self):
        table = clicks(["/again"] * 4)
        first = self.put(table, rows_max=2, idempotency_key="again")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.put(table, rows_max=2, idempotency_key="again"), first)
        support.eventually(lambda: self.count("/again") == 4)
        self.refused(flight.FlightError, "SW1204", clicks(["/different"]), idempotency_key="again")

    def test_receipts_may_be_read_later(self):
        table = clicks(["/later"] * 200)
        writer, reader = self.connect().do_put(flight.FlightDescriptor.for_path("clicks"), table.schema)
        with writer:
            writer.write_table(table, max_chunksize=2)
            writer.done_writing()
            accepted = sum(json.loads(reader.read().to_pybytes())["counts"]["accepted"] for _ in range(100))
        self.assertEqual(accepted, 200)

    def test_what_is_refused(self):
        self.refused(flight.FlightError, "SW0813", clicks(["/"]), "nope")
        self.refused(flight.FlightError, "SW1209", clicks(["/"]), "two/parts")
        self.refused(flight.FlightError, "SW1203", clicks(["/"]), idempotency_key="with space")
        with self.assertRaises(NotImplementedError):
            list(self.connect().list_flights())

    def test_a_batch_that_is_too_large_is_refused_and_counted(self):
        with self.assertRaises(flight.FlightError):
            self.put(clicks(["x" * 1000] * 20_000))
        self.assertEqual(self.put(clicks(["/after"]))[0]["counts"]["accepted"], 1)

    def test_a_client_that_goes_away_leaves_whole_batches(self):
        table = clicks(["/gone"] * 2)
        writer, reader = self.connect().do_put(flight.FlightDescriptor.for_path("clicks"), table.schema)
        writer.write_table(table)
        reader.read()
        del writer, reader
        support.eventually(lambda: self.count("/gone") == 2)


class Tokens(WithFlight):
    options = ("--tokens",)

    def test_a_stream_needs_a_token(self):
        self.refused(flight.FlightUnauthenticatedError, "SW0880", clicks(["/"]))
        created = json.loads(self.server.run("token", "create", "--name", "sender", "--role", "service", "--output", "json"))
        token = next(value for value in created.values() if str(value).startswith("sw_"))
        (receipt,) = self.put(clicks(["/"]), authorization=f"Bearer {token}")
        self.assertEqual(receipt["counts"]["accepted"], 1)


if __name__ == "__main__":
    unittest.main()
