#!/usr/bin/env python3
"""Checks a proof of "issuerctl ledger prove" by its specifications, with hashlib and openssl(1) alone:
C2SP tlog-proof, signed-note and tlog-checkpoint, RFC 6962 2.1.1.

    check_proof.py PROOF PEM        prints the entry; exit status 0: it is proven
"""
import base64
import hashlib
import subprocess
import sys
import tempfile


def sha256(data):
    return hashlib.sha256(data).digest()


def root_of(leaf, index, size, path):
    """The root that the audit path gives, by the recursion of RFC 6962 2.1.1."""
    if size == 1:
        assert not path
        return leaf
    split = 1
    while split * 2 < size:
        split *= 2
    if index < split:
        left, right = root_of(leaf, index, split, path[:-1]), path[-1]
    else:
        left, right = path[-1], root_of(leaf, index - split, size - split, path[:-1])
    return sha256(b"\x01" + left + right)


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.PIPE).stdout


def check_signature(body, origin, line, pem):
    dash, name, blob = line.decode().split(" ")
    assert dash == "\u2014" and name == origin
    blob = base64.b64decode(blob, validate=True)
    spki = openssl("pkey", "-pubin", "-in", pem, "-outform", "DER")
    is_ed25519 = len(spki) == 44
    named = name.encode() + b"\n\x01" + spki[12:] if is_ed25519 else spki
    assert blob[:4] == sha256(named)[:4]
    with tempfile.NamedTemporaryFile() as text, tempfile.NamedTemporaryFile() as signature:
        text.write(body)
        text.flush()
        signature.write(blob[4:])
        signature.flush()
        if is_ed25519:
            openssl("pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", text.name,
                    "-sigfile", signature.name)
        else:
            openssl("dgst", "-sha256", "-verify", pem, "-signature", signature.name, text.name)


def main():
    head, note = open(sys.argv[1], "rb").read().split(b"\n\n", 1)
    version, extra, index, *path = head.split(b"\n")
    assert version == b"c2sp.org/tlog-proof@v1"
    assert extra.startswith(b"extra ") and index.startswith(b"index ")
    entry = base64.b64decode(extra[6:], validate=True)
    path = [base64.b64decode(hash_, validate=True) for hash_ in path]
    body, signatures = note.split(b"\n\n", 1)
    origin, size, root = body.decode().split("\n")
    check_signature(body + b"\n", origin, signatures.rstrip(b"\n"), sys.argv[2])
    leaf = sha256(b"\x00" + entry)
    assert root_of(leaf, int(index[6:]), int(size), path) == base64.b64decode(root)
    print(entry.decode())


main()
