#!/usr/bin/env python3
"""check.py finds each thing it is there to find, and nothing in a run that went well."""
import base64
import hashlib
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
    CREATE TABLE ledger_trees (number INTEGER PRIMARY KEY, node TEXT, epoch INTEGER, size INTEGER,
                               edge BLOB, pruned INTEGER, pruned_edge BLOB);
    CREATE TABLE ledger (id INTEGER PRIMARY KEY, jti TEXT, leaf BLOB, entry TEXT);
    CREATE TABLE checkpoints (tree INTEGER, size INTEGER, time_s INTEGER, note TEXT, jwk TEXT);
"""
FIRST = 1 << 40  # the row of tree 1's first entry


def tree_hash(leaves):
    """RFC 6962 2.1, word for word: another way than the checker's."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def edge_of(leaves):
    edge = b""
    for bit in reversed(range(10)):
        if len(leaves) & 1 << bit:
            taken = len(leaves) >> bit + 1 << bit + 1
            edge += tree_hash(leaves[taken : taken + (1 << bit)])
    return edge


def base64url(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def story(number, outcome, status, **more):
    """What a client saw of code `number`."""
    line = {
        "case": 1,
        "authorization": f"authorization-{number}",
        "code_sha256": f"{number:064x}",
        "refusals": 2,
        "unanswered": 0,
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
        self.leaves = []
        self.change("INSERT INTO ledger_trees VALUES (1, 'node-1', 1, 0, x'', 0, x'')")
        self.append({"time": 1, "kind": "started"})
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

    def append(self, entry):
        text = json.dumps(entry)
        leaf = hashlib.sha256(b"\x00" + text.encode()).digest()
        self.store.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?)",
            (FIRST + len(self.leaves), entry.get("jti"), leaf, text),
        )
        self.leaves.append(leaf)
        self.keep_tree()

    def keep_tree(self):
        self.change("UPDATE ledger_trees SET size = ?, edge = ?", len(self.leaves),
                    edge_of(self.leaves))

    def add_entry(self, number, jti=None):
        token = bytes.fromhex(f"{number + 1000:064x}")
        self.append({
            "time": 1,
            "kind": "issued",
            "jti": jti or f"jti-{number}",
            "authorization": f"authorization-{number}",
            "token": base64url(token),
        })

    def note(self, size, leaves=None, origin="issuer.example/ledger/node-1/1"):
        root = base64.b64encode(tree_hash(self.leaves[:size] if leaves is None else leaves))
        return f"{origin}\n{size}\n{root.decode()}\n"

    def add_checkpoint(self, size, note):
        self.change("INSERT INTO checkpoints VALUES (1, ?, 1, ?, '{}')", size, note)

    def change(self, sql, *values):
        self.store.execute(sql, values)
        self.store.commit()

    def run_check(self, *options):
        transcript = self.directory / "transcript"
        transcript.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        command = [sys.executable, CHECK, *options, self.directory / "store.db", transcript]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def assert_finds(self, kind, *options):
        said = self.run_check(*options)
        self.assertEqual((said.returncode, said.stderr), (1, ""))
        self.assertTrue(said.stdout.startswith(f"{kind}: "), said.stdout)

    def assert_finds_nothing(self, *options):
        said = self.run_check(*options)
        self.assertEqual((said.returncode, said.stdout, said.stderr), (0, "", ""))

    def write_head(self, note):
        head = self.directory / "head"
        head.write_text(note, encoding="utf-8")
        return f"--head={head}"

    # ---- what went well ----

    def test_nothing_is_found_where_all_went_well(self):
        self.add_row(3, spent=True)
        self.lines.append(story(3, "unanswered", 0))
        self.add_row(4, spent=True)
        self.lines.append(story(4, "spent", 400, unanswered=1))
        for size in range(len(self.leaves) + 1):
            self.add_checkpoint(size, self.note(size))
        self.assert_finds_nothing(self.write_head(self.note(2) + "\n— a signature\n"))

    def test_nothing_is_found_in_trees_of_many_sizes(self):
        for number in range(3, 20):
            self.add_row(number, spent=True)
            self.lines.append(story(number, "issued", 201))
            self.assert_finds_nothing()

    def test_nothing_is_found_where_entries_were_pruned(self):
        for number in range(3, 9):
            self.add_row(number, spent=True)
            self.lines.append(story(number, "issued", 201))
        self.change("DELETE FROM ledger WHERE id < ?", FIRST + 2)
        self.change("UPDATE ledger_trees SET pruned = 2, pruned_edge = ?", edge_of(self.leaves[:2]))
        self.lines = self.lines[2:]
        self.assert_finds_nothing()

    # ---- the clients' side ----

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

    # ---- the codes ----

    def test_two_tokens_of_one_code_are_found(self):
        self.add_entry(1, jti="another")
        self.assert_finds("twice")

    def test_a_code_that_is_handed_out_twice_is_found(self):
        self.lines.append(self.lines[0])
        self.assert_finds("twice")

    def test_a_code_that_is_spent_without_a_token_is_found(self):
        self.change("UPDATE authorizations SET redeemed_s = 1 WHERE jti IS NULL")
        self.assert_finds("burnt")

    def test_a_code_that_is_spent_without_an_entry_is_found_whoever_asked(self):
        self.add_row(3, spent=False)
        self.change("UPDATE authorizations SET redeemed_s = 1, jti = 'jti-3'"
                    " WHERE uuid = 'authorization-3'")
        self.lines.append(story(3, "unanswered", 0))
        self.assert_finds("burnt")

    def test_a_code_that_is_said_to_be_spent_and_is_not_is_found(self):
        self.lines[1] |= {"outcome": "spent", "last_status": 400, "unanswered": 1}
        self.assert_finds("burnt")

    def test_an_entry_without_a_token_is_found(self):
        self.add_entry(2)
        self.assert_finds("burnt")

    def test_a_code_that_was_refused_and_then_was_gone_is_found(self):
        self.lines[1] |= {"outcome": "wrong", "last_status": 400}
        self.assert_finds("burnt")

    def test_an_entry_whose_code_is_good_is_found_whoever_asked(self):
        self.add_row(3, spent=False)
        self.add_entry(3)
        self.lines.append(story(3, "unanswered", 0))
        self.assert_finds("ledger")

    def test_a_token_without_an_entry_is_found(self):
        self.change("DELETE FROM ledger WHERE jti IS NOT NULL")
        self.leaves = self.leaves[:1]
        self.keep_tree()
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

    def test_a_code_that_is_not_in_the_store_is_found(self):
        self.change("DELETE FROM authorizations WHERE redeemed_s IS NULL")
        self.assert_finds("ledger")

    def test_an_entry_that_was_nobodys_is_found(self):
        self.add_entry(9)
        self.assert_finds("unseen")

    def test_entries_are_accounted_for_once(self):
        after = f"--after={self.directory / 'seen'}"
        self.assert_finds_nothing(after)
        self.add_row(3, spent=True)
        self.lines = [story(3, "issued", 201)]
        self.assert_finds_nothing(after)
        self.add_entry(9)
        self.assert_finds("unseen", after)

    # ---- the trees ----

    def test_an_entry_that_is_gone_is_found(self):
        self.change("DELETE FROM ledger WHERE id = ?", FIRST)
        self.assert_finds("tree")

    def test_a_last_entry_that_is_gone_is_found(self):
        self.change("DELETE FROM ledger WHERE id = ?", FIRST + 1)
        self.assert_finds("tree")

    def test_an_entry_that_was_changed_is_found(self):
        self.change("UPDATE ledger SET entry = replace(entry, '1,', '2,') WHERE id = ?", FIRST)
        self.assert_finds("tree")

    def test_an_entry_that_was_changed_with_its_leaf_is_found(self):
        entry = '{"time":2,"kind":"started"}'
        leaf = hashlib.sha256(b"\x00" + entry.encode()).digest()
        self.change("UPDATE ledger SET entry = ?, leaf = ? WHERE id = ?", entry, leaf, FIRST)
        self.assert_finds("tree")

    def test_an_entry_under_another_jti_is_found(self):
        self.change("UPDATE ledger SET jti = 'another' WHERE id = ?", FIRST + 1)
        self.assert_finds("tree")

    def test_an_edge_of_another_length_is_found(self):
        self.change("UPDATE ledger_trees SET edge = x'00'")
        self.assert_finds("tree")

    def test_an_edge_of_other_entries_is_found(self):
        self.change("UPDATE ledger_trees SET edge = ?", bytes(32))
        self.assert_finds("tree")

    def test_a_tree_that_is_gone_is_found(self):
        self.change("DELETE FROM ledger_trees")
        self.assert_finds("tree")

    def test_a_checkpoint_of_other_entries_is_found(self):
        self.add_checkpoint(2, self.note(2, leaves=self.leaves[:1]))
        self.assert_finds("tree")

    def test_a_checkpoint_of_more_entries_is_found(self):
        self.add_checkpoint(3, self.note(3))
        self.assert_finds("tree")

    def test_a_checkpoint_of_another_tree_is_found(self):
        self.add_checkpoint(2, self.note(2, origin="issuer.example/ledger/node-2/1"))
        self.assert_finds("tree")

    def test_a_checkpoint_under_another_size_is_found(self):
        self.add_checkpoint(1, self.note(2))
        self.assert_finds("tree")

    def test_a_head_file_ahead_of_the_store_is_found(self):
        self.assert_finds("tree", self.write_head(self.note(3)))

    def test_a_head_file_of_another_tree_is_found(self):
        origin = "issuer.example/ledger/node-1/2"
        self.assert_finds("tree", self.write_head(self.note(2, origin=origin)))


if __name__ == "__main__":
    unittest.main()
