"""Tests of the oracle itself: `python3 -m unittest discover tests/flights`. They need the standard library only."""

import unittest
from datetime import datetime

from oracle import HOUR, MINUTE, Timeline, instants_of, landed_at, mean, micros, minutes_of, same, scheduled_at


def flight(day, dep_time, dep_delay, arr_time, month=1):
    return {
        "year": "2014", "month": str(month), "day": str(day),
        "dep_time": dep_time, "dep_delay": dep_delay, "arr_time": arr_time,
    }  # fmt: skip


class Times(unittest.TestCase):
    def test_clock_times(self):
        self.assertEqual([minutes_of(t) for t in ("1", "59", "100", "2359", "2400")], [1, 59, 60, 1439, 0])

    def test_gap_and_overlap(self):
        self.assertEqual(instants_of(datetime(2014, 3, 9, 2, 30), "America/Los_Angeles"), [])
        twice = instants_of(datetime(2014, 11, 2, 1, 30), "America/Los_Angeles")
        self.assertEqual([i.hour for i in twice], [8, 9])
        # Arizona does not change its clocks.
        self.assertEqual(len(instants_of(datetime(2014, 3, 9, 2, 30), "America/Phoenix")), 1)

    def test_scheduled_time_stays_on_its_date(self):
        # Left at 00:01, 96 minutes late: scheduled for 22:25 of the date in the file.
        at = scheduled_at(flight(1, "1", "96", "235"))
        self.assertEqual(at.isoformat(), "2014-01-02T06:25:00+00:00")
        self.assertIsNone(scheduled_at(flight(1, None, None, None)))

    def test_landing_past_midnight_in_another_zone(self):
        # Left at 23:50 Pacific, shown as 07:38 Eastern: 4 h 48 min later.
        at = landed_at(flight(1, "2350", "0", "738"), "America/New_York")
        self.assertEqual(at.isoformat(), "2014-01-02T12:38:00+00:00")

    def test_landing_at_a_skipped_time_is_a_day_later(self):
        at = landed_at(flight(8, "2347", "0", "206", month=3), "America/Anchorage")
        self.assertEqual(at.isoformat(), "2014-03-10T10:06:00+00:00")

    def test_landing_in_the_second_of_two_equal_hours(self):
        # Left at 01:30 summer time, shown as 01:10: the clocks went back in between.
        at = landed_at(flight(2, "130", "0", "110", month=11), "America/Los_Angeles")
        self.assertEqual(at.isoformat(), "2014-11-02T09:10:00+00:00")


class Rules(unittest.TestCase):
    def test_sawtooth_begins_at_the_hop(self):
        at = micros(datetime.fromisoformat("2014-01-02T12:30:30+00:00"))
        begin = at - 30_000_000 - 3 * HOUR
        line = Timeline([(begin - 1, 0, "out"), (begin, 1, "in"), (at - 1, 2, "in"), (at, 3, "not yet known")])
        self.assertEqual(line.window(at, 3 * HOUR, MINUTE), ["in", "in"])

    def test_latest_takes_the_last_of_equal_times(self):
        line = Timeline([(10, (1, 7), "b"), (10, (1, 3), "a"), (20, (1, 1), "c")])
        self.assertEqual(line.latest(20), (10, "b"))
        self.assertIsNone(line.latest(10))

    def test_mean_and_equality(self):
        self.assertEqual(mean([1, 2, 2]), 5 / 3)
        self.assertIsNone(mean([]))
        self.assertTrue(same(None, None) and same(1.0, 1) and same("a", "a"))
        self.assertFalse(same(None, 0) or same(0.1 + 0.2, 0.3) or same(0.0, -0.0))


if __name__ == "__main__":
    unittest.main()
