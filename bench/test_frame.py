"""Tests of the frame, in the benches' environment: `python -m unittest discover -s bench`."""

import contextlib
import io
import json
import math
import types
import unittest

import frame
import pyarrow


def table(**columns):
    return pyarrow.table(columns)


class Equality(unittest.TestCase):
    def check(self, expected, found, *parts):
        told = frame.differences(expected, found)
        self.assertEqual(len(told), len(parts), told)
        for one, part in zip(told, parts):
            self.assertIn(part, one)

    def test_equal_tables_do_not_differ(self):
        a = table(k=["a", "b"], x=[1.5, None], n=[None, 7])
        self.check(a, a)
        self.check(a, pyarrow.concat_tables([a.slice(0, 1), a.slice(1, 1)]))

    def test_one_bit_is_a_difference(self):
        self.check(table(x=[0.1 + 0.2]), table(x=[0.3]), "x: 1 rows differ")
        self.check(table(x=[0.0]), table(x=[-0.0]), "x: 1 rows differ, first row 0: 0.0 and -0.0")

    def test_missing_only_equals_missing(self):
        self.check(table(x=[1.0, None]), table(x=[1.0, 0.0]), "x: 1 rows differ, first row 1: None and 0.0")
        self.check(table(x=[1.0, math.nan]), table(x=[1.0, None]), "x: 1 rows differ")
        self.check(table(n=[None, 2]), table(n=[1, 2]), "n: 1 rows differ")

    def test_shape_and_types(self):
        self.check(table(x=[1]), table(y=[1]), "columns")
        self.check(table(x=[1]), table(x=[1, 2]), "rows: 1 and 2")
        self.check(table(x=[1]), table(x=[1.0]), "types int64 and double")
        self.check(table(k=["a", "b"]), table(k=["b", "a"]), "k: 2 rows differ")


class Reports(unittest.TestCase):
    def side(self, name, values, ms):
        left = list(ms)
        run = lambda: frame.Run(left.pop(0), values, {"part_ms": 1.0})
        return frame.Side(name, "everything", run, lambda result: table(x=result))

    def report(self, *peers):
        binary = frame.Binary(path="seawall", profile="dev")
        own = self.side("seawall", [1, 2], [99, 30, 10, 20])
        report = frame.compare("test", own, peers, types.SimpleNamespace(rounds=3), binary)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = frame.finish(report, types.SimpleNamespace(json=True))
            frame.finish(report, types.SimpleNamespace(json=False))
        first, rest = printed.getvalue().split("\n", 1)
        return code, json.loads(first), rest

    def test_medians_and_ratios_after_a_first_run(self):
        code, report, text = self.report(self.side("peer", [1, 2], [99, 5, 5, 400]))
        self.assertEqual((code, report["equal"], report["rows"], report["profile"]), (0, True, 2, "dev"))
        self.assertEqual(report["seawall"]["median_ms"], 20)
        self.assertEqual(report["peers"]["peer"]["max_ms"], 400)
        self.assertEqual((report["ratios"], report["seawall"]["part_ms"]), ({"peer": 4.0}, 1.0))
        self.assertIn("4.00x", text)

    def test_values_that_differ_fail_and_are_not_timed(self):
        code, report, text = self.report(self.side("peer", [1, 3], [99]))
        self.assertEqual((code, report["equal"], report["ratios"]), (1, False, {}))
        self.assertEqual(list(report["differences"]), ["peer"])
        self.assertIn("peer DIFFERS", text)


if __name__ == "__main__":
    unittest.main()
