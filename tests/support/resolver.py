#!/usr/bin/env python3
"""A universal resolver for tests, on a port of 127.0.0.1 that the kernel chooses and the first line
of its output tells.

GET /1.0/identifiers/DID answers with DIRECTORY/DID.json if there is such a file (':' and '%' of the
DID as they are), as one of ANSWERS says, or 404. Besides, for tests to ask:

  GET /count/DID      how many requests there were for it
  GET /connections    over how many connections, of all DIDs
  GET /holding        how many requests are held
  GET /release        answers these, and holds none any more
"""
import argparse
import gzip
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/1.0/identifiers/"
DOCUMENT_MAX = 64 * 1024  # DID_DOCUMENT_MAX
LONG_S = 30  # ten deadlines; then a good document comes after all

lock = threading.Lock()
counts = {}
connections = set()
holding = 0
released = threading.Event()


def document(did, **more):
    return {"id": did, **more}


def padded(did, size):
    """A document of exactly so many bytes."""
    empty = len(json.dumps(document(did, pad="")))
    return json.dumps(document(did, pad="x" * (size - empty)))


def result(did, metadata=None, resolution=None):
    return {
        "didDocument": document(did),
        "didResolutionMetadata": resolution or {"contentType": "application/did+ld+json"},
        "didDocumentMetadata": metadata or {},
    }


def plain(status=200, body=None, **headers):
    """An answer; `body` is JSON, or text or bytes as they are; None: a document."""

    def answer(handler, did):
        content = document(did) if body is None else body(did) if callable(body) else body
        handler.answer(status, content, {n.replace("_", "-"): v for n, v in headers.items()})

    return answer


def echo(handler, did):
    handler.answer(200, document(did, path=handler.path, headers=dict(handler.headers)))


def hold(handler, did):
    global holding
    with lock:
        holding += 1
    released.wait(LONG_S)
    handler.answer(200, document(did))


def silent(handler, did):
    time.sleep(LONG_S)
    handler.answer(200, document(did))


def drip(handler, did):
    """A byte every tenth of a second, and the document in the end."""
    text = (" " * LONG_S * 10 + json.dumps(document(did))).encode()
    handler.head(200, {"Content-Length": str(len(text))})
    for byte in text:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.1)


def endless(handler, _did):
    handler.head(200, {"Connection": "close"})
    while True:
        handler.wfile.write(b" " * 4096)


def broken(handler, did):
    """Less than was promised."""
    text = json.dumps(document(did)).encode()
    handler.head(200, {"Content-Length": str(len(text) + 1), "Connection": "close"})
    handler.wfile.write(text)
    handler.close_connection = True


ANSWERS = {
    "did:test:document": plain(),
    "did:test:result": plain(body=result),
    "did:test:untyped": plain(Content_Type="text/plain"),
    "did:test:notfound": plain(404, {"didResolutionMetadata": {"error": "notFound"}}),
    "did:test:gone": plain(410, lambda did: result(did, {"deactivated": True})),
    "did:test:invalid": plain(400, {"didResolutionMetadata": {"error": "invalidDid"}}),
    "did:test:unsupported": plain(501, "no such method"),
    "did:test:fault": plain(500, "oh"),
    "did:test:busy": plain(503, "later"),
    "did:test:empty": plain(204, ""),
    "did:test:redirect": plain(302, Location=PREFIX + "did:test:redirected"),
    "did:test:redirected": plain(),
    "did:test:result-notfound": plain(body={"didResolutionMetadata": {"error": "notFound"}}),
    "did:test:result-fault": plain(body={"didResolutionMetadata": {"error": "internalError"}}),
    "did:test:result-deactivated": plain(body=lambda did: result(did, {"deactivated": True})),
    "did:test:result-null": plain(body={"didDocument": None, "didResolutionMetadata": {}}),
    "did:test:html": plain(body="<html>no</html>"),
    "did:test:array": plain(body=[]),
    "did:test:twice": plain(body='{"id":"a","id":"b"}'),
    "did:test:nothing": plain(body=""),
    "did:test:gzip": plain(
        body=lambda did: gzip.compress(json.dumps(document(did)).encode()), Content_Encoding="gzip"
    ),
    "did:test:largest": plain(body=lambda did: padded(did, DOCUMENT_MAX)),
    "did:test:too-large": plain(body=lambda did: padded(did, DOCUMENT_MAX + 1)),
    # 1e14 is printed with fifteen digits.
    "did:test:grows": plain(
        body='{"didDocument":{"n":[' + ",".join(["1e14"] * 4000) + '],"m":"' + "x" * 30000 + '"}}'
    ),
    "did:test:large-head": plain(X_Pad="x" * 20000),
    "did:test:endless": endless,
    "did:test:broken": broken,
    "did:test:silent": silent,
    "did:test:drip": drip,
    "did:test:hold": hold,
    "did:test:kept": plain(Cache_Control="public, MAX-AGE=60 , must-revalidate"),
    "did:test:kept-result": plain(body=result, Cache_Control="max-age=60"),
    "did:test:kept-long": plain(Cache_Control="max-age=31536000"),
    "did:test:aged": plain(Cache_Control="max-age=60", Age="50"),
    "did:test:too-old": plain(Cache_Control="max-age=60", Age="60"),
    "did:test:age-unknown": plain(Cache_Control="max-age=60", Age="old"),
    "did:test:no-store": plain(Cache_Control="max-age=60, no-store"),
    "did:test:kept-fault": plain(404, Cache_Control="max-age=60"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status, content, headers=None):
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        if isinstance(content, str):
            content = content.encode()
        self.head(
            status,
            {"Content-Type": "application/did+ld+json", "Content-Length": str(len(content))}
            | (headers or {}),
        )
        self.wfile.write(content)

    def resolve(self, did):
        with lock:
            counts[did] = counts.get(did, 0) + 1
            connections.add(self.client_address)
        path = os.path.join(self.server.documents or "", did + ".json")
        if self.server.documents and "/" not in did and os.path.isfile(path):
            age = self.server.max_age
            with open(path, encoding="utf-8") as file:
                self.answer(200, file.read(), {"Cache-Control": f"max-age={age}"} if age else {})
        elif did.startswith("did:echo:"):
            echo(self, did)
        else:
            ANSWERS.get(did, ANSWERS["did:test:notfound"])(self, did)

    def do_GET(self):
        if self.path.startswith(PREFIX):
            self.resolve(urllib.parse.unquote(self.path[len(PREFIX) :]))
        elif self.path.startswith("/count/"):
            self.answer(200, str(counts.get(urllib.parse.unquote(self.path[len("/count/") :]), 0)))
        elif self.path == "/connections":
            self.answer(200, str(len(connections)))
        elif self.path == "/holding":
            self.answer(200, str(holding))
        elif self.path == "/release":
            released.set()
            self.answer(200, "released")
        else:
            self.answer(404, "nothing here")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that went away


def main():
    parser = argparse.ArgumentParser(description="A universal resolver for tests.")
    parser.add_argument("--documents", metavar="DIR", help="serve the files DIR/DID.json")
    parser.add_argument("--max-age", type=int, default=0, metavar="S", help="they may be kept")
    parser.add_argument("--certificate", metavar="FILE", help="TLS, with this key and certificate")
    arguments = parser.parse_args()

    server = Server(("127.0.0.1", 0), Handler)
    server.documents = arguments.documents
    server.max_age = arguments.max_age
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
