"""A headless Chromium, spoken to over pipes in the DevTools protocol: enough to open a page, click and listen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0  # seconds for an answer, on a busy machine
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execvp(sys.argv[3], sys.argv[3:])
"""  # the browser reads from 3 and writes to 4
COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Browser:
    """One page. complaints: what console, scripts and network said so far."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes, self._rest, self._number = reads, writes, b"", 0
        self._session: str | None = None
        self._seen: set[str] = set()
        self.complaints: list[dict[str, Any]] = []

    def open(self, path: Path, width: int = 1000) -> None:
        """Load a file and wait until it stands."""
        if self._session is None:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Runtime", "Log", "Page"):
                self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        self._seen.clear()
        self.complaints.clear()
        self.send("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._seen:
            self._take(self._receive())
        self.evaluate("0")  # whatever was said while loading has arrived before this answer

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "result" in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._take(answer)

    def _take(self, event: dict[str, Any]) -> None:
        self._seen.add(event.get("method", ""))
        if event.get("method") in COMPLAINTS:
            self.complaints.append(event)

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            assert time.monotonic() < deadline, "the browser does not answer"
            part = os.read(self._reads, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a profile folder of its own; skips the test where no Chromium is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"needs a Chromium ({', '.join(NAMES)}) to open the page in")
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    words = [
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
        *(f"--user-data-dir={profile}", "--remote-debugging-pipe"),
    ]
    started = [sys.executable, "-c", _START, str(their_in), str(their_out), *words]
    process = subprocess.Popen(
        started, pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in (their_in, their_out):
        os.close(end)
    try:
        yield Browser(our_in, our_out)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        for end in (our_in, our_out):
            os.close(end)
