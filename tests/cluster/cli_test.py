#!/usr/bin/python3
"""The command line against a running cluster: data in, compared, out again, and what scripts rely on."""

import base64
import json
import pathlib
import tempfile
import unittest

from local_cluster import LocalCluster, run


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(LocalCluster())
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))

    def file(self, name, records):
        path = self.folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    def good(self, *arguments, **options):
        done = self.cluster.cli(*arguments, **options)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def test_version_and_status(self):
        self.assertIn("0.1", run("version").stdout)
        status = json.loads(self.good("status", "-o", "json"))
        self.assertIsInstance(status, dict)

    def test_import_compare_export(self):
        binary = bytes(range(256))
        records = [{"key": f"key-{i}", "value": f"value {i} äöü\n"} for i in range(2000)]
        records.append({"key_base64": base64.b64encode(binary).decode(),
                        "value_base64": base64.b64encode(binary[::-1]).decode()})
        path = self.file("in.jsonl", records)
        written = json.loads(self.good("import", path, "--bucket", "moved", "-o", "json"))
        self.assertEqual((2001, 2001, 0), (written["read"], written["written"], written["failed"]))
        compared = json.loads(self.good("import", "--verify", path, "--bucket", "moved", "-o", "json"))
        self.assertEqual((2001, 2001, 0, 0), tuple(compared[k] for k in ("read", "compared", "missing", "different")))

        def content(lines):
            found = {}
            for record in map(json.loads, lines):
                raw = {side: base64.b64decode(record[side + "_base64"]) if side + "_base64" in record
                       else record[side].encode() for side in ("key", "value")}
                found[raw["key"]] = raw["value"]
            return found

        out = self.folder / "out.jsonl"
        self.good("export", "--bucket", "moved", str(out))
        self.assertEqual(content(pathlib.Path(path).read_text().splitlines()),
                         content(out.read_text().splitlines()))

    def test_import_from_standard_input(self):
        lines = "".join(json.dumps({"key": f"in-{i}", "value": "x"}) + "\n" for i in range(10))
        written = json.loads(self.good("import", "-", "-o", "json", input=lines))
        self.assertEqual(10, written["written"])

    def test_a_comparison_that_finds_a_difference_fails(self):
        self.good("import", self.file("true.jsonl", [{"key": "same", "value": "1"}, {"key": "other", "value": "1"}]))
        changed = self.file("changed.jsonl", [{"key": "same", "value": "1"}, {"key": "other", "value": "2"},
                                              {"key": "never written", "value": "3"}])
        done = self.cluster.cli("import", "--verify", changed, "-o", "json")
        self.assertNotEqual(0, done.returncode)
        found = json.loads(done.stdout)
        self.assertEqual((1, 1), (found["missing"], found["different"]))

    def test_a_file_with_a_bad_line_names_the_line(self):
        path = self.folder / "bad.jsonl"
        path.write_text('{"key": "good", "value": "x"}\nnot json\n')
        done = self.cluster.cli("import", str(path), "-o", "json")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("2", done.stderr)

    def test_no_server_is_an_error_that_names_the_address(self):
        done = run("get", "k", "--retries", "0", env={"ANNULUS_ENDPOINTS": "127.0.0.1:1"}, timeout=60)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("127.0.0.1:1", done.stderr)


if __name__ == "__main__":
    unittest.main()
