"""Downloads to the cache, with limits of time and size, a check of the sha256, and atomic writes.

A dataset function with a `fetch` argument gets a `Fetcher`, so that plugins need neither requests nor the cache.

Proxies and certificates are configured as for requests (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`, ...).
"""

from __future__ import annotations

import contextvars
import hashlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from zoo import stages
from zoo.data.failures import OTHER_FILE, WEB_PAGE, Failure, explain, explain_status
from zoo.errors import UnavailableError, UsageError, ZooError
from zoo.files import from_person, has_digest, write_bytes
from zoo.memory import show_bytes
from zoo.options.values import convert
from zoo.phrasing import option
from zoo.plugin.calling import pass_on
from zoo.text import brief, shown, without_credentials

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 5.0  # to connect, and without data
TOTAL_SECONDS = 120.0
MAX_BYTES = 1 << 28
ATTEMPTS = 3  # an interrupted transfer is retried at once
MAX_REDIRECTS = 5

_CHUNK = 1 << 16  # bytes
_DIGITS = 16  # of a size that can be
_NO_CACHE = Path(os.devnull) / "zoo"  # nothing can be written there, which is said when it matters
_LONGEST_SECONDS = 1e6  # threads cannot wait for any longer


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        where = "offline" if self.offline else without_credentials(self.mirror or "")
        return brief(f"<Fetcher to {self.cache}{where and f', {where}'}>")

    def __call__(self, name: str, url: str, *, sha256: str, max_bytes: int = MAX_BYTES) -> Path:
        """The path of a file with the given digest, which is downloaded if it is not in the cache.

        Args:
            name: file name in the cache.
            url: where to download it.
            sha256: hex digest of its content; a cached file with another digest is replaced.
            max_bytes: the largest size to download.

        Raises:
            UnavailableError: the file is not in the cache, and cannot be downloaded or must not be (`offline`), or the
                cache cannot be written.
        """
        path = self.cache / name
        if has_digest(path, sha256, max_bytes=max_bytes):
            return path
        if self.offline:
            raise UnavailableError(
                f"{name} is not in the cache ({path}), and offline mode makes no request; "
                f"run once without it, or give a file with {option('dataset', 'FILE')}"
            )
        if self.mirror:
            url = f"{self.mirror.rstrip('/')}/{name}"
        try:
            self.cache.mkdir(parents=True, exist_ok=True)  # fails before the download, not after it
            content = self._download(url, sha256, max_bytes)
            write_bytes(path, content)
        except OSError as error:
            raise UnavailableError(
                f"cannot write the cache {self.cache}: {error.strerror or error}; "
                f"set ZOO_CACHE to a folder that can be written, or give a file with {option('dataset', 'FILE')}"
            ) from error
        return path

    def _download(self, url: str, sha256: str, max_bytes: int) -> bytes:
        """The content of a URL, after a check of its digest."""
        with stages.within(_stage(url)):
            content = _with_timeout(self.total_seconds, url, lambda: self._get_with_retries(url, max_bytes))
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            page = content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))
            cause, remedy, _ = WEB_PAGE if page else OTHER_FILE
            size = f"{len(content)} bytes with sha256 {found[:12]}…, not {sha256[:12]}…"
            raise _unavailable(url, Failure(f"{cause}: {size}", remedy))
        return content

    def _get_with_retries(self, url: str, max_bytes: int) -> bytes:
        handled = sys.exc_info()[1]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._get(url, max_bytes)
            except ZooError:
                raise
            except Exception as error:  # of requests, urllib3, ssl and the system: see `explain`
                pass_on(error, handled)
                failure = explain(error, self.connect_seconds)
                if not failure.passing:
                    raise _unavailable(url, failure) from error
                if attempt == ATTEMPTS:
                    again = failure._replace(cause=f"{failure.cause}, {ATTEMPTS} times")
                    raise _unavailable(url, again) from error
        raise AssertionError("unreachable")

    def _get(self, url: str, max_bytes: int) -> bytes:
        """The content of a URL, in one attempt."""
        import requests  # here, because importing it takes longer than most commands

        with requests.Session() as session, closing(self._open(session, url)) as response:
            size = _stated_size(response)
            stages.begin(_stage(url, size))
            content = bytearray()
            for chunk in _chunks(response):
                content += chunk
                stages.advance(len(content), size)
                if len(content) > max_bytes:
                    raise _unavailable(url, Failure(f"it is longer than {max_bytes} bytes"))
            return bytes(content)

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
                raise _unavailable(url, explain_status(response.status_code, response.reason or ""))
            return response
        raise _unavailable(url, Failure(f"it is redirected more than {MAX_REDIRECTS} times"))


def cache_folder() -> Path:
    """`ZOO_CACHE` if set, else the user's cache folder for zoo.

    Raises:
        UsageError: `ZOO_CACHE` is in a home folder that does not exist.
    """
    chosen = os.environ.get("ZOO_CACHE")
    if chosen:
        return from_person(chosen)
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("zoo")
    except RuntimeError:  # a user without a home
        return _NO_CACHE
    return folder if folder.is_absolute() else _NO_CACHE  # as older versions of platformdirs say it


def fetcher(*, offline: bool = False) -> Fetcher:
    """A fetcher configured by the environment: `ZOO_CACHE`, `ZOO_OFFLINE=1`, `ZOO_MIRROR`, `ZOO_TIMEOUT`.

    Raises:
        UsageError: `ZOO_TIMEOUT` is not a number of seconds, or `ZOO_CACHE` is no path.
    """
    offline = offline or os.environ.get("ZOO_OFFLINE", "") not in ("", "0")
    limit = os.environ.get("ZOO_TIMEOUT") or str(TOTAL_SECONDS)
    try:
        seconds = convert(limit, float)
    except (ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise UsageError(f"ZOO_TIMEOUT must be a number of seconds above 0, got {shown(limit)}")
    mirror = os.environ.get("ZOO_MIRROR") or None
    return Fetcher(offline=offline, mirror=mirror, total_seconds=seconds)


def _with_timeout(seconds: float, url: str, download: Callable[[], bytes]) -> bytes:
    """Run a download in a thread, with a time limit.

    The limits of requests are for each read, so a server that sends single bytes never reaches them. A thread that runs
    on after the limit writes to memory only.
    """
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    context = contextvars.copy_context()  # with whoever is told how far it is

    def run() -> None:
        try:
            results.put(context.run(download))
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, daemon=True, name="zoo download").start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise _unavailable(url, Failure(f"it took longer than {seconds:g} s")) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body in chunks, as sent; urllib3 compares its length with the header."""
    yield from response.raw.stream(_CHUNK, decode_content=False)


def _stated_size(response: requests.Response) -> int:
    """The bytes of the body as its header states them; 0 where it does not."""
    stated = response.headers.get("content-length", "")
    return int(stated) if stated.isdecimal() and len(stated) < _DIGITS else 0


def _stage(url: str, size: int = 0) -> str:
    return f"Downloading {url.rpartition('/')[2]}" + (f" ({show_bytes(size)})" if size else "")


def _redirect_target(url: str, source: str, location: str) -> str:
    target = urljoin(source, location)
    scheme = urlsplit(target).scheme
    if scheme != "https" and not (scheme == "http" and urlsplit(source).scheme == "http"):
        raise _unavailable(url, Failure(f"it is redirected to {target!r}, which is not https"))
    return target


def _unavailable(url: str, failure: Failure) -> UnavailableError:
    remedy = f"{failure.remedy}, or give a file with {option('dataset', 'FILE')}"
    return UnavailableError(f"cannot download {url}: {failure.cause}; {remedy}")
