"""A headless Chromium, spoken to in the Chrome DevTools Protocol over a pipe: no port, no driver."""
import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

ANSWER_S = 60


class Browser:
    """One tab. Whatever the page's console says, and whatever was refused by its policy, is in `said`."""

    def __init__(self, directory):
        to_browser, self.to_browser = os.pipe()
        self.from_browser, from_browser = os.pipe()
        for fd, number in (to_browser, 3), (from_browser, 4):
            os.set_inheritable(fd, True)
        program = shutil.which("chromium")
        if program is None:
            raise FileNotFoundError("chromium is not installed")
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio",
                   "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                   "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={directory}/profile",
                   "about:blank"]
        # The protocol's pipes are descriptors 3 and 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "sh", *command],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=pathlib.Path(directory, "browser.log").open("wb"))
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.said = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                 flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Accessibility":
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.to_browser)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.from_browser)

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.from_browser], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.from_browser, 1 << 20)
            if not piece:
                raise EOFError("the browser ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded":
            self.said.append(f"{parameters['entry']['source']}: {parameters['entry']['text']}")
        elif method == "Runtime.consoleAPICalled":
            self.said.append(f"console: {[a.get('value') for a in parameters['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(f"exception: {parameters['exceptionDetails']}")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.note(answer)

    def open(self, url):
        failure = self.call("Page.navigate", url=url).get("errorText")
        if failure:
            raise RuntimeError(f"{url}: {failure}")
        if not self.wait(f'location.href === {json.dumps(url)} && document.readyState === "complete"'):
            raise TimeoutError(f"{url} is not loaded")

    def look(self, width, height=900, dark=False):
        """How wide the window is, and what the reader prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, script):
        """The value of an expression in the page; of its promise, if it is one."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition, seconds=20):
        """Whether the expression came to be true in time."""
        deadline = time.monotonic() + seconds
        while not self.run(condition):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def press(self, key):
        for kind in "keyDown", "keyUp":
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key],
                      **({"text": "\r"} if (key, kind) == ("Enter", "keyDown") else {}))

    def screenshot(self, path):
        height = self.run("Math.ceil(document.documentElement.scrollHeight)")
        width = self.run("window.innerWidth")
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                          clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        pathlib.Path(path).write_bytes(base64.b64decode(image["data"]))
