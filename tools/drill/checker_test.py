#!/usr/bin/python3
"""Planted histories: the checker finds what is wrong with each, and nothing in those that are right."""

import unittest

from checker import check
from history import APPLIED, NOT_APPLIED, UNKNOWN, History, Read, Write, set_value

KEY = b"k"


def put(value, covers=(), outcome=APPLIED, **fields):
    return Write(KEY, value, frozenset(covers), outcome=outcome, **fields)


def delete(name, covers, outcome=APPLIED):
    return Write(KEY, name, frozenset(covers), delete=True, outcome=outcome)


class Checker(unittest.TestCase):
    def found(self, operations, final, exempt=0):
        history = History()
        for operation in operations:
            (history.add_read if isinstance(operation, Read) else history.add_write)(operation)
        verdict = check(history, {KEY: final})
        self.assertEqual(exempt, verdict.exempt)
        return [violation.kind for violation in verdict.violations]

    def test_a_sound_history_passes(self):
        self.assertEqual([], self.found(
            [put(b"a"), put(b"b", [b"a"]), put(b"c"), Read(KEY, (b"b", b"c")), delete(b"d", [b"c"]),
             put(b"never", outcome=NOT_APPLIED)], [b"b"]))

    def test_a_lost_write(self):
        self.assertEqual(["lost"], self.found([put(b"a"), put(b"b")], [b"b"]))
        self.assertEqual(["lost"], self.found([put(b"a")], []))

    def test_a_write_is_not_lost_where_one_that_may_be_there_covered_it(self):
        self.assertEqual([], self.found([put(b"a"), put(b"b", [b"a"], UNKNOWN)], []))
        self.assertEqual(["lost"], self.found([put(b"a"), put(b"b", [b"a"], NOT_APPLIED)], []))

    def test_an_unknown_write_stays_open(self):
        for final in ([], [b"a"]):
            self.assertEqual([], self.found([put(b"a", outcome=UNKNOWN)], final))

    def test_a_doomed_recreation(self):
        self.assertEqual(["lost"], self.found([put(b"a"), delete(b"d", [b"a"]), put(b"again", [b"d"])], []))

    def test_a_resurrected_value(self):
        self.assertEqual(["resurrected"], self.found([put(b"a"), delete(b"d", [b"a"])], [b"a"]))
        self.assertEqual(["resurrected"], self.found([put(b"a"), put(b"b", [b"a"])], [b"a", b"b"]))
        self.assertEqual([], self.found([put(b"a"), delete(b"d", [b"a"], UNKNOWN)], [b"a"]))

    def test_a_write_with_several_minters_is_exempt_and_counted(self):
        self.assertEqual([], self.found([put(b"a", several_minters=True), delete(b"d", [b"a"])], [b"a"], exempt=1))
        self.assertEqual([], self.found([put(b"a", outcome=UNKNOWN), delete(b"d", [b"a"])], [b"a"], exempt=1))

    def test_an_invented_value(self):
        self.assertEqual(["invented"], self.found([Read(KEY, (b"ghost",))], []))
        self.assertEqual(["invented"], self.found([put(b"a")], [b"a", b"ghost"]))

    def test_a_value_that_was_told_not_to_be_applied(self):
        self.assertEqual(["invented"], self.found([put(b"a", outcome=NOT_APPLIED)], [b"a"]))
        self.assertEqual(["invented"], self.found([put(b"a", outcome=NOT_APPLIED), Read(KEY, (b"a",))], []))

    def test_a_read_at_least_as_new_as_a_write_that_forgets_it(self):
        read = Read(KEY, (), at_least=frozenset([b"a"]))
        self.assertEqual(["forgotten"], self.found([put(b"a"), read], [b"a"]))
        self.assertEqual([], self.found([put(b"a"), delete(b"d", [b"a"]), read], []))

    def test_what_is_covered_only_later_must_be_shown(self):
        read = Read(KEY, (), at_least=frozenset([b"a"]), ended=2)
        later = put(b"b", [b"a"], began=3)
        self.assertEqual(["forgotten"], self.found([put(b"a"), later, read], [b"b"]))
        self.assertEqual([], self.found([put(b"a"), put(b"b", [b"a"], began=1), read], [b"b"]))

    def test_a_lost_element_of_a_set(self):
        one, two = set_value(b"1", {b"x"}), set_value(b"2", {b"x", b"y"})
        writes = [put(one, element=b"x"), put(two, [one], element=b"y")]
        self.assertEqual([], self.found(writes, [two]))
        forgetful = set_value(b"2", {b"y"})
        self.assertEqual(["element"], self.found([writes[0], put(forgetful, [one], element=b"y")], [forgetful]))


if __name__ == "__main__":
    unittest.main()
