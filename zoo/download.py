"""Downloads to the cache: time-limited, checked against a sha256, stored whole or not at all.

A dataset function asks for a `fetch` argument and gets a `Fetcher`; so no plugin needs requests, or knows of the cache.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import DataError, UnavailableError
from zoo.files import replacing

CONNECT_SECONDS = 5.0  # to reach the host, and between two pieces of the answer
TOTAL_SECONDS = 120.0
MAX_BYTES = 1 << 30

_PIECE = 1 << 16


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
        if path.is_file() and _digest(path) == sha256:
            return path
        if self.offline:
            raise UnavailableError(
                f"{name} is not in the cache ({path}), and offline mode makes no request; "
                "run once without it, or give a file with --dataset FILE"
            )
        if self.mirror:
            url = f"{self.mirror.rstrip('/')}/{name}"
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            self._download(url, path, sha256, max_bytes)
        except OSError as error:
            raise DataError(f"cannot write the cache {self.cache}: {error.strerror or error}") from error
        return path

    def _download(self, url: str, path: Path, sha256: str, max_bytes: int) -> None:
        digest = hashlib.sha256()
        size = 0
        with replacing(path) as file:
            for piece in self._pieces(url):
                size += len(piece)
                if size > max_bytes:
                    raise _unavailable(url, f"it is longer than {max_bytes} bytes")
                digest.update(piece)
                file.write(piece)
            if digest.hexdigest() != sha256:
                raise _unavailable(
                    url, f"it is not the expected file (sha256 {digest.hexdigest()[:12]}…, {size} bytes)"
                )

    def _pieces(self, url: str) -> Iterator[bytes]:
        import requests  # here: only a download needs it, and importing it takes longer than most commands

        deadline = time.monotonic() + self.total_seconds
        try:
            with requests.get(url, stream=True, timeout=self.connect_seconds) as response:
                if response.status_code != 200:
                    raise _unavailable(url, f"the server answered {response.status_code} {response.reason}")
                for piece in response.iter_content(_PIECE):
                    if time.monotonic() > deadline:
                        raise _unavailable(url, f"it took longer than {self.total_seconds:g} s")
                    yield piece
        except requests.Timeout as error:
            raise _unavailable(url, f"no answer within {self.connect_seconds:g} s") from error
        except requests.ConnectionError as error:
            raise _unavailable(url, "the host cannot be reached, or the connection broke") from error
        except requests.RequestException as error:
            raise _unavailable(url, f"{type(error).__name__}: {error}") from error


def cache_folder() -> Path:
    """`ZOO_CACHE` if set, else the user's cache folder for zoo."""
    chosen = os.environ.get("ZOO_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("zoo")


def fetcher(*, offline: bool = False) -> Fetcher:
    """A fetcher as the environment has it: `ZOO_CACHE`, `ZOO_OFFLINE=1`, `ZOO_MIRROR`."""
    forbidden = os.environ.get("ZOO_OFFLINE", "") not in ("", "0")
    return Fetcher(offline=offline or forbidden, mirror=os.environ.get("ZOO_MIRROR") or None)


def _unavailable(url: str, cause: str) -> UnavailableError:
    return UnavailableError(f"cannot download {url}: {cause}; try again, or give a file with --dataset FILE")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
