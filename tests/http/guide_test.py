"""The guides' commands, typed in their order at an issuerd with SoftHSM2, print what the guides say.

    guide_test.py BUILD-DIR GUIDE...

A block fenced as `console` has commands behind `$ ` and what each prints; `…` stands for anything, alone on a
line for any lines. A command that fails, or prints anything else, fails the test. A comment <!-- guide: NAME -->
before a block is something that happens to the server first. Other blocks are not run; they are named.
Paths and ports of the guides are turned into the test's, and those in what is printed back again.
"""
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
FAKETIME = os.environ["TEST_FAKETIME"]
WAIT_S = 60

CONF = """
[issuer]
url = https://issuer.example
jwks_max_age_s = 0
[public]
listen = 127.0.0.1:{public}
requests_per_s = 0
[admin]
listen = 127.0.0.1:{admin}
client_secret_file = /run/credentials/issuerd.service/client-secret
[store]
url = sqlite:/var/lib/issuerd/issuerd.db
[ledger]
node = node-1
signer = audit
checkpoint_s = 1
"""
SIGNER = """
[signer {name}]
uri = pkcs11:token=issuerd;object={object}?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/credentials/issuerd.service/hsm-pin
setenv = SOFTHSM2_CONF=/etc/issuerd/softhsm2.conf
"""
RIGHT_PIN = "71942-user"


class Guide:
    def __init__(self, directory):
        self.directory = directory
        self.places = {"/etc/issuerd": directory / "etc", "/var/lib/issuerd": directory / "state",
                       "/run/credentials/issuerd.service": directory / "credentials",
                       "/backup": directory / "backup", "/usr/share/issuerd": directory / "provisioning"}
        self.names = {}  # OLD-KID, NEW-KID, JTI
        self.ports = {"public": 0, "admin": 0}
        self.signers = {"main": "issuerd-2026", "audit": "issuerd-audit"}
        self.process = None
        self.commands = 0
        self.not_run = []
        (directory / "provisioning").symlink_to(ROOT / "provisioning")  # where there is no blank in the path
        for place in self.places.values():
            place.mkdir(mode=0o700, exist_ok=True)
        (directory / "tokens").mkdir()
        self.write("etc/softhsm2.conf", f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\n")
        self.write("credentials/hsm-pin", RIGHT_PIN)
        self.write("credentials/client-secret", "a secret of sixteen or more")
        self.write("state/so-pin", "53817-officer")
        self.write_conf()
        self.variables = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
                          "SOFTHSM2_CONF": str(directory / "etc/softhsm2.conf")}

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text + "\n")
        path.chmod(0o600)

    # ---- the guides' words and the test's ----

    def to_ours(self, text):
        for guides, ours in self.places.items():
            text = text.replace(guides, str(ours))
        for name, value in self.names.items():
            text = text.replace(name, value)
        for listener, port in (("public", 8080), ("admin", 8081)):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[listener]}")
        return text

    def to_theirs(self, text):
        for guides, ours in self.places.items():
            text = text.replace(str(ours), guides)
        for name, value in self.names.items():
            text = text.replace(value, name)
        return text

    def learn_names(self):
        for path in (self.directory / "state/evidence").glob("*.json"):
            evidence = json.loads(path.read_text())
            if evidence["signer"] == "main":
                self.names["OLD-KID"] = evidence["kid"]
        if "next" in self.signers and "NEW-KID" not in self.names:
            listed = subprocess.run(["issuerctl", "-c", self.directory / "etc/issuerd.conf", "keys", "list", "--json"],
                                    env=self.variables, capture_output=True, text=True)
            self.names.update(("NEW-KID", key["kid"]) for key in json.loads(listed.stdout)
                              if key["signer"] == "next" and "kid" in key)
        token = self.directory / "state/token"
        if token.exists() and "JTI" not in self.names:
            with sqlite3.connect(self.directory / "state/issuerd.db") as store:
                self.names["JTI"], = store.execute("SELECT jti FROM ledger WHERE jti IS NOT NULL").fetchone()

    # ---- what happens to the server ----

    def write_conf(self):
        conf = CONF.format(**self.ports)
        for name, object_label in self.signers.items():
            conf += SIGNER.format(name=name, object=object_label)
        self.write("etc/issuerd.conf", self.to_ours(conf))

    def start(self, more=None):
        self.ports = {"public": 0, "admin": 0}
        self.write_conf()
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen(["issuerd", "--config", self.directory / "etc/issuerd.conf"],
                                            env={**self.variables, **(more or {})}, stdout=subprocess.PIPE, stderr=log, text=True)
        ready = self.process.stdout.readline()
        ports = re.findall(r"127\.0\.0\.1:(\d+)", ready)
        if len(ports) != 2:
            self.fail("issuerd did not start", (self.directory / "log").read_text())
        self.ports = dict(zip(("public", "admin"), map(int, ports)))
        self.write_conf()

    def start_first(self):
        self.start()
        self.await_that("a checkpoint", lambda: self.logged("ledger.checkpoint origin") > 0)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WAIT_S)

    def add_signer(self):
        self.signers["next"] = "issuerd-2027"
        self.write_conf()
        self.await_that("the next second, by which keys are listed", lambda: all(
            key["since_s"] < int(time.time()) for key in self.keys()))

    def reload(self):
        before = self.logged("config.reloaded")
        self.process.send_signal(signal.SIGHUP)
        self.await_that("a reload", lambda: self.logged("config.reloaded") > before)
        self.await_that("the new key", lambda: len(self.keys()) == len(self.signers) - 1)

    def logged(self, event):
        return (self.directory / "log").read_text().count(event)

    def status(self):
        said = subprocess.run(["issuerctl", "-c", self.directory / "etc/issuerd.conf", "status", "--json"],
                              env=self.variables, capture_output=True, text=True)
        return json.loads(said.stdout) if said.stdout.startswith("{") else {"ready": None, "problems": []}

    def await_that(self, what, holds):
        end = time.monotonic() + WAIT_S
        while not holds():
            if time.monotonic() > end:
                self.fail(f"waited in vain for {what}", json.dumps(self.status()))
            time.sleep(0.05)

    def await_ready(self):
        self.await_that("a server that issues", lambda: self.status()["ready"])

    def await_problem(self, name):
        self.await_that(name, lambda: self.status()["ready"] is False and any(
            problem["name"] == name and problem["level"] == "error" for problem in self.status()["problems"]))

    def await_signers(self, state):
        self.await_that(f"signers that are {state}", lambda: all(
            signer["state"] == state for signer in self.status().get("signers", [{"state": ""}])))

    def wait_for_activation(self):
        self.await_that("the time of activation", lambda: all(
            key["state"] != "published" or key["due_s"] <= time.time() for key in self.keys()))

    def keys(self):
        with sqlite3.connect(self.directory / "state/issuerd.db") as store:
            store.row_factory = sqlite3.Row
            return store.execute("SELECT * FROM keys").fetchall()

    def kill_signers(self):
        for pid in subprocess.run(["pgrep", "-f", "issuerd-signer"], capture_output=True, text=True).stdout.split():
            if self.is_ours(int(pid)):
                os.kill(int(pid), signal.SIGKILL)

    def is_ours(self, pid):
        while pid > 1 and pid != self.process.pid:
            try:
                pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                return False
        return pid == self.process.pid

    def hsm_away(self):
        (self.directory / "tokens").rename(self.directory / "tokens.away")
        self.kill_signers()
        self.await_signers("down")

    def hsm_back(self):
        (self.directory / "tokens.away").rename(self.directory / "tokens")
        self.await_ready()

    def wrong_pin(self):
        self.write("credentials/hsm-pin", "13579-wrong")
        self.kill_signers()
        self.await_signers("locked")

    def right_pin(self):
        self.write("credentials/hsm-pin", RIGHT_PIN)
        self.await_ready()

    def restore(self):
        del self.signers["main"]
        self.stop()
        state = self.directory / "state"
        (self.directory / "backup/checkpoint").write_bytes((state / "node-1.checkpoint").read_bytes())  # sent away
        for name in "issuerd.db-wal", "issuerd.db-shm":
            (state / name).unlink(missing_ok=True)
        (state / "issuerd.db").write_bytes((self.directory / "backup/issuerd.db").read_bytes())
        self.start()
        self.await_problem("ledger.rolled_back")

    def clock_jump(self):
        """From now on the server's clock is what libfaketime says."""
        self.stop()
        self.set_clock("+0")
        self.start({"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.directory / "state/clock"),
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        self.await_ready()
        self.set_clock("+600")
        self.await_problem("clock.untrusted")

    def set_clock(self, offset):
        self.write("state/clock.new", offset)
        (self.directory / "state/clock.new").rename(self.directory / "state/clock")

    def settle(self):
        self.await_ready()

    # ---- the blocks ----

    def fail(self, what, said):
        sys.exit(f"FAILED: {what}\n{said}")

    def run(self, place, command, wanted):
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", self.to_ours(command)], text=True,
                                cwd=self.directory / "state", env=self.variables, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WAIT_S)
        self.learn_names()
        said = self.to_theirs(result.stdout)
        if result.returncode != 0:
            self.fail(f"{place}: $ {command}\nended with {result.returncode}", said)
        if not matches(wanted, said):
            self.fail(f"{place}: $ {command}\nshould print\n{wanted}\nand prints", said)
        self.commands += 1

    def read(self, path):
        happenings = {"start": self.start_first, "add-signer": self.add_signer, "reload": self.reload,
                      "wait-for-activation": self.wait_for_activation, "hsm-away": self.hsm_away,
                      "hsm-back": self.hsm_back, "wrong-pin": self.wrong_pin, "right-pin": self.right_pin,
                      "restore": self.restore, "settle": self.settle, "clock-jump": self.clock_jump}
        for line, kind, text in blocks(path.read_text()):
            if kind == "guide":
                happenings[text]()
            elif kind == "console":
                for command, wanted in steps(text):
                    self.run(f"{path.parent.name}/{path.name}:{line}", command, wanted)
            else:
                self.not_run.append(f"{path.parent.name}/{path.name}:{line}")


def blocks(text):
    """(line, "console", what is in it), or of another fence, or (line, "guide", NAME)."""
    fence = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$|^ *<!-- guide: (\S+) -->$", re.M | re.S)
    for match in fence.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield (line, "guide", match[4]) if match[4] else (line, match[2], textwrap.dedent(match[3]))


def steps(text):
    """(command, what it prints): a command goes on behind a backslash at the end of its line."""
    before, *parts = re.split(r"^\$ ", text, flags=re.M)
    if before or not parts:
        sys.exit(f"FAILED: a block of no commands\n{text}")
    for part in parts:
        lines = part.splitlines(keepends=True)
        end = 1
        while lines[end - 1].endswith("\\\n"):
            end += 1
        yield "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])


def matches(wanted, said):
    pattern = ""
    for line in wanted.splitlines(keepends=True):
        pattern += r"(?:.*\n)*?" if line == "…\n" else re.escape(line).replace("…", ".*?")
    return re.fullmatch(pattern, said) is not None


def main():
    with tempfile.TemporaryDirectory(prefix="issuerd-guide.") as directory:
        guide = Guide(pathlib.Path(directory))
        try:
            for path in sys.argv[2:]:
                guide.read(pathlib.Path(path))
        finally:
            guide.stop()
        if guide.commands < 30 or guide.process.returncode != 0:
            guide.fail("too few commands, or the server did not end well", guide.commands)
        print("not run:", *guide.not_run)
        print(f"{guide.commands} commands print what the guides say; {len(guide.not_run)} blocks were not run")


main()
