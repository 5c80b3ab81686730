"""Downloads to the cache: bounded in time and size, checked against a sha256, stored whole or not at all.

A dataset function asks for a `fetch` argument and gets a `Fetcher`; so no plugin needs requests, or knows of the cache.

Proxies and certificates follow requests' own rules (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`, ...).
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from zoo.errors import DataError, UnavailableError, UsageError
from zoo.files import write_bytes

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 5.0  # to reach the host, and for each silence
TOTAL_SECONDS = 120.0
MAX_BYTES = 1 << 28
ATTEMPTS = 3  # a transfer that is cut starts again, at once
MAX_REDIRECTS = 5

_PIECE = 1 << 16


class _CutError(Exception):
    """A transfer that broke off, which a new attempt may mend."""


@dataclass(frozen=True)
class Fetcher:
    """Gets files from the cache, or into it.

    Attributes:
        cache: the folder of the cache.
        offline: make no request at all.
        mirror: base address that takes the place of every URL's folder; `MIRROR/names.txt` is then asked for.
        connect_seconds, total_seconds: time limits for each silence, and for the whole download.
    """

    cache: Path = field(default_factory=lambda: cache_folder())
    offline: bool = False
    mirror: str | None = None
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS

    def __call__(self, name: str, url: str, *, sha256: str, max_bytes: int = MAX_BYTES) -> Path:
        """The path of a file with the given digest, downloaded if the cache does not hold it.

        Args:
            name: file name in the cache.
            url: where it comes from.
            sha256: hex digest of its content; a cached file with another one is replaced.
            max_bytes: give up on anything longer.

        Raises:
            UnavailableError: it is not in the cache, and cannot be downloaded (or must not: `offline`).
            DataError: the cache cannot be written.
        """
        path = self.cache / name
        if _has_digest(path, sha256):
            return path
        if self.offline:
            raise UnavailableError(
                f"{name} is not in the cache ({path}), and offline mode makes no request; "
                "run once without it, or give a file with --dataset FILE"
            )
        if self.mirror:
            url = f"{self.mirror.rstrip('/')}/{name}"
        try:
            self.cache.mkdir(parents=True, exist_ok=True)  # before the download, which would be in vain
            write_bytes(path, self._download(url, sha256, max_bytes))
        except OSError as error:
            raise DataError(f"cannot write the cache {self.cache}: {error.strerror or error}") from error
        return path

    def _download(self, url: str, sha256: str, max_bytes: int) -> bytes:
        """The content of a URL, once it has the digest."""
        content = _within(self.total_seconds, url, lambda: self._attempts(url, max_bytes))
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            kind = "a web page" if content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else "another file"
            raise _unavailable(url, f"it is {kind}: {len(content)} bytes with sha256 {found[:12]}…, not {sha256[:12]}…")
        return content

    def _attempts(self, url: str, max_bytes: int) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._get(url, max_bytes)
            except _CutError as error:
                if attempt == ATTEMPTS:
                    raise _unavailable(url, f"{error}, {ATTEMPTS} times") from error
        raise AssertionError("unreachable")

    def _get(self, url: str, max_bytes: int) -> bytes:
        """One attempt."""
        import requests  # here: only a download needs it, and importing it takes longer than most commands
        from urllib3.exceptions import HTTPError, ProtocolError

        try:
            with requests.Session() as session, closing(self._open(session, url)) as response:
                content = bytearray()
                for piece in _pieces(response):
                    content += piece
                    if len(content) > max_bytes:
                        raise _unavailable(url, f"it is longer than {max_bytes} bytes")
                return bytes(content)
        except requests.Timeout as error:
            raise _unavailable(url, f"no answer within {self.connect_seconds:g} s") from error
        except requests.exceptions.ProxyError as error:
            raise _unavailable(url, "the proxy cannot be reached") from error
        except requests.exceptions.SSLError as error:
            raise _unavailable(url, "its certificate cannot be verified") from error
        except requests.ConnectionError as error:
            if isinstance(error.args[0] if error.args else None, ProtocolError):
                raise _CutError("the connection was closed without an answer") from error
            raise _unavailable(url, "the host cannot be reached") from error
        except requests.RequestException as error:
            raise _unavailable(url, f"{type(error).__name__}: {error}") from error
        except HTTPError as error:  # while the body is read, past requests
            if "timed out" in str(error).lower():
                raise _unavailable(url, f"silence of {self.connect_seconds:g} s in the transfer") from error
            raise _CutError("the transfer was cut") from error

    def _open(self, session: requests.Session, url: str) -> requests.Response:
        """Follow redirects by hand: never from https to anything else, and not for ever."""
        place = url
        for _ in range(MAX_REDIRECTS + 1):
            # A packed answer is never unpacked, so a small one cannot become a large one.
            response = session.get(
                place,
                stream=True,
                timeout=self.connect_seconds,
                allow_redirects=False,
                headers={"Accept-Encoding": "identity"},
            )
            if response.is_redirect:
                response.close()
                place = _next_place(url, place, response.headers["location"])
                continue
            if response.status_code != 200:
                response.close()
                raise _unavailable(url, f"the server answered {response.status_code} {response.reason}")
            return response
        raise _unavailable(url, f"it is redirected more than {MAX_REDIRECTS} times")


def cache_folder() -> Path:
    """`ZOO_CACHE` if set, else the user's cache folder for zoo."""
    chosen = os.environ.get("ZOO_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("zoo")


def fetcher(*, offline: bool = False) -> Fetcher:
    """A fetcher as the environment has it: `ZOO_CACHE`, `ZOO_OFFLINE=1`, `ZOO_MIRROR`, `ZOO_TIMEOUT`.

    Raises:
        UsageError: `ZOO_TIMEOUT` is no number.
    """
    forbidden = os.environ.get("ZOO_OFFLINE", "") not in ("", "0")
    limit = os.environ.get("ZOO_TIMEOUT") or str(TOTAL_SECONDS)
    try:
        seconds = float(limit)
    except ValueError as error:
        raise UsageError(f"ZOO_TIMEOUT is a number of seconds, not {limit!r}") from error
    mirror = os.environ.get("ZOO_MIRROR") or None
    return Fetcher(offline=offline or forbidden, mirror=mirror, total_seconds=seconds)


def _within(seconds: float, url: str, work: Callable[[], bytes]) -> bytes:
    """Do the work in a thread, and wait for it no longer than that: a server that sends a byte now and then would keep
    every single read within its limit. The thread only fills memory; abandoned, it can spoil nothing."""
    answers: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=run, daemon=True, name="zoo download").start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise _unavailable(url, f"it took longer than {seconds:g} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it was sent, a piece at a time; urllib3 sees to it that it is as long as was said."""
    yield from response.raw.stream(_PIECE, decode_content=False)


def _next_place(url: str, place: str, location: str) -> str:
    target = urljoin(place, location)
    scheme = urlsplit(target).scheme
    if scheme != "https" and not (scheme == "http" and urlsplit(place).scheme == "http"):
        raise _unavailable(url, f"it is redirected to {target!r}, which is not https")
    return target


def _unavailable(url: str, cause: str) -> UnavailableError:
    return UnavailableError(f"cannot download {url}: {cause}; try again, or give a file with --dataset FILE")


def _has_digest(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
