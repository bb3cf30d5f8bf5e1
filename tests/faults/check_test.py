#!/usr/bin/env python3
"""check.py finds each thing it is there to find, and nothing in a run that went well."""
import base64
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("check.py")
SCHEMA = """
    CREATE TABLE authorizations (uuid TEXT UNIQUE, code_hash BLOB, redeemed_s INTEGER, jti TEXT);
    CREATE TABLE ledger (id INTEGER PRIMARY KEY, entry TEXT);
"""


def story(number, outcome, status, **more):
    """What a client saw of code `number`."""
    line = {
        "case": 1,
        "authorization": f"authorization-{number}",
        "code_sha256": f"{number:064x}",
        "refusals": 2,
        "last_status": status,
        "outcome": outcome,
        "verified": outcome == "issued",
        "slowest_ms": 100,
    }
    if status == 201:
        line |= {"token_sha256": f"{number + 1000:064x}", "jti": f"jti-{number}"}
    return line | more


class Check(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="issuerd check ")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.store = sqlite3.connect(self.directory / "store.db")
        self.addCleanup(self.store.close)
        self.store.executescript(SCHEMA)
        self.add_row(1, spent=True)
        self.add_row(2, spent=False)
        self.lines = [story(1, "issued", 201), story(2, "given up", 503)]

    def add_row(self, number, spent):
        jti = f"jti-{number}" if spent else None
        code = bytes.fromhex(f"{number:064x}")
        self.store.execute(
            "INSERT INTO authorizations VALUES (?, ?, ?, ?)",
            (f"authorization-{number}", code, 1 if spent else None, jti),
        )
        if spent:
            self.add_entry(number)
        self.store.commit()

    def add_entry(self, number):
        token = base64.urlsafe_b64encode(bytes.fromhex(f"{number + 1000:064x}")).decode()
        entry = {
            "kind": "issued",
            "jti": f"jti-{number}",
            "authorization": f"authorization-{number}",
            "token": token.rstrip("="),
        }
        self.store.execute("INSERT INTO ledger (entry) VALUES (?)", (json.dumps(entry),))
        self.store.commit()

    def change(self, sql):
        self.store.execute(sql)
        self.store.commit()

    def run_check(self, *options):
        transcript = self.directory / "transcript"
        transcript.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        command = [sys.executable, CHECK, *options, self.directory / "store.db", transcript]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def assert_finds(self, kind):
        said = self.run_check()
        self.assertEqual((said.returncode, said.stderr), (1, ""))
        self.assertTrue(said.stdout.startswith(f"{kind}: "), said.stdout)

    def test_nothing_is_found_where_all_went_well(self):
        self.add_row(3, spent=True)
        self.lines.append(story(3, "unanswered", 0))
        said = self.run_check()
        self.assertEqual((said.returncode, said.stdout, said.stderr), (0, "", ""))

    def test_a_transcript_without_a_code_proves_nothing(self):
        self.lines = []
        self.assert_finds("answer")

    def test_another_status_is_found(self):
        self.lines[1] |= {"outcome": "wrong", "last_status": 500}
        self.assert_finds("answer")

    def test_a_late_answer_is_found(self):
        self.lines[1]["slowest_ms"] = 2001
        self.assert_finds("answer")

    def test_a_token_that_does_not_verify_is_found(self):
        self.lines[0] |= {"outcome": "wrong", "verified": False}
        self.assert_finds("bad")

    def test_two_tokens_of_one_code_are_found(self):
        self.add_entry(1)
        self.assert_finds("twice")

    def test_a_code_that_is_handed_out_twice_is_found(self):
        self.lines.append(self.lines[0])
        self.assert_finds("twice")

    def test_a_code_that_is_spent_without_a_token_is_found(self):
        self.change("UPDATE authorizations SET redeemed_s = 1 WHERE jti IS NULL")
        self.assert_finds("burnt")

    def test_an_entry_without_a_token_is_found(self):
        self.add_entry(2)
        self.assert_finds("burnt")

    def test_a_code_that_was_refused_and_then_was_gone_is_found(self):
        self.lines[1] |= {"outcome": "wrong", "last_status": 400}
        self.assert_finds("burnt")

    def test_a_token_without_an_entry_is_found(self):
        self.change("DELETE FROM ledger")
        self.assert_finds("ledger")

    def test_a_token_of_another_hash_is_found(self):
        self.lines[0]["token_sha256"] = "00" * 32
        self.assert_finds("ledger")

    def test_a_token_of_another_jti_is_found(self):
        self.lines[0]["jti"] = "another"
        self.assert_finds("ledger")

    def test_a_code_that_is_not_spent_is_found(self):
        self.change("UPDATE authorizations SET redeemed_s = NULL")
        self.assert_finds("ledger")

    def test_an_entry_that_was_nobodys_is_found(self):
        self.add_entry(9)
        self.assert_finds("unseen")

    def test_entries_are_accounted_for_once(self):
        after = f"--after={self.directory / 'seen'}"
        self.assertEqual(self.run_check(after).returncode, 0)
        self.add_row(3, spent=True)
        self.lines = [story(3, "issued", 201)]
        self.assertEqual(self.run_check(after).returncode, 0)
        self.add_entry(9)
        self.assertEqual(self.run_check(after).returncode, 1)


if __name__ == "__main__":
    unittest.main()
