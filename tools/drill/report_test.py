#!/usr/bin/python3
"""Timelines: what is counted where, and that the pages are well formed."""

import pathlib
import tempfile
import types
import unittest
from xml.etree import ElementTree

import report
from history import Call


def result_of(calls, bands=()):
    return types.SimpleNamespace(name="kill-one", about="<kill>", timeline=report.buckets(calls), bands=list(bands),
                                 notes=["a note & more"], summary=lambda: "ok kill-one",
                                 as_json=lambda: {"name": "kill-one"})


class Report(unittest.TestCase):
    CALLS = [Call(0.1, 0.101, "get"), Call(0.2, 0.203, "put"), Call(1.1, 3.1, "put"), Call(1.2, 1.3, "put", "UNAVAILABLE")]
    BAND = types.SimpleNamespace(label="kill -9 node-2", began=0.6, ended=1.4)

    def test_calls_count_when_they_were_due(self):
        first, second, third = report.buckets(self.CALLS)
        self.assertEqual((2, 0), (first.served, first.failed))
        self.assertAlmostEqual(0.003, first.p99)
        self.assertEqual((0, 0, None), (second.served, second.failed, second.p50))
        self.assertEqual((1, 1), (third.served, third.failed))
        self.assertAlmostEqual(2.0, third.p99)

    def test_quantiles_take_the_nearest_rank(self):
        self.assertEqual(50, report.quantile(list(range(1, 101)), 0.5))
        self.assertEqual(99, report.quantile(list(range(1, 101)), 0.99))
        self.assertEqual(7, report.quantile([7], 0.99))
        self.assertIsNone(report.quantile([], 0.5))

    def test_faults_stand_beside_the_seconds_in_which_they_were(self):
        rows = report.text_timeline(result_of(self.CALLS, [self.BAND])).splitlines()
        self.assertEqual([False, False, True, True], ["kill -9 node-2" in row for row in rows])

    def test_pages_are_well_formed(self):
        with tempfile.TemporaryDirectory() as folder:
            report.write_page(pathlib.Path(folder), [result_of(self.CALLS, [self.BAND])], "drill: 1 ok")
            svg = ElementTree.parse(pathlib.Path(folder) / "kill-one.svg").getroot()
            self.assertIn("kill -9 node-2", "".join(svg.itertext()))
            self.assertIn("a note &amp; more", (pathlib.Path(folder) / "index.html").read_text(encoding="utf-8"))

    def test_nothing_recorded_is_no_error(self):
        self.assertEqual(1, len(report.text_timeline(result_of([])).splitlines()))


if __name__ == "__main__":
    unittest.main()
