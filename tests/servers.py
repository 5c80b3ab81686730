"""A server on this machine that misbehaves in the ways that servers do."""

from __future__ import annotations

import contextlib
import gzip
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CONTENT = "\n".join(f"name{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200)).encode()


class Misbehaving(BaseHTTPRequestHandler):
    """`GET /KIND/names.txt` answers as KIND says. The server counts requests in `requests`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.requests.append(self.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, self.path.split("/")[1])(len(server.requests))

    def good(self, attempt: int) -> None:
        self._answer(CONTENT)

    def wrong(self, attempt: int) -> None:
        self._answer(b"something else entirely\n")

    def html(self, attempt: int) -> None:
        self._answer(b"<!DOCTYPE html><html><body>Sign in to the network</body></html>")

    def missing(self, attempt: int) -> None:
        self.send_error(404)

    def cut(self, attempt: int) -> None:
        self._answer(CONTENT[:100], length=len(CONTENT))
        self.close_connection = True

    def cut_once(self, attempt: int) -> None:
        if attempt == 1:
            self.cut(attempt)
        else:
            self.good(attempt)

    def longer_than_said(self, attempt: int) -> None:
        self._answer(CONTENT, length=100)
        self.close_connection = True

    def silent(self, attempt: int) -> None:
        time.sleep(30)

    def stalled(self, attempt: int) -> None:
        self._answer(CONTENT[:100], length=len(CONTENT))
        time.sleep(30)

    def dripping(self, attempt: int) -> None:
        """A byte now and then: no single read ever takes too long."""
        self._answer(b"", length=len(CONTENT))
        for i in range(len(CONTENT)):
            self.wfile.write(CONTENT[i : i + 1])
            self.wfile.flush()
            time.sleep(0.2)

    def endless(self, attempt: int) -> None:
        self._answer(b"", length=1 << 40)
        while True:
            self.wfile.write(b"x" * (1 << 16))

    def circle(self, attempt: int) -> None:
        self._redirect("/circle/again.txt")

    def elsewhere(self, attempt: int) -> None:
        self._redirect("/good/names.txt")

    def to_a_file(self, attempt: int) -> None:
        self._redirect("file:///etc/hostname")

    def bomb(self, attempt: int) -> None:
        """64 MiB of zeros, packed into 64 KiB, whatever encodings the client said it takes."""
        packed = gzip.compress(bytes(64 << 20), 9)
        self._answer(packed, headers={"Content-Encoding": "gzip"})

    def packed(self, attempt: int) -> None:
        self._answer(gzip.compress(CONTENT), headers={"Content-Encoding": "gzip"})

    def _redirect(self, location: str) -> None:
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, body: bytes, *, length: int | None = None, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gives it
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Misbehaving)
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no fault."""

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}"


@contextlib.contextmanager
def misbehaving_server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
