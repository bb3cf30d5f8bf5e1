"""issuerd with its keys in files and TLS on its public listener: what tests in Python speak to."""
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import sys

CONF = """
[issuer]
url = https://issuer.example
environment = development
[public]
listen = 127.0.0.1:{public}
tls_certificate_file = {dir}/tls.pem
tls_key_file = {dir}/tls.key
[admin]
listen = 127.0.0.1:{admin}
client_secret_file = {dir}/secret
[store]
url = sqlite:{dir}/issuerd.db
[ledger]
node = node-1
signer = audit
[signer main]
uri = file:{dir}/main.pem
[signer audit]
uri = file:{dir}/audit.pem
"""
SECRET = "a secret of sixteen or more"


def children_of(pid):
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


class Server:
    def __init__(self, program, directory):
        self.program, self.directory = program, pathlib.Path(directory)
        self.ports = {"public": 0, "admin": 0}
        for name in "main", "audit":
            subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-out", self.directory / f"{name}.pem"], check=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "90", "-subj", "/CN=issuerd", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", self.directory / "tls.key", "-out", self.directory / "tls.pem"],
                       check=True, capture_output=True)
        self.trust = ssl.create_default_context(cafile=self.directory / "tls.pem")
        (self.directory / "secret").write_text(SECRET + "\n")
        for name in "main.pem", "audit.pem", "tls.key", "secret":
            (self.directory / name).chmod(0o600)
        self.start()

    def start(self):
        conf = self.directory / "issuerd.conf"
        conf.write_text(CONF.format(dir=self.directory, **self.ports))
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen([self.program, "--config", conf], stdout=subprocess.PIPE,
                                            stderr=log, text=True)
        ready = self.process.stdout.readline()
        ports = re.findall(r"127\.0\.0\.1:(\d+)", ready)
        if len(ports) != 2:
            sys.exit(f"issuerd did not start: {ready} {(self.directory / 'log').read_text()}")
        self.ports = dict(zip(("public", "admin"), map(int, ports)))

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            raise RuntimeError("the server did not end well")
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def connect(self, listener):
        if listener == "public":
            return http.client.HTTPSConnection("127.0.0.1", self.ports[listener], timeout=60, context=self.trust)
        return http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=60)

    def ask(self, listener, method, path, body=None, **headers):
        connection = self.connect(listener)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.headers, data

    def make_code(self):
        request = {"state": os.urandom(16).hex(), "nonce": os.urandom(16).hex()}
        _, _, body = self.ask("public", "POST", "/api/v1/authorizations", request)
        _, _, body = self.ask("admin", "POST", f"/api/v1/authorizations/{json.loads(body)['id']}/approve",
                              {"holder_did": "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"},
                              **{"x-client-secret": SECRET})
        return json.loads(body)["code"]

    def redeem(self, code):
        return self.ask("public", "POST", "/api/v1/tokens", {"authorization_code": code})[0]

    def kill_signers(self):
        """Those are children of its only child, the launcher."""
        for pid in children_of(children_of(self.process.pid)[0]):
            os.kill(int(pid), signal.SIGKILL)
