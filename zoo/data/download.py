"""Downloads to the cache, with limits of time and size, a check of the sha256, and atomic writes.

A dataset function with a `fetch` argument gets a `Fetcher`, so that plugins need neither requests nor the cache.

Proxies and certificates are configured as for requests (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`, ...).
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
from zoo.files import has_digest, write_bytes

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 5.0  # to connect, and without data
TOTAL_SECONDS = 120.0
MAX_BYTES = 1 << 28
ATTEMPTS = 3  # an interrupted transfer is retried at once
MAX_REDIRECTS = 5

_CHUNK = 1 << 16  # bytes


class _InterruptedError(Exception):
    """A transfer was interrupted, and should be retried."""


@dataclass(frozen=True)
class Fetcher:
    """Finds files in the cache, or downloads them to it.

    Attributes:
        cache: the folder of the cache.
        offline: make no request at all.
        mirror: base URL that replaces the folder of every URL, as in `MIRROR/names.txt`.
        connect_seconds: time limit to connect, and without data.
        total_seconds: time limit of a download.
    """

    cache: Path = field(default_factory=lambda: cache_folder())
    offline: bool = False
    mirror: str | None = None
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS

    def __call__(self, name: str, url: str, *, sha256: str, max_bytes: int = MAX_BYTES) -> Path:
        """The path of a file with the given digest, which is downloaded if it is not in the cache.

        Args:
            name: file name in the cache.
            url: where to download it.
            sha256: hex digest of its content; a cached file with another digest is replaced.
            max_bytes: the largest size to download.

        Raises:
            UnavailableError: the file is not in the cache, and cannot be downloaded or must not be (`offline`).
            DataError: the cache cannot be written.
        """
        path = self.cache / name
        if has_digest(path, sha256, max_bytes=max_bytes):
            return path
        if self.offline:
            raise UnavailableError(
                f"{name} is not in the cache ({path}), and offline mode makes no request; "
                "run once without it, or give a file with --dataset FILE"
            )
        if self.mirror:
            url = f"{self.mirror.rstrip('/')}/{name}"
        try:
            self.cache.mkdir(parents=True, exist_ok=True)  # fails before the download, not after it
            write_bytes(path, self._download(url, sha256, max_bytes))
        except OSError as error:
            raise DataError(f"cannot write the cache {self.cache}: {error.strerror or error}") from error
        return path

    def _download(self, url: str, sha256: str, max_bytes: int) -> bytes:
        """The content of a URL, after a check of its digest."""
        content = _with_timeout(self.total_seconds, url, lambda: self._get_with_retries(url, max_bytes))
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            kind = "a web page" if content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else "another file"
            raise _unavailable(url, f"it is {kind}: {len(content)} bytes with sha256 {found[:12]}…, not {sha256[:12]}…")
        return content

    def _get_with_retries(self, url: str, max_bytes: int) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._get(url, max_bytes)
            except _InterruptedError as error:
                if attempt == ATTEMPTS:
                    raise _unavailable(url, f"{error}, {ATTEMPTS} times") from error
        raise AssertionError("unreachable")

    def _get(self, url: str, max_bytes: int) -> bytes:
        """The content of a URL, in one attempt."""
        import requests  # here, because importing it takes longer than most commands
        from urllib3.exceptions import HTTPError, ProtocolError

        try:
            with requests.Session() as session, closing(self._open(session, url)) as response:
                content = bytearray()
                for chunk in _chunks(response):
                    content += chunk
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
                raise _InterruptedError("the connection was closed without an answer") from error
            raise _unavailable(url, "the host cannot be reached") from error
        except requests.RequestException as error:
            raise _unavailable(url, f"{type(error).__name__}: {error}") from error
        except HTTPError as error:  # from urllib3, while the body is read
            if "timed out" in str(error).lower():
                raise _unavailable(url, f"no data for {self.connect_seconds:g} s during the transfer") from error
            raise _InterruptedError("the transfer was interrupted") from error

    def _open(self, session: requests.Session, url: str) -> requests.Response:
        """Request a URL and follow a limited number of redirects, but never from https to another scheme."""
        target = url
        for _ in range(MAX_REDIRECTS + 1):
            # Nothing is decompressed, so that a small response cannot become a large one.
            response = session.get(
                target,
                stream=True,
                timeout=self.connect_seconds,
                allow_redirects=False,
                headers={"Accept-Encoding": "identity"},
            )
            if response.is_redirect:
                response.close()
                target = _redirect_target(url, target, response.headers["location"])
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
    """A fetcher configured by the environment: `ZOO_CACHE`, `ZOO_OFFLINE=1`, `ZOO_MIRROR`, `ZOO_TIMEOUT`.

    Raises:
        UsageError: `ZOO_TIMEOUT` is not a number.
    """
    offline = offline or os.environ.get("ZOO_OFFLINE", "") not in ("", "0")
    limit = os.environ.get("ZOO_TIMEOUT") or str(TOTAL_SECONDS)
    try:
        seconds = float(limit)
    except ValueError as error:
        raise UsageError(f"ZOO_TIMEOUT is a number of seconds, not {limit!r}") from error
    mirror = os.environ.get("ZOO_MIRROR") or None
    return Fetcher(offline=offline, mirror=mirror, total_seconds=seconds)


def _with_timeout(seconds: float, url: str, download: Callable[[], bytes]) -> bytes:
    """Run a download in a thread, with a time limit.

    The limits of requests are for each read, so a server that sends single bytes never reaches them. A thread that runs
    on after the limit writes to memory only.
    """
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(download())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, daemon=True, name="zoo download").start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise _unavailable(url, f"it took longer than {seconds:g} s") from None
    if isinstance(result, BaseException):
        raise result
    return result


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body in chunks, as sent; urllib3 compares its length with the header."""
    yield from response.raw.stream(_CHUNK, decode_content=False)


def _redirect_target(url: str, source: str, location: str) -> str:
    target = urljoin(source, location)
    scheme = urlsplit(target).scheme
    if scheme != "https" and not (scheme == "http" and urlsplit(source).scheme == "http"):
        raise _unavailable(url, f"it is redirected to {target!r}, which is not https")
    return target


def _unavailable(url: str, cause: str) -> UnavailableError:
    return UnavailableError(f"cannot download {url}: {cause}; try again, or give a file with --dataset FILE")
