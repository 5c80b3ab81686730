"""Every way in which a download can fail: one sentence with its cause and its remedy, and the fallback where it may be.

First what servers, proxies and the environment really do on this machine; then every exception of requests, urllib3 and
ssl, and every HTTP status, as an attempt may raise it.
"""

from __future__ import annotations

import contextlib
import errno
import http
import inspect
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.exceptions
from conftest import Zoo
from servers import misbehaving_server

from zoo import DataError, Fetcher, UnavailableError
from zoo.data.failures import Failure, explain, explain_status

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


LIMIT = 0.5  # seconds to connect, and without data
END = ", or give a file with --dataset FILE"
OFFERED = ("try again", "check", "set ", "give them", "open a web page", "'pip install pysocks'", "where a proxy")

Reply = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def answering(reply: Reply) -> Iterator[int]:
    """A server that does what `reply` says with each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(5)
                        reply(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def says(text: bytes) -> Reply:
    def reply(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)

    return reply


def resets(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def is_silent(connection: socket.socket) -> None:
    connection.recv(4096)
    threading.Event().wait(2 * LIMIT)


def message(url: str, cache: Path = Path("cache"), **options: Any) -> str:
    with pytest.raises(UnavailableError) as caught:
        Fetcher(cache, connect_seconds=LIMIT, **options)("names.txt", url, sha256="0" * 64)
    text = str(caught.value)
    assert text.startswith("cannot download ")
    assert text.endswith(END)
    assert any(remedy in text for remedy in OFFERED)
    assert text.count("\n") == 0
    assert len(text) < 400
    return text


# What really happens

SERVERS: dict[str, tuple[str, Reply, str]] = {
    "resets the connection": ("http", resets, "the connection was closed without an answer, 3 times"),
    "closes at once": ("http", lambda connection: None, "the connection was closed without an answer, 3 times"),
    "is silent": ("http", is_silent, "no answer within 0.5 s; try again later"),
    "speaks another protocol": ("http", says(b"220 mail.example ESMTP\r\n"), "the connection was closed without"),
    "speaks no TLS": ("https", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server does not speak TLS; check the"),
    "ends the TLS handshake": ("https", says(b""), "the connection was closed during the TLS handshake"),
    "refuses the TLS version": ("https", says(b"\x15\x03\x01\x00\x02\x02\x46"), "the server's version of TLS is not"),
    "fails the TLS handshake": ("https", says(b"\x15\x03\x01\x00\x02\x02\x28"), "TLS failed: "),
    "is silent in the handshake": ("https", is_silent, "within 0.5 s"),
    "redirects to nowhere": (
        "http",
        says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        "answered 302 Found; check",
    ),
    "redirects to no address": (
        "http",
        says(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"),
        "it is not a valid address",
    ),
    "sends a bad chunk": (
        "http",
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        "the transfer was interrupted, 3 times",
    ),
    "sends too little": (
        "http",
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"),
        "the transfer was interrupted, 3",
    ),
    "sends no length": ("http", says(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx"), "it is another file"),
    "sends a web page": (
        "http",
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>Hello you"),
        "it is a web page: 15 bytes",
    ),
}


@pytest.mark.parametrize("case", SERVERS)
def test_a_server_that_fails_is_explained(case: str) -> None:
    scheme, reply, cause = SERVERS[case]
    with answering(reply) as port:
        url = f"{scheme}://127.0.0.1:{port}/names.txt"
        assert cause in message(url)


PROXY_SAYS = {
    "wants a login": (
        says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        "it is a proxy that wants a user name",
    ),
    "forbids": (says(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "403 Forbidden"),
    "has no gateway": (says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "502 Bad Gateway"),
    "closes": (lambda connection: None, ""),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("case", PROXY_SAYS)
def test_a_proxy_that_fails_is_explained(case: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reply, cause = PROXY_SAYS[case]
    with answering(reply) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        assert cause in message(f"{scheme}://names.example/names.txt")


ENVIRONMENT = {
    "a proxy that is not there": (
        {"https_proxy": "http://127.0.0.1:9"},
        "the proxy cannot be reached; check HTTPS_PROXY",
    ),
    "a proxy that is no address": ({"https_proxy": "http://"}, "address of the proxy is invalid; check HTTPS_PROXY"),
    "a proxy with a bad port": ({"https_proxy": "http://127.0.0.1:many"}, "; check "),
    "a proxy of another scheme": ({"https_proxy": "gopher://127.0.0.1:9"}, "; check "),
    "a SOCKS proxy": ({"https_proxy": "socks5://127.0.0.1:9"}, "a SOCKS proxy needs another package; 'pip install"),
    "a missing CA bundle": (
        {"REQUESTS_CA_BUNDLE": "/no/such.pem"},
        "no file of certificates /no/such.pem; set REQUESTS_CA",
    ),
    "a missing CA bundle of curl": (
        {"CURL_CA_BUNDLE": "/no/such.pem"},
        "no file of certificates /no/such.pem; set REQUESTS_CA",
    ),
    "a CA bundle that holds none": (
        {"REQUESTS_CA_BUNDLE": __file__},
        "the file of certificates holds none; set REQUESTS_CA",
    ),
}


@pytest.mark.parametrize("case", ENVIRONMENT)
def test_an_environment_that_fails_is_explained(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, cause = ENVIRONMENT[case]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with answering(says(b"")) as port:
        assert cause in message(f"https://127.0.0.1:{port}/names.txt")


MIRRORS = [
    "",
    "http://",
    "names",
    "ftp://127.0.0.1",
    "http://[::1",
    "http://127.0.0.1:99999",
    "http://a..b",
    "http:// x",
    "http://" + "x" * 80,
]


@pytest.mark.parametrize("mirror", MIRRORS)
def test_a_mirror_that_is_no_address_is_explained(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    text = message("ftp://127.0.0.1/names.txt", mirror=mirror)
    assert "address" in text or "the host is not known" in text


def no_such_host(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


CONNECTING: dict[str, tuple[Exception, str]] = {
    "no such host": (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        "the host is not known: there is no",
    ),
    "no name server": (
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        "the host is not known",
    ),
    "too late": (TimeoutError("timed out"), "no connection within 0.5 s"),
    **{
        errno.errorcode[code]: (OSError(code, "x"), "the host cannot be reached")
        for code in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ECONNREFUSED,
            errno.ENETDOWN,
            errno.EACCES,
            errno.EPERM,
        )
    },
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("case", CONNECTING)
def test_a_host_that_cannot_be_reached_is_explained(case: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, cause = CONNECTING[case]

    def create_connection(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("urllib3.util.connection.create_connection", create_connection)
    text = message(f"{scheme}://127.0.0.1:9/names.txt")
    assert cause in text
    assert ("within" in text) == (case == "too late")


CERTIFICATES = {
    "self-signed certificate": "where a proxy inspects traffic, set REQUESTS_CA_BUNDLE",
    "unable to get local issuer certificate": "where a proxy inspects traffic, set REQUESTS_CA_BUNDLE",
    "certificate has expired": "check this machine's clock",
    "certificate is not yet valid": "check this machine's clock",
    "Hostname mismatch, certificate is not valid for 'x'.": "its certificate is another host's; open a web page",
}


@pytest.mark.parametrize("reason", CERTIFICATES)
def test_a_certificate_that_is_not_trusted_is_explained(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any, **__: Any) -> Any:
        error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {reason}")
        error.verify_message = reason
        raise error

    monkeypatch.setattr("urllib3.connection.HTTPSConnection.connect", connect)
    text = message("https://127.0.0.1:9/names.txt")
    assert CERTIFICATES[reason] in text
    assert "certificate" in text


# All that there is

STATUSES = [status for status in http.HTTPStatus if status != 200 and status >= 200]


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_number_and_a_remedy(status: http.HTTPStatus) -> None:
    failure = explain_status(status, status.phrase)
    assert failure.cause.startswith(f"the server answered {int(status)} {status.phrase}")
    assert failure.remedy.startswith(OFFERED)


def exceptions(*modules: Any) -> list[type[Exception]]:
    """Every exception that these modules have."""
    return sorted(
        {
            found
            for module in modules
            for found in vars(module).values()
            if inspect.isclass(found) and issubclass(found, Exception) and not issubclass(found, Warning)
        },
        key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
    )


class IncompleteBody:
    """As much of a response as an exception shows."""

    length_remaining = 1

    def tell(self) -> int:
        return 1


def made(kind: type[Exception]) -> Exception:
    for arguments in (["x"], ["x"] * 2, ["x"] * 3, ["x", "y", 1], ["x"] * 4, [1, 2], [IncompleteBody(), b"x"]):
        with contextlib.suppress(TypeError, AttributeError, ValueError):
            error = kind(*arguments)
            assert str(error) is not None
            return error
    raise AssertionError(kind)


KINDS = exceptions(requests.exceptions, urllib3.exceptions, ssl, socket, http.client)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_every_exception_of_the_libraries_is_explained(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    error = made(kind)

    def get(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(requests.Session, "get", get)
    message("http://127.0.0.1:9/names.txt")
    assert isinstance(explain(error, 1.0), Failure)


def test_the_lists_have_what_the_libraries_have() -> None:
    assert {requests.Timeout, urllib3.exceptions.ProtocolError, ssl.SSLError, IncompleteRead, HTTPException} <= set(
        KINDS
    )
    assert len(KINDS) > 60


# Where nobody named a dataset, the bundled one is used


@pytest.mark.parametrize(
    "variables",
    [
        {"ZOO_MIRROR": "MIRROR/missing"},
        {"ZOO_MIRROR": "MIRROR/html"},
        {"ZOO_MIRROR": "http://[::1"},
        {"ZOO_MIRROR": "https://127.0.0.1:9", "REQUESTS_CA_BUNDLE": "/no/such.pem"},
        {"ZOO_MIRROR": "https://127.0.0.1:9", "https_proxy": "socks5://127.0.0.1:9"},
        {"ZOO_CACHE": "FILE"},
        {"ZOO_CACHE": "/proc/nowhere"},
    ],
    ids=str,
)
def test_any_failure_falls_back_to_the_bundled_names(
    variables: dict[str, str], zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    Path("file").touch()
    with misbehaving_server() as server:
        for name, value in variables.items():
            value = value.replace("MIRROR", server.url("").rstrip("/")).replace("FILE", str(Path("file").absolute()))
            monkeypatch.setenv(name, value)
        outcome = zoo_here("run", "mlp-char", "--steps", 1, "--device", "cpu", "--no-plots", "--json", "--quiet")
        assert outcome.code == 0, outcome.err
        assert "using the bundled 'names-ssa-2018' instead" in outcome.err
        assert outcome.err.count("\n") == 1
        assert outcome.result["dataset"]["name"] == "names-ssa-2018"
        named = zoo_here(
            "run", "mlp-char", "--dataset", "names", "--steps", 1, "--no-plots", "--quiet", "--device", "cpu"
        )
    assert (named.code, named.err.count("\n")) == (1, 1)
    assert issubclass(UnavailableError, DataError)
