"""Tests of the loop's checks: `python3 -m unittest discover tests/flights`. They need the standard library only."""

import copy
import tempfile
import unittest
from pathlib import Path

import loop

COUNTS = {"received": 3, "accepted": 2, "quarantined": 1, "deduplicated": 0, "rejected": 0}
AUC = {"value": 0.71234567, "low": 0.7, "high": 0.72}
REPLAY = {"datasets": {"flights": COUNTS}, "skew": {"replayed": 2, "mismatched": 0, "parity_differing": 0}}
MONTHS = {
    "months": [{"month": month, "auc_champion": AUC, "auc_challenger": AUC} for month in loop.MONTHS],
    "decisions": [{"month": "2014-05", "decision": "keep", "signal": None, "reason": "0.123456 so", "rejected": []}],
}
LEAK = {
    "leak": [
        {"known": "in_time", "claimed": 0.7, "served": 0.7, "rows": 9},
        {"known": "ignore", "claimed": 0.8, "served": 0.6, "rows": 9},
    ]
}


class Loop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.golden = Path(folder.name) / "golden.json"
        self.replay, self.months, self.leak = copy.deepcopy((REPLAY, MONTHS, LEAK))

    def check(self, *parts, update=False):
        found = loop.problems(self.replay, self.months, self.leak, self.golden, update)
        self.assertEqual(len(found), len(parts), found)
        for one, part in zip(found, parts):
            self.assertIn(part, one)

    def test_golden_is_asked_for_written_and_compared(self):
        self.check("is not there")
        self.check(update=True)
        self.assertIn("0.1235 so", self.golden.read_text())
        self.check()
        self.months["decisions"][0]["decision"] = "promote"
        self.check("decision of 2014-05")

    def test_golden_is_not_written_from_a_wrong_result(self):
        self.leak["leak"][1]["claimed"] = 0.65
        self.check("ignore claims 0.6500, not more", update=True)
        self.assertFalse(self.golden.exists())

    def test_a_refusal_is_told(self):
        self.months = {"error": {"code": "SW0873", "message": "no champion can begin"}}
        self.check("months was refused: SW0873", "no decisions")

    def test_leak_and_parity(self):
        self.check(update=True)
        self.leak["leak"][1]["served"] = 0.795
        self.leak["leak"][0]["served"] = 0.69
        self.check("ignore claims 0.8000 and serves 0.7950", "in_time claims 0.7000, but serves 0.6900")

    def test_months_and_replay(self):
        self.check(update=True)
        del self.months["months"][3]
        self.months["months"][0]["auc_champion"] = None
        self.replay["skew"]["mismatched"] = 1
        self.check("skew.mismatched is 1", "2014-08 missing", "auc_champion of 2014-05")


if __name__ == "__main__":
    unittest.main()
