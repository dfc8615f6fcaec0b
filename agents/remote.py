"""A recommender in another process or language, asked over HTTP: batched JSON, standard library only.

Each request is a POST of one JSON object to the address:

    {"version": 1, "slate_size": 10,
     "users": [{"user": "17", "step": 0, "seed": "1099511627776", "history": ["item id", ...], "shown": [...]}, ...]}

`history`: what the user consumed, most recent last. `shown`: items shown in this visit, most recent last. `step`: pages
seen in this visit. `seed`, `user` and `step` are the key of every random choice for this page: whoever derives
randomness from them answers the same when the run is repeated. The answer, with status 200, is

    {"slates": [["item id", ...], ...]}

with a list for each user, in the order of the request, of `slate_size` different items of the catalogue, best first.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.protocol import AgentError
from zsr_sim.envs.observation import Decision, Observation

SCHEMES = ("http://", "https://")
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_PAUSE = 0.2  # seconds before the first further try; twice as long before each next one
_ENOUGH = 200  # characters of an answer that an error shows
_MOST = 64 * 2**20  # bytes of an answer: 250,000 ids of 256 letters


@dataclass(frozen=True)
class Remote:
    """Asks a recommender at an address; see the module for what is sent and what is expected.

    timeout: seconds to wait for an answer. retries: further tries after no answer, or one with status 429 or 5xx.
    batch: users in a request at most.
    """

    url: str
    item_ids: tuple[str, ...]
    slate_size: int
    timeout: float = 10.0
    retries: int = 2
    batch: int = 256
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {name: row for row, name in enumerate(self.item_ids)})

    def act(self, observation: Observation) -> Decision:
        """The pages that it answers. Raises AgentError, which names the user, or the first one of a request."""
        slates = np.empty((len(observation), self.slate_size), dtype=np.int32)
        for begin in range(0, len(observation), self.batch):
            part = observation.take(slice(begin, begin + self.batch))
            slates[begin : begin + self.batch] = self._slates(self._ask(part), part)
        return Decision(slates)

    def _request(self, users: Observation) -> bytes:
        rows = [
            {
                "user": str(int(users.users[i])),
                "step": int(users.steps[i]),
                "seed": str(int(users.seeds[i])),  # as text: JSON numbers lose what is beyond 2 ** 53
                "history": self._names(users.histories[i]),
                "shown": self._names(users.shown[i]),
            }
            for i in range(len(users))
        ]
        return json.dumps({"version": 1, "slate_size": self.slate_size, "users": rows}).encode()

    def _names(self, items: NDArray[np.int32]) -> list[str]:
        return [self.item_ids[item] for item in items if item >= 0]

    def _ask(self, users: Observation) -> Any:
        """The answer as JSON, after as many tries as allowed."""
        body, fault = self._request(users), ""
        for attempt in range(1 + self.retries):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
            try:
                with _opener(self.url).open(request, timeout=self.timeout) as response:
                    text = _whole(response, self.timeout)
                break
            except urllib.error.HTTPError as error:
                said = error.read(_ENOUGH).decode(errors="replace")
                fault = f"status {error.code}" + (f": {said!r}" if said else "")
                if elsewhere := error.headers.get("Location"):
                    fault = f"status {error.code}: it is at {elsewhere!r}; name that address"
                if error.code != 429 and error.code < 500:
                    raise self._for_all(users, f"it refused with {fault}") from None
            except _TooLong:
                raise self._for_all(users, f"its answer is longer than {_MOST // 2**20} MiB") from None
            except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
                reason = getattr(error, "reason", error)
                late = isinstance(reason, TimeoutError)
                fault = f"no answer within {self.timeout:g} s" if late else f"no answer ({_words(reason)})"
        else:
            tries = f"tried {1 + self.retries} time{'s' * (self.retries > 0)}"
            raise self._for_all(users, f"{fault}; {tries}; see that the recommender runs there")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            found = repr(text[:_ENOUGH].decode(errors="replace")) if text else "an empty answer"
            raise self._for_all(users, f"no JSON: {found}") from None

    def _for_all(self, users: Observation, fault: str) -> AgentError:
        return AgentError.for_all(self.url, fault, users)

    def _slates(self, answer: Any, users: Observation) -> NDArray[np.int32]:
        slates = answer.get("slates") if isinstance(answer, dict) else None
        if not isinstance(slates, list) or len(slates) != len(users):
            found = f"{len(slates)} slates" if isinstance(slates, list) else str(answer)[:_ENOUGH]
            raise self._for_all(
                users, f'{{"slates": [...]}} with {len(users)} lists expected, one a user; found {found}'
            )
        return np.array([self._slate(slate, users, row) for row, slate in enumerate(slates)], dtype=np.int32)

    def _slate(self, slate: Any, users: Observation, row: int) -> list[int]:
        fault = ""
        if not isinstance(slate, list) or len(slate) != self.slate_size:
            fault = f"a list of {self.slate_size} item ids expected, found {str(slate)[:_ENOUGH]}"
        elif unknown := [item for item in slate if not isinstance(item, str) or item not in self._rows]:
            fault = f"item {unknown[0]!r} is not in the catalogue (which has {self.item_ids[0]!r}); ids are text"
        elif twice := next((item for item in slate if slate.count(item) > 1), None):
            fault = f"item {twice!r} more than once; {self.slate_size} different ones expected"
        if fault:
            raise AgentError(self.url, fault, int(users.users[row]), int(users.steps[row]))
        return [self._rows[item] for item in slate]


class _TooLong(Exception):
    """An answer of more than _MOST bytes."""


class _Here(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: a POST that is redirected becomes a GET without what was asked."""

    def redirect_request(self, *_: Any) -> None:
        """None: the status is an error as others are."""


def _whole(response: HTTPResponse, seconds: float) -> bytes:
    """All that comes; raises TimeoutError for what has not ended in time: a connection only times each wait.

    IncompleteRead for what ends before its Content-Length, _TooLong beyond _MOST bytes.
    """
    latest, length, text = time.monotonic() + seconds, response.length, bytearray()
    while part := response.read1():
        text += part
        if time.monotonic() > latest:
            raise TimeoutError
        if len(text) > _MOST:
            raise _TooLong
    if length is not None and len(text) < length:
        raise IncompleteRead(bytes(text[:_ENOUGH]), length - len(text))
    return bytes(text)


def _words(reason: object) -> str:
    """Why there is no answer, in printable letters; some errors of a connection have no words of their own."""
    if isinstance(reason, IncompleteRead):
        return f"it ended {reason.expected:,} bytes too soon"
    letters = "".join(letter if letter.isprintable() else " " for letter in str(reason))
    return " ".join(letters.split()) or type(reason).__name__


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Without redirections, and without a proxy for this machine's own addresses."""
    own = urlsplit(url).hostname in _LOCAL
    return urllib.request.build_opener(_Here, *([urllib.request.ProxyHandler({})] if own else []))
