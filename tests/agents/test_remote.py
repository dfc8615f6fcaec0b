"""A recommender behind HTTP: the reference server of the README, and everything that can go wrong."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.generation.waiting import waiting
from zsr_sim.agents.protocol import AgentError, CheckedAgent
from zsr_sim.agents.remote import Remote

IDS = ("a", "b", "007", "d", "e", "f")
USERS = waiting([[-1, 2], [0, 1], [-1, -1]], [[-1], [4], [-1]], steps=[0, 3, 1], seed=2**63 + 1)

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
(SERVER,) = re.findall(
    r"^```py\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)  # serves for ever: no block to run whole


class Silent(BaseHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def remote(url: str, **changes: Any) -> CheckedAgent:
    return CheckedAgent(url, Remote(url, IDS, 2, **{"timeout": 5.0, "retries": 0} | changes), 2, len(IDS))


def test_the_reference_server_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(SERVER.rsplit("\n\n", 1)[0], names)  # all but the line that serves for ever

    recommender: type[BaseHTTPRequestHandler] = names["Recommender"]
    monkeypatch.setattr(recommender, "log_message", Silent.log_message)
    with serving(recommender) as url:
        slates = remote(url).act(USERS).slates
        one_by_one = remote(url, batch=1).act(USERS).slates
    assert slates.tolist() == [[0, 1], [2, 3], [0, 1]]
    np.testing.assert_array_equal(slates, one_by_one)


class Answering(Silent):
    """Answers what the class attributes say, and notes what it was asked."""

    status, answer, asked, fails = 200, b"", [], 0  # type: ignore[var-annotated]

    def do_POST(self) -> None:
        kind = type(self)
        kind.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(503 if len(kind.asked) <= kind.fails else kind.status)
        self.end_headers()
        self.wfile.write(kind.answer)


def answering(answer: object, status: int = 200, fails: int = 0) -> type[Answering]:
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return type("Own", (Answering,), {"status": status, "answer": text, "asked": [], "fails": fails})


GOOD = {"slates": [["a", "b"], ["007", "d"], ["e", "f"]]}


def test_what_is_sent() -> None:
    handler = answering(GOOD)
    with serving(handler) as url:
        assert remote(url).act(USERS).slates.tolist() == [[0, 1], [2, 3], [4, 5]]
    (asked,) = handler.asked
    assert (asked["version"], asked["slate_size"]) == (1, 2)
    assert asked["users"][0] == {"user": "0", "step": 0, "seed": str(2**63 + 1), "history": ["007"], "shown": []}
    assert asked["users"][1] == {"user": "1", "step": 3, "seed": str(2**63 + 1), "history": ["a", "b"], "shown": ["e"]}


def test_who_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    handler = answering(GOOD, fails=2)
    with serving(handler) as url:
        assert remote(url, retries=2).act(USERS).slates.shape == (3, 2)
        assert pauses == [0.2, 0.4]
        handler.asked.clear()
        with pytest.raises(AgentError, match=r"status 503.*tried 2 times; see that the recommender runs there"):
            remote(url, retries=1).act(USERS)


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (b"<html>", 200, r": no JSON: '<html>'"),
        (b"", 200, ": no JSON: an empty answer"),
        (b"[" * 100_000, 200, r": no JSON: '\[\["),
        ({"pages": []}, 200, r'\{"slates": \[...\]\} with 3 lists expected, one a user; found \{\'pages\': \[\]\}'),
        ({"slates": [["a", "b"]]}, 200, "with 3 lists expected, one a user; found 1 slates"),
        (
            {"slates": [["a", "b"], ["a"], ["a", "b"]]}, 200,
            r", user 1, page 4 of the visit: a list of 2 item ids expected, found \['a'\]",
        ),
        (
            {"slates": [["a", "b"], ["a", 7], ["a", "b"]]}, 200,
            r", user 1, page 4 of the visit: item 7 is not in the catalogue \(which has 'a'\); ids are text",
        ),
        ({"slates": [["a", "b"], ["a", "b"], ["a", "a"]]}, 200, r", user 2, page 2 .*: item 'a' more than once; 2"),
        (b"not for you", 403, ", user 0 and 2 others, page 1 .*: it refused with status 403: 'not for you'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told(answer: object, status: int, says: str) -> None:
    with serving(answering(answer, status)) as url, pytest.raises(AgentError, match=f"^agent {url}.*{says}"):
        remote(url).act(USERS)


def test_nobody_there_and_nobody_in_time() -> None:
    with serving(answering(GOOD)) as url:
        pass
    with pytest.raises(AgentError, match=r", user 0 and 2 others, page 1 .*: no answer \(.*refused\); tried 1 time;"):
        remote(url).act(USERS)
    waiting_for = threading.Event()

    class Late(Silent):
        def do_POST(self) -> None:
            waiting_for.wait(5)

    with serving(Late) as url:
        with pytest.raises(AgentError, match=r"no answer within 0.05 s; tried 1 time;"):
            remote(url, timeout=0.05).act(USERS)
        waiting_for.set()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "Remote end closed connection without response"),
        (b"hello\r\n\r\n", "hello"),
    ],
)
def test_a_connection_that_ends_too_soon(answer: bytes, says: str) -> None:
    class Breaks(Silent):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(answer)

    with (
        serving(Breaks) as url,
        pytest.raises(AgentError, match=rf"user 0 .* page 1 .*: no answer \({says}\); tried 1 "),
    ):
        remote(url).act(USERS)


def test_an_answer_that_comes_in_drops_is_late() -> None:
    class Drips(Silent):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # nobody waits any more
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.02)

    with serving(Drips) as url, pytest.raises(AgentError, match=r"no answer within 0.1 s; tried 1 time;"):
        remote(url, timeout=0.1).act(USERS)


def test_an_answer_that_is_cut_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    text, tries = json.dumps(GOOD).encode(), []

    class Cut(Silent):
        def do_POST(self) -> None:
            tries.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text if len(tries) == 3 else text[:-7])

    with serving(Cut) as url:
        assert remote(url, retries=2).act(USERS).slates.tolist() == [[0, 1], [2, 3], [4, 5]]
        tries.clear()
        with pytest.raises(AgentError, match=r"no answer \(it ended 7 bytes too soon\); tried 2 times;"):
            remote(url, retries=1).act(USERS)


def test_nobody_is_followed_elsewhere() -> None:
    class Moved(Silent):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/other")
            self.end_headers()

    with (
        serving(Moved) as url,
        pytest.raises(AgentError, match="refused with status 302: it is at '/other'; name that"),
    ):
        remote(url).act(USERS)


def test_an_answer_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsr_sim.agents.remote._MOST", 2**20)
    sent = []

    class Endless(Silent):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # nobody reads on
                while True:
                    sent.append(self.wfile.write(b" " * 2**16))

    with serving(Endless) as url, pytest.raises(AgentError, match=r"user 0 .*: its answer is longer than 1 MiB$"):
        remote(url, retries=2).act(USERS)
    assert sum(sent) < 2**25  # once, and what lay between the two ends


def test_what_a_server_says_does_not_move_a_terminal() -> None:
    class Odd(Silent):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(b"\x1b[2J\x00bell\x07\r\n\r\n")

    with serving(Odd) as url, pytest.raises(AgentError) as told:
        remote(url).act(USERS)
    assert "no answer ([2J bell)" in str(told.value)
