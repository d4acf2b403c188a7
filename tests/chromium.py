"""A headless Chromium that does what a test says, over its debugging pipe: no package is needed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 30.0
"""Seconds for one answer of the browser."""


def find_chromium() -> str | None:
    """Where a Chromium is on this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page in a browser.  ``complaints`` holds errors and refused requests as they come."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest, self._number = read, write, b"", 0
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """What a method of the DevTools protocol gives for this page."""
        return self._call(method, **params)

    def open(self, url: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression; a promise is waited for."""
        said = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait(self, expression: str, seconds: float = PATIENCE) -> None:
        """Until an expression is true."""
        until = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < until, f"{expression} is not true"
            time.sleep(0.02)

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Give files to an input, as its dialogue would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def look(self, width: int, height: int, *, dark: bool = False) -> bytes:
        """A PNG of the page at a size, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def _call(self, method: str, **params: Any) -> Any:
        self._number += 1
        session = getattr(self, "_session", {})
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            self._note(said)

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def _note(self, event: Any) -> None:
        name, told = event.get("method"), event.get("params", {})
        level = told.get("entry", told).get("level") or told.get("type")
        if name == "Runtime.exceptionThrown" or level in ("error", "warning"):
            self.complaints.append(json.dumps(told))


@contextmanager
def page(chromium: str, profile: Path) -> Iterator[Page]:
    """A page of a browser that is ended with the block.

    Args:
        chromium: the program.
        profile: a folder for what it writes.
    """
    (to_read, their_write), (their_read, to_write) = os.pipe(), os.pipe()
    words = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
        *("--remote-debugging-pipe", f"--user-data-dir={profile}"),
    )
    pipes = f'exec "$0" "$@" 3<&{their_read} 4>&{their_write}'  # the numbers that it expects
    process = subprocess.Popen(
        ["bash", "-c", pipes, chromium, *words],
        pass_fds=(their_read, their_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_read)
    os.close(their_write)
    try:
        yield Page(to_read, to_write)
    finally:
        os.close(to_write)
        os.close(to_read)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
