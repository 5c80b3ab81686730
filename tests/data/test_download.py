"""Downloads to the cache, from a local server that answers correctly, wrongly, slowly or never."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from zoo import DataError, Fetcher, UnavailableError
from zoo.data.download import cache_folder, fetcher

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


CONTENT = b"emma\nolivia\nava\n" * 20_000  # several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SILENCE = 0.3  # seconds; the time limit without data in these tests

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """The answers of a server by path, and the requests it has received."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.over = threading.Event()  # set at the end of the test
        self.base = ""

    @property
    def url(self) -> str:
        return f"{self.base}/names.txt"

    def answer(self, answer: Answer, path: str = "/names.txt") -> None:
        self.answers[path] = answer


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection, as some tests do."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.requests.append(self.path)
            made.answers.get(self.path, says(b"", status=404))(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Keep quiet."""

    with Server(("127.0.0.1", 0), Handler) as server:
        made.base = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.answer(says(CONTENT))
        yield made
        made.over.set()
        server.shutdown()
        thread.join()


def says(content: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    """A response whose header may state a wrong length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a" / "cache"


@pytest.fixture
def fetch(cache: Path) -> Fetcher:
    return Fetcher(cache, connect_seconds=SILENCE)


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def refused(fetch: Fetcher, url: str, **options: Any) -> str:
    """The message of a failed download, which must leave nothing in the cache."""
    with pytest.raises(UnavailableError) as caught:
        fetch("names.txt", url, sha256=SHA256, **options)
    assert left_in(fetch.cache) == []
    return str(caught.value)


# Successful downloads


def test_a_file_is_downloaded_into_the_cache(site: Site, fetch: Fetcher, cache: Path) -> None:
    path = fetch("names.txt", site.url, sha256=SHA256)
    assert (path, path.read_bytes(), left_in(cache)) == (cache / "names.txt", CONTENT, ["names.txt"])


def test_a_file_in_the_cache_is_not_downloaded_again(site: Site, fetch: Fetcher) -> None:
    for _ in range(3):
        fetch("names.txt", site.url, sha256=SHA256)
    assert site.requests == ["/names.txt"]


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT + b"x", b"<html></html>"])
def test_a_damaged_file_in_the_cache_is_replaced(site: Site, fetch: Fetcher, cache: Path, damaged: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "names.txt").write_bytes(damaged)
    assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT


def test_a_file_of_another_edition_is_replaced(site: Site, fetch: Fetcher, cache: Path) -> None:
    other = b"another edition"
    site.answer(says(other))
    fetch("names.txt", site.url, sha256=hashlib.sha256(other).hexdigest())
    site.answer(says(CONTENT))
    assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT


def test_a_redirect_is_followed(site: Site, fetch: Fetcher) -> None:
    site.answer(says(b"", status=302, Location="/elsewhere"))
    site.answer(says(CONTENT), "/elsewhere")
    assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT


def test_compression_is_not_requested(site: Site, fetch: Fetcher) -> None:
    def negotiate(handler: BaseHTTPRequestHandler) -> None:
        packed = "gzip" in handler.headers.get("Accept-Encoding", "")
        says(gzip.compress(CONTENT) if packed else CONTENT)(handler)

    site.answer(negotiate)
    assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT


def test_an_interrupted_transfer_is_retried(site: Site, fetch: Fetcher) -> None:
    def cut_once(handler: BaseHTTPRequestHandler) -> None:
        says(CONTENT if len(site.requests) > 1 else CONTENT[:100_000], length=len(CONTENT))(handler)

    site.answer(cut_once)
    assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT


def test_a_file_of_the_largest_size_is_accepted(site: Site, fetch: Fetcher) -> None:
    assert fetch("names.txt", site.url, sha256=SHA256, max_bytes=len(CONTENT)).is_file()


def test_parallel_fetches_all_get_the_intact_file(site: Site, fetch: Fetcher, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch("names.txt", site.url, sha256=SHA256), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert left_in(cache) == ["names.txt"]


def test_a_mirror_replaces_the_url(site: Site, cache: Path) -> None:
    site.answer(says(CONTENT), "/deep/mirror/names.txt")
    fetch = Fetcher(cache, mirror=f"{site.base}/deep/mirror/", connect_seconds=SILENCE)
    fetch("names.txt", "http://127.0.0.1:9/gone/other.txt", sha256=SHA256)
    assert site.requests == ["/deep/mirror/names.txt"]


# Failed downloads


@pytest.mark.parametrize("status", [404, 403, 500, 204, 503])
def test_an_answer_other_than_ok_is_reported_with_its_status(site: Site, fetch: Fetcher, status: int) -> None:
    site.answer(says(b"", status=status))
    assert f"cannot download {site.url}: the server answered {status} " in refused(fetch, site.url)


def test_an_error_page_is_never_stored(site: Site, fetch: Fetcher) -> None:
    site.answer(says(CONTENT, status=404))
    refused(fetch, site.url)


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>", CONTENT[:-1], CONTENT.upper()])
def test_other_bytes_than_the_expected_ones_are_refused(site: Site, fetch: Fetcher, content: bytes) -> None:
    site.answer(says(content))
    message = refused(fetch, site.url)
    assert f"{len(content)} bytes" in message
    assert hashlib.sha256(content).hexdigest()[:12] in message


def test_a_transfer_that_is_always_interrupted_is_an_error(site: Site, fetch: Fetcher) -> None:
    site.answer(says(CONTENT[:100_000], length=len(CONTENT)))
    assert f"cannot download {site.url}: the transfer was interrupted" in refused(fetch, site.url)


@pytest.mark.parametrize("limit", [0, 1000, len(CONTENT) - 1])
def test_a_file_beyond_the_limit_is_an_error(site: Site, fetch: Fetcher, limit: int) -> None:
    assert f"it is longer than {limit} bytes" in refused(fetch, site.url, max_bytes=limit)


def test_a_compressed_response_is_not_decompressed(site: Site, fetch: Fetcher) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    site.answer(says(bomb, Content_Encoding="gzip"))
    assert f"{len(bomb)} bytes" in refused(fetch, site.url)


def test_a_circular_redirect_is_an_error(site: Site, fetch: Fetcher) -> None:
    site.answer(says(b"", status=302, Location="/names.txt"))
    assert "redirected more than" in refused(fetch, site.url)


@pytest.mark.parametrize("target", ["file:///names.txt", "ftp://127.0.0.1/names.txt", "data:text/plain,emma"])
def test_a_redirect_to_another_scheme_is_refused(site: Site, fetch: Fetcher, target: str) -> None:
    site.answer(says(b"", status=302, Location=target))
    assert "it is redirected to" in refused(fetch, site.url)


def test_a_response_that_is_not_http_is_refused(site: Site, fetch: Fetcher) -> None:
    def greet(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x00\x01\x02 SSH-2.0-hello\r\n")

    site.answer(greet)
    assert f"cannot download {site.url}: " in refused(fetch, site.url)


@pytest.mark.parametrize("url", ["", "names.txt", "ftp://127.0.0.1/names.txt", "http://", "http://127.0.0.1:99999/"])
def test_an_invalid_url_is_refused(fetch: Fetcher, url: str) -> None:
    assert f"cannot download {url}: " in refused(fetch, url)


def test_a_refused_connection_is_reported_as_such(fetch: Fetcher) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/names.txt"
    assert f"cannot download {url}: the host cannot be reached" in refused(fetch, url)


def test_a_failed_download_has_a_remedy(site: Site, fetch: Fetcher) -> None:
    site.answer(says(b"", status=404))
    assert refused(fetch, site.url).endswith(
        "; check the address, that of ZOO_MIRROR for instance, or give a file with --dataset FILE"
    )


def test_a_failed_download_keeps_the_old_file_in_the_cache(site: Site, fetch: Fetcher, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "names.txt").write_bytes(b"an older edition")
    site.answer(says(b"wrong"))
    with pytest.raises(UnavailableError):
        fetch("names.txt", site.url, sha256=SHA256)
    assert (cache / "names.txt").read_bytes() == b"an older edition"


# Timeouts


def test_a_server_that_never_answers_times_out(site: Site, fetch: Fetcher) -> None:
    def sleep(handler: BaseHTTPRequestHandler) -> None:
        site.over.wait(10)

    site.answer(sleep)
    assert f"no answer within {SILENCE} s" in refused(fetch, site.url)


def test_a_server_that_stops_sending_times_out(site: Site, fetch: Fetcher) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        says(CONTENT[:100_000], length=len(CONTENT))(handler)
        site.over.wait(10)

    site.answer(half)
    assert f"{SILENCE} s" in refused(fetch, site.url)


def test_a_server_that_sends_single_bytes_times_out(site: Site, cache: Path) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        says(b"", length=len(CONTENT))(handler)
        for _ in range(60):  # of 3 seconds
            handler.wfile.write(b"x")
            if site.over.wait(0.05):
                break

    site.answer(drip)
    started = time.monotonic()
    message = refused(Fetcher(cache, connect_seconds=SILENCE, total_seconds=0.4), site.url)
    assert ("it took longer than 0.4 s" in message, time.monotonic() - started < 2) == (True, True)


# Without a network


@pytest.fixture
def offline(cache: Path) -> Fetcher:
    return Fetcher(cache, offline=True)


def test_offline_makes_no_request_and_says_so(site: Site, offline: Fetcher, cache: Path) -> None:
    assert refused(offline, site.url) == (
        f"names.txt is not in the cache ({cache / 'names.txt'}), and offline mode makes no request; "
        "run once without it, or give a file with --dataset FILE"
    )
    assert site.requests == []


def test_offline_uses_the_cache(site: Site, offline: Fetcher, fetch: Fetcher) -> None:
    path = fetch("names.txt", site.url, sha256=SHA256)
    assert offline("names.txt", site.url, sha256=SHA256) == path


def test_offline_refuses_a_damaged_file_in_the_cache(site: Site, offline: Fetcher, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "names.txt").write_bytes(b"damaged")
    with pytest.raises(UnavailableError, match="offline mode makes no request"):
        offline("names.txt", site.url, sha256=SHA256)
    assert site.requests == []


# A cache that cannot be used


def test_a_file_in_place_of_the_cache_is_reported(site: Site, fetch: Fetcher, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("")
    with pytest.raises(DataError) as caught:
        fetch("names.txt", site.url, sha256=SHA256)
    assert str(caught.value).startswith(f"cannot write the cache {cache}: File exists; set ZOO_CACHE to ")


def test_a_folder_in_place_of_the_file_is_reported(site: Site, fetch: Fetcher, cache: Path) -> None:
    (cache / "names.txt").mkdir(parents=True)
    with pytest.raises(DataError, match="cannot write the cache"):
        fetch("names.txt", site.url, sha256=SHA256)


not_for_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is forbidden to root")


@not_for_root
def test_a_read_only_cache_is_reported(site: Site, fetch: Fetcher, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    try:
        with pytest.raises(DataError, match=r"cannot write the cache .*: Permission denied"):
            fetch("names.txt", site.url, sha256=SHA256)
    finally:
        cache.chmod(0o700)


@not_for_root
def test_an_unreadable_file_in_the_cache_is_reported_or_replaced(site: Site, fetch: Fetcher, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "names.txt").write_bytes(CONTENT)
    (cache / "names.txt").chmod(0o000)
    try:
        assert fetch("names.txt", site.url, sha256=SHA256).read_bytes() == CONTENT
    except DataError as error:
        assert "Permission denied" in str(error)  # noqa: PT017 - either will do


# The environment


def test_zoo_cache_is_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "mine"))
    assert (cache_folder(), fetcher().cache) == (tmp_path / "mine", tmp_path / "mine")


@pytest.mark.parametrize("value", [None, ""])
def test_the_default_cache_is_in_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("ZOO_CACHE")
    else:
        monkeypatch.setenv("ZOO_CACHE", value)
    assert tmp_path in cache_folder().parents


@pytest.mark.parametrize(("value", "offline"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_zoo_offline_forbids_requests(monkeypatch: pytest.MonkeyPatch, value: str | None, offline: bool) -> None:
    if value is None:
        monkeypatch.delenv("ZOO_OFFLINE")
    else:
        monkeypatch.setenv("ZOO_OFFLINE", value)
    assert fetcher().offline is offline


def test_offline_without_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_OFFLINE")
    assert fetcher(offline=True).offline


@pytest.mark.parametrize(("value", "mirror"), [("", None), ("http://127.0.0.1/x", "http://127.0.0.1/x")])
def test_zoo_mirror_names_a_mirror(monkeypatch: pytest.MonkeyPatch, value: str, mirror: str | None) -> None:
    monkeypatch.setenv("ZOO_MIRROR", value)
    assert fetcher().mirror == mirror
