#!/usr/bin/env python3
"""Holds what clients saw against what the store says, with none of the server's code.

    check.py [--after FILE] [--head FILE] [--answer-ms N] STORE TRANSCRIPT...

STORE is issuerd's SQLite file, or a postgresql: URL; TRANSCRIPT what tests/support/load.c writes: a
JSON object a line, each one code's story. --after remembers in FILE how large the ledger's trees were,
so that the next call asks of later entries only whose they were; without it all are accounted for.
--head is the ledger's head file.

Says the first thing that does not hold, its kind first, and ends with 1:

    answer   something else than 201, or 503 with Retry-After, or too late
    bad      a token that does not verify
    twice    two tokens for one code
    burnt    a code is spent and nothing in the ledger says for what, or its client had been told
             nothing but 503
    ledger   a delivered token is not in the ledger just once, as it was delivered, its code spent
    unseen   the ledger has a token that nobody was given
    tree     a tree, a checkpoint or the head file is not what the entries make of it
"""
import argparse
import base64
import csv
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys

GOOD_OUTCOMES = ("issued", "given up", "unanswered", "spent")
INDEX_BITS = 40  # of a ledger row's id; above them the tree's number


class Finding(Exception):
    pass


def read_lines(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file]
    return lines


class Psql:
    """A PostgreSQL store, by the program psql, as it was at one moment."""

    END = "--end of rows--"

    def __init__(self, url):
        command = ["psql", "--no-psqlrc", "--quiet", "--csv", "--tuples-only",
                   "--set=ON_ERROR_STOP=1", "--pset=null=NULL", f"--dbname={url}"]
        self.program = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.select("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def select(self, sql):
        self.program.stdin.write(f"{sql};\n\\echo {self.END}\n")
        self.program.stdin.flush()
        lines = []
        while not lines or lines[-1] != self.END + "\n":
            lines.append(self.program.stdout.readline())
            if not lines[-1]:
                raise Finding(f"psql ended with {self.program.wait()}")
        return [tuple(self.value(text) for text in row) for row in csv.reader(lines[:-1])]

    @staticmethod
    def value(text):
        if text.startswith("\\x"):
            return bytes.fromhex(text[2:])
        return None if text == "NULL" else int(text) if text.isdecimal() else text


class Sqlite:
    """An SQLite store, as it was at one moment."""

    def __init__(self, path):
        uri = pathlib.Path(path).absolute().as_uri() + "?mode=ro"
        self.connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
        self.connection.execute("BEGIN")

    def select(self, sql):
        return self.connection.execute(sql).fetchall()


# ---- the trees (RFC 6962 2.1) ----


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def append(roots, size, leaf):
    """`roots` are those of the perfect subtrees of a tree of `size`, the largest first."""
    while size & 1:
        leaf = sha256(b"\x01", roots.pop(), leaf)
        size >>= 1
    roots.append(leaf)


def root_of(roots):
    if not roots:
        return sha256(b"")
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = sha256(b"\x01", left, root)
    return root


def split_edge(edge, size, name):
    edge = bytes(edge)
    if len(edge) != 32 * bin(size).count("1"):
        raise Finding(f"tree: {name}: the edge of {size} entries has {len(edge)} bytes")
    return [edge[i : i + 32] for i in range(0, len(edge), 32)]


class Tree:
    """One of the ledger's trees, made anew from its entries."""

    def __init__(self, row, entries):
        self.number, node, epoch, self.size, edge, pruned, pruned_edge = row
        self.name = f"{node}/{epoch}"
        self.entries = []  # (index, the entry as a dictionary)
        self.first = pruned
        roots = split_edge(pruned_edge, pruned, self.name) if pruned else []
        self.roots = {pruned: root_of(roots)}  # by size
        for index, jti, leaf, entry in entries:
            self.add(roots, index, jti, leaf, entry)
        if self.first + len(self.entries) != self.size:
            raise Finding(f"tree: {self.name}: {len(self.entries)} entries from {self.first}"
                          f" on, in a tree of {self.size}")
        if split_edge(edge, self.size, self.name) != roots:
            raise Finding(f"tree: {self.name}: its edge is another than that of its entries")

    def add(self, roots, index, jti, leaf, text):
        name = f"{self.name}, entry {index}"
        size = self.first + len(self.entries)
        if index != size:
            raise Finding(f"tree: {name} stands where {size} should")
        if bytes(leaf) != sha256(b"\x00", text.encode()):
            raise Finding(f"tree: {name}: its leaf is not its hash")
        entry = json.loads(text)
        if entry.get("jti") != jti:
            raise Finding(f"tree: {name}: is stored under another jti than its own")
        self.entries.append((index, entry))
        append(roots, size, bytes(leaf))
        self.roots[size + 1] = root_of(roots)

    def check_note(self, what, note):
        """The body of a checkpoint: three lines (C2SP tlog-checkpoint)."""
        origin, size, root = note.split("\n")[:3]
        size = int(size)
        if not origin.endswith(f"/ledger/{self.name}"):
            raise Finding(f"tree: {what} of {size} is one of {origin}")
        if size > self.size:
            raise Finding(f"tree: {what} of {size}, and {self.name} has only {self.size} entries")
        if size >= self.first and base64.b64decode(root) != self.roots[size]:
            raise Finding(f"tree: {what} of {self.name} at {size} has another root than the entries")
        return size


def read_trees(store):
    rows = {}
    for entry, *rest in store.select("SELECT id, jti, leaf, entry FROM ledger ORDER BY id"):
        index = entry & ((1 << INDEX_BITS) - 1)
        rows.setdefault(entry >> INDEX_BITS, []).append((index, *rest))
    trees = {}
    for row in store.select("SELECT number, node, epoch, size, edge, pruned, pruned_edge"
                            " FROM ledger_trees ORDER BY number"):
        trees[row[0]] = Tree(row, rows.pop(row[0], []))
    if rows:
        raise Finding(f"tree: there are entries of tree {min(rows)}, and no such tree")
    return trees


def check_checkpoints(store, trees, head):
    for number, size, note in store.select("SELECT tree, size, note FROM checkpoints"):
        if number not in trees:
            raise Finding(f"tree: a checkpoint of tree {number}, and no such tree")
        if trees[number].check_note("the checkpoint", note) != size:
            raise Finding(f"tree: the checkpoint of {trees[number].name} at {size} is another")
    if head:
        note = pathlib.Path(head).read_text(encoding="utf-8")
        named = [tree for tree in trees.values() if f"/ledger/{tree.name}\n" in note]
        if not named:
            raise Finding("tree: the head file is of none of the trees")
        named[0].check_note("the head file", note)


# ---- the codes ----


def hash_of(text):
    """Lower-case hex of base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()


def read_issued(trees):
    """(tree, index, jti, SHA-256 of the token) by authorization."""
    issued = {}
    for tree in trees.values():
        for index, entry in tree.entries:
            if entry["kind"] == "issued":
                token = (tree.number, index, entry["jti"], hash_of(entry["token"]))
                issued.setdefault(entry["authorization"], []).append(token)
    return issued


def check_answers(line, answer_ms):
    name = f"case {line['case']}, authorization {line['authorization']}"
    if line["last_status"] == 201 and not line["verified"]:
        raise Finding(f"bad: {name}: a token that does not verify")
    if line["outcome"] not in GOOD_OUTCOMES:
        kind = "burnt" if line["last_status"] == 400 and line["refusals"] > 0 else "answer"
        raise Finding(f"{kind}: {name}: status {line['last_status']}")
    if line["slowest_ms"] > answer_ms:
        raise Finding(f"answer: {name}: took {line['slowest_ms']} ms")


def check_code(row, tokens, line):
    """The row of the code's authorization against the ledger's tokens for it."""
    name = f"case {line['case']}, authorization {line['authorization']}"
    if row is None or bytes(row[0]).hex() != line["code_sha256"]:
        raise Finding(f"ledger: {name}: no such code in the store")
    if len(tokens) > 1:
        raise Finding(f"twice: {name}: {len(tokens)} tokens")
    _, redeemed_s, jti = row
    if line["outcome"] == "given up" and (redeemed_s is not None or tokens):
        raise Finding(f"burnt: {name}: spent after {line['refusals']} refusals and no token")
    if line["outcome"] == "spent" and (redeemed_s is None or not tokens):
        raise Finding(f"burnt: {name}: said to be spent, and the ledger has no token for it")
    if line["outcome"] != "issued":
        return
    if redeemed_s is None or jti != line["jti"]:
        raise Finding(f"ledger: {name}: the code of a delivered token is not spent for it")
    if [token[2:] for token in tokens] != [(jti, line["token_sha256"])]:
        raise Finding(f"ledger: {name}: the delivered token is not what was entered")


def check_rows(rows, issued, has_all):
    """All codes, whoever's: spent, and in the ledger for that, or neither."""
    for authorization, (_, redeemed_s, jti) in rows.items():
        tokens = issued.get(authorization, [])
        if redeemed_s is None and tokens:
            raise Finding(f"ledger: authorization {authorization}: a token, and the code is good")
        if redeemed_s is not None and has_all and [token[2] for token in tokens] != [jti]:
            raise Finding(f"burnt: authorization {authorization}: spent for {jti}, and the ledger"
                          f" has {len(tokens)} other token(s)")


def check_entries(issued, lines, after):
    """Each later entry was somebody's, or the connection of who asked for it broke."""
    known = {line["authorization"] for line in lines if line["outcome"] != "given up"}
    for authorization, tokens in issued.items():
        for tree, index, *_ in tokens:
            if index >= after.get(str(tree), 0) and authorization not in known:
                raise Finding(f"unseen: entry {index}, authorization {authorization}")


def check(options):
    lines = read_lines(options.transcript)
    if not lines:
        raise Finding("answer: nothing was asked")
    codes = [line["code_sha256"] for line in lines]
    if len(set(codes)) != len(codes):
        raise Finding("twice: a code was handed out twice")
    memory = pathlib.Path(options.after) if options.after else None
    after = json.loads(memory.read_text()) if memory and memory.exists() else {}
    store = Psql(options.store) if "://" in options.store else Sqlite(options.store)
    rows = {row[0]: row[1:] for row in store.select(
        "SELECT uuid, code_hash, redeemed_s, jti FROM authorizations"
        " WHERE code_hash IS NOT NULL")}
    trees = read_trees(store)
    check_checkpoints(store, trees, options.head)
    issued = read_issued(trees)
    for line in lines:
        check_answers(line, options.answer_ms)
        authorization = line["authorization"]
        check_code(rows.get(authorization), issued.get(authorization, []), line)
    check_rows(rows, issued, not any(tree.first for tree in trees.values()))
    check_entries(issued, lines, after)
    if memory:
        memory.write_text(json.dumps({str(tree.number): tree.size for tree in trees.values()}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--after")
    parser.add_argument("--head")
    parser.add_argument("--answer-ms", type=int, default=2000)
    parser.add_argument("store")
    parser.add_argument("transcript", nargs="+")
    try:
        check(parser.parse_args())
    except Finding as finding:
        print(finding)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
