#!/usr/bin/env python3
"""Holds what clients saw against what the store says, with none of the server's code.

    check.py [--after FILE] [--answer-ms N] STORE TRANSCRIPT...

STORE is issuerd's SQLite file, TRANSCRIPT what tests/support/load.c writes: a JSON object a line,
each one code's story. FILE remembers the last ledger entry that was looked at, so that the next call
looks at the later ones only; without it all entries are accounted for.

Says the first thing that does not hold, its kind first, and ends with 1:

    answer   something else than 201, or 503 with Retry-After, or too late
    bad      a token that does not verify
    twice    two tokens for one code
    burnt    a code is spent whose client had been told nothing but 503
    ledger   a delivered token is not in the ledger just once, as it was delivered, its code spent
    unseen   the ledger has a token that nobody was given
"""
import argparse
import base64
import json
import pathlib
import sqlite3
import sys

GOOD_OUTCOMES = ("issued", "given up", "unanswered")


class Finding(Exception):
    pass


def read_lines(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file]
    return lines


def check_answers(line, answer_ms):
    name = f"case {line['case']}, authorization {line['authorization']}"
    if line["last_status"] == 201 and not line["verified"]:
        raise Finding(f"bad: {name}: a token that does not verify")
    if line["outcome"] not in GOOD_OUTCOMES:
        kind = "burnt" if line["last_status"] == 400 and line["refusals"] > 0 else "answer"
        raise Finding(f"{kind}: {name}: status {line['last_status']}")
    if line["slowest_ms"] > answer_ms:
        raise Finding(f"answer: {name}: took {line['slowest_ms']} ms")


def check_code(store, entries, line):
    """The row of the code's authorization against the ledger's `entries` for it."""
    name = f"case {line['case']}, authorization {line['authorization']}"
    rows = store.execute(
        "SELECT hex(code_hash), redeemed_s, jti FROM authorizations WHERE uuid = ?",
        (line["authorization"],),
    ).fetchall()
    if len(rows) != 1 or rows[0][0].lower() != line["code_sha256"]:
        raise Finding(f"ledger: {name}: no such code in the store")
    if len(entries) > 1:
        raise Finding(f"twice: {name}: {len(entries)} tokens")
    _, redeemed_s, jti = rows[0]
    if line["outcome"] == "given up" and (redeemed_s is not None or entries):
        raise Finding(f"burnt: {name}: spent after {line['refusals']} refusals and no token")
    if line["outcome"] != "issued":
        return
    if redeemed_s is None or jti != line["jti"]:
        raise Finding(f"ledger: {name}: the code of a delivered token is not spent for it")
    if [entry[1:] for entry in entries] != [(jti, line["token_sha256"])]:
        raise Finding(f"ledger: {name}: the delivered token is not what was entered")


def read_ledger(store):
    """(row, jti, SHA-256 of the token) of what was issued, by authorization."""
    ledger = {}
    for row, text in store.execute("SELECT id, entry FROM ledger ORDER BY id"):
        entry = json.loads(text)
        if entry["kind"] == "issued":
            token = base64.urlsafe_b64decode(entry["token"] + "=").hex()
            ledger.setdefault(entry["authorization"], []).append((row, entry["jti"], token))
    return ledger


def check_entries(ledger, lines, after):
    """Each later entry was somebody's, or the connection of who asked for it broke. The last one."""
    known = {line["authorization"] for line in lines if line["outcome"] != "given up"}
    last = after
    for authorization, entries in ledger.items():
        for entry, *_ in entries:
            if entry > after and authorization not in known:
                raise Finding(f"unseen: entry {entry}, authorization {authorization}")
            last = max(last, entry)
    return last


def check(options):
    lines = read_lines(options.transcript)
    if not lines:
        raise Finding("answer: nothing was asked")
    codes = [line["code_sha256"] for line in lines]
    if len(set(codes)) != len(codes):
        raise Finding("twice: a code was handed out twice")
    memory = pathlib.Path(options.after) if options.after else None
    after = int(memory.read_text()) if memory and memory.exists() else 0
    uri = pathlib.Path(options.store).absolute().as_uri() + "?mode=ro"
    store = sqlite3.connect(uri, uri=True, timeout=10)
    ledger = read_ledger(store)
    for line in lines:
        check_answers(line, options.answer_ms)
        check_code(store, ledger.get(line["authorization"], []), line)
    last = check_entries(ledger, lines, after)
    if memory:
        memory.write_text(str(last))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--after")
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
