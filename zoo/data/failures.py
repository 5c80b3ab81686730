"""Why a download failed, and what to do: one sentence for each kind of failure of a network, a proxy or a server.

Everything that requests, urllib3 and ssl raise goes through `explain`, and every HTTP status through `explain_status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

_LATER = "try again later"
_AGAIN = "try again"
_ADDRESS = "check the address, that of ZOO_MIRROR for instance"
_PROXY = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
_LOGIN = "open a web page in a browser and log in to the network"
_BUNDLE = "set REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE to a file of certificates in PEM format, or unset it"

_STATUSES = {
    HTTPStatus.UNAUTHORIZED: ("wants a user name and password", _ADDRESS),
    HTTPStatus.FORBIDDEN: ("refuses access, as a filter of the network may, too", _ADDRESS),
    HTTPStatus.NOT_FOUND: ("has no such file", _ADDRESS),
    HTTPStatus.GONE: ("no longer has the file", _ADDRESS),
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: (
        "is a proxy that wants a user name and password",
        "give them, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    ),
    HTTPStatus.REQUEST_TIMEOUT: ("did not wait for the request", _AGAIN),
    HTTPStatus.TOO_MANY_REQUESTS: ("has had too many requests", _LATER),
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: ("is the network's, which wants a login", _LOGIN),
}


class Failure(NamedTuple):
    """What went wrong, and what to do.

    Attributes:
        passing: whether it may succeed at once if it is tried again.
    """

    cause: str
    remedy: str = _AGAIN
    passing: bool = False


WEB_PAGE = Failure("it is a web page", f"{_LOGIN}, or {_ADDRESS}")
OTHER_FILE = Failure("it is another file", _ADDRESS)


def explain_status(status: int, reason: str) -> Failure:
    """A status other than 200."""
    known = _STATUSES.get(status)  # type: ignore[call-overload]  # an HTTPStatus is an int
    what, remedy = known or ("", _LATER if status >= 500 else _ADDRESS)
    answer = f"the server answered {status} {' '.join(reason.split())}".rstrip()
    return Failure(f"{answer}: it {what}" if what else answer, remedy)


def explain(error: Exception, seconds: float) -> Failure:
    """An exception of a request, or of the transfer of its body.

    Args:
        error: as requests, urllib3, ssl or the system raise it.
        seconds: the time limit to connect, and without data.
    """
    chain = list(_chain(error))
    text = " ".join(str(one) for one in chain)
    for explanation in (_settings, _proxy, _encryption, _connection):
        failure = explanation(chain, text, seconds)
        if failure is not None:
            return failure
    return Failure(f"{type(error).__name__}: {error}")


def _settings(chain: list[BaseException], text: str, seconds: float) -> Failure | None:
    """What was wrong before any connection."""
    import requests
    from urllib3.exceptions import LocationParseError

    if "TLS CA certificate bundle" in text or "TLS certificate file" in text or "TLS key file" in text:
        return Failure(f"there is no file of certificates {text.rpartition('invalid path: ')[2]}", _BUNDLE)
    if any(mark in text for mark in ("NO_CERTIFICATE_OR_CRL_FOUND", "[X509", "PEM lib", "no certificate or crl found")):
        return Failure("the file of certificates holds none", _BUNDLE)
    if "SOCKS" in text and "dependencies" in text.lower():
        return Failure("a SOCKS proxy needs another package", "'pip install pysocks', or unset the proxy")
    if (
        _has(chain, requests.exceptions.InvalidProxyURL)
        or "proxy url" in text.lower()
        or "proxy scheme" in text.lower()
    ):
        return Failure("the address of the proxy is invalid", _PROXY)
    if isinstance(chain[0], requests.exceptions.InvalidSchema | requests.exceptions.MissingSchema):
        return Failure("it is not an http or https address", _ADDRESS)
    invalid = _has(chain, requests.exceptions.InvalidURL, LocationParseError, UnicodeError)
    if invalid or type(chain[0]) is ValueError:  # which half of an IPv6 address raises
        return Failure("it is not a valid address", _ADDRESS)
    return None


def _proxy(chain: list[BaseException], text: str, seconds: float) -> Failure | None:
    import ssl  # here, because only failures need it

    import requests

    if not _has(chain, requests.exceptions.ProxyError):
        return None
    if "407" in text:
        return explain_status(407, HTTPStatus(407).phrase)
    if "Tunnel connection failed" in text:
        return Failure(
            f"the proxy refused: {text.rpartition('Tunnel connection failed: ')[2].rstrip(chr(39) + ')')}", _PROXY
        )
    if _has(chain, ssl.SSLError):
        return Failure("the proxy does not speak TLS: its address begins with http://, not https://", _PROXY)
    return Failure("the proxy cannot be reached", _PROXY)


def _encryption(chain: list[BaseException], text: str, seconds: float) -> Failure | None:
    import ssl

    error = next((one for one in chain if isinstance(one, ssl.SSLError)), None)
    if error is None:
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = (getattr(error, "verify_message", "") or "it is not trusted").rstrip(".")
        if "Hostname mismatch" in reason or "IP address mismatch" in reason:
            return Failure("its certificate is another host's", f"{_LOGIN}, or {_ADDRESS}")
        if "expired" in reason or "not yet valid" in reason:
            return Failure(f"its certificate cannot be verified: {reason}", "check this machine's clock")
        return Failure(
            f"its certificate cannot be verified: {reason}",
            "where a proxy inspects traffic, set REQUESTS_CA_BUNDLE to its certificates",
        )
    if any(mark in text for mark in ("WRONG_VERSION_NUMBER", "RECORD_LAYER", "PACKET_LENGTH", "HTTP_REQUEST")):
        return Failure("the server does not speak TLS", f"{_ADDRESS}: http:// for a mirror without TLS")
    if any(mark in text for mark in ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")):
        return Failure("the server's version of TLS is not supported", _ADDRESS)
    if isinstance(error, ssl.SSLEOFError) or "EOF" in text:
        return Failure("the connection was closed during the TLS handshake or the transfer", _AGAIN)
    return Failure(f"TLS failed: {getattr(error, 'reason', None) or error}", _ADDRESS)


def _connection(chain: list[BaseException], text: str, seconds: float) -> Failure | None:
    import requests
    from urllib3 import exceptions as urllib3

    if _has(chain, urllib3.NameResolutionError) or "Name or service not known" in text:
        return Failure("the host is not known: there is no network, or its name is wrong", _ADDRESS)
    if _has(chain, ConnectionRefusedError):
        return Failure("the host cannot be reached: it refused the connection", _ADDRESS)
    if _has(chain, urllib3.NewConnectionError):  # which is a ConnectTimeoutError
        return Failure("the host cannot be reached")
    if _has(chain, requests.exceptions.ConnectTimeout, urllib3.ConnectTimeoutError):
        return Failure(f"no connection within {seconds:g} s: the host cannot be reached", _LATER)
    if _has(chain, requests.exceptions.Timeout):
        return Failure(f"no answer within {seconds:g} s", _LATER)
    if _has(chain, urllib3.ReadTimeoutError, TimeoutError):
        return Failure(f"no data for {seconds:g} s during the transfer", _LATER)
    if isinstance(chain[0], requests.exceptions.ConnectionError) and _has(chain, urllib3.ProtocolError):
        return Failure("the connection was closed without an answer", _AGAIN, passing=True)
    if isinstance(chain[0], requests.exceptions.ConnectionError):
        return Failure("the host cannot be reached")
    if _has(chain, requests.exceptions.ChunkedEncodingError, urllib3.HTTPError, OSError):
        return Failure("the transfer was interrupted", _AGAIN, passing=True)
    return None


def _has(chain: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in chain)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it was made of: its arguments, its reason, its cause."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        waiting += [other for other in inner if isinstance(other, BaseException)]
