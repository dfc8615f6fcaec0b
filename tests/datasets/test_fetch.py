"""Fetching a public data set, from a server on this machine."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from zsr_sim.datasets import fetch as fetching
from zsr_sim.datasets import load
from zsr_sim.datasets.fetch import Source, fetch
from zsr_sim.errors import InputError


def zipped(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


GOOD = zipped(
    {
        "ml/movies.csv": "movieId,title,genres\n1,Heat,Crime\n",
        "ml/ratings.csv": "userId,movieId,rating,timestamp\nu,1,5,9\n",
    }
)
SERVED = {
    "/good.zip": GOOD,
    "/good.zip.md5": f"MD5 (good.zip) = {hashlib.md5(GOOD).hexdigest()}\n".encode(),
    "/wrong.md5": b"0" * 32,
    "/none.md5": b"<html>moved</html>",
    "/evil.zip": (evil := zipped({"../evil.csv": "x"})),
    "/evil.md5": hashlib.md5(evil).hexdigest().encode(),
    "/text.zip": b"no archive",
    "/text.md5": hashlib.md5(b"no archive").hexdigest().encode(),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = SERVED.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def serve(monkeypatch: pytest.MonkeyPatch, url: str, checksum: str) -> None:
    monkeypatch.setitem(fetching.SOURCES, "mine", Source(url, checksum, "a test"))


def test_a_data_set_is_fetched_checked_and_read(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, f"{server}/good.zip", f"{server}/good.zip.md5")
    seen: list[tuple[int, int]] = []
    folder = fetch("mine", tmp_path / "data" / "ml", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(GOOD), len(GOOD))
    assert sorted(path.name for path in folder.iterdir()) == ["movies.csv", "ratings.csv"]
    assert load(folder).catalogue.titles == ("Heat",)
    with pytest.raises(InputError, match="exists already"):
        fetch("mine", folder)


@pytest.mark.parametrize(
    ("archive", "checksum", "message"),
    [
        ("/good.zip", "/wrong.md5", "MD5 .* found, 0{32} published"),
        ("/good.zip", "/none.md5", "holds no MD5 checksum"),
        ("/gone.zip", "/wrong.md5", r"cannot fetch .*gone\.zip \(Not Found\); without a network"),
        ("/evil.zip", "/evil.md5", "leads out of its folder"),
        ("/text.zip", "/text.md5", "is not a whole zip file"),
    ],
)
def test_what_fails_leaves_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: str, checksum: str, message: str
) -> None:
    serve(monkeypatch, server + archive, server + checksum)
    with pytest.raises(InputError, match=message):
        fetch("mine", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_server_and_no_such_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "http://127.0.0.1:9/x.zip", "http://127.0.0.1:9/x.md5")
    with pytest.raises(InputError, match=r"cannot fetch .*unpack a copy"):
        fetch("mine", tmp_path / "out")
    with pytest.raises(InputError, match=r"no data set 'ml-100'.*did you mean 'ml-100k'"):
        fetch("ml-100", tmp_path / "out")
