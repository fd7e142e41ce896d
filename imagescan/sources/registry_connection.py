"""HTTP connections to registries, and what comes back over them.

A request enters; an ``Answer`` of any status leaves, its body unread. Follows RFC 9112 by the standard
library's client: a larger one takes a tenth of a second to import, and copies what it reads. Through a proxy
see ``registry_proxy``. Each failure is an ``OSError``, or a ``ValueError`` for what no request can hold.
"""

from __future__ import annotations

import errno
import os
import select
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from typing import Protocol
from urllib.parse import quote, urlsplit

from imagescan.errors import SourceError
from imagescan.sources.options import SourceOptions

_ACCEPTED_IN_URLS = "!#$%&'()*+,/:;=?@[]~"  # what is quoted already, or need not be
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROBE_SECONDS = 5.0

Origin = tuple[str, str, int]  # scheme, host and port


class Headers(Protocol):
    """Header fields, found by their names in whatever case."""

    def get(self, name: str, default: str, /) -> str:
        """The value of a field."""
        ...

    def __contains__(self, name: str, /) -> bool: ...


class Answer(Protocol):
    """What a server said; close it, or nobody else may use its connection."""

    url: str
    status: int

    @property
    def headers(self) -> Headers:
        """What was said before the body."""
        ...

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes of the body as it was sent; fewer, or none, only at its end.

        Raises:
            OSError: the connection broke, or nothing came for too long.
        """
        ...

    def close(self) -> None:
        """Read no more."""
        ...


class Wire(Protocol):
    """A way to servers."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send one request and wait for the head of the answer; redirects are not followed.

        Raises:
            OSError: no answer.
            ValueError: URL or headers that cannot be sent.
        """
        ...

    def speaks_tls(self, host: str) -> bool:
        """Whether ``host`` (with a port) speaks TLS, with whatever certificate; no secret is sent."""
        ...


class Connections:
    """Straight to servers; one connection to each that has nothing to do is kept. Safe to use from several
    threads, and from copies of this process: those make their own, as two that read from one would each get
    a part."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._verified: ssl.SSLContext | None = None
        self._idle: dict[Origin, HTTPConnection] = {}
        self._process = os.getpid()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """See ``Wire.send``."""
        parts = urlsplit(url)
        origin = parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _ACCEPTED_IN_URLS)
        connection = self._idle_one(origin) or self._connect(origin)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
        except InvalidURL as error:
            raise ValueError(str(error)) from None
        except HTTPException as error:
            connection.close()
            raise ConnectionError(str(error)) from None
        except BaseException:
            connection.close()
            raise
        return _DirectAnswer(url, response, connection, lambda: self._keep(origin, connection))

    def speaks_tls(self, host: str) -> bool:
        """See ``Wire.speaks_tls``. What is sent later goes to a server whose certificate is verified."""
        parts = urlsplit(f"https://{host}")
        timeout = min(_PROBE_SECONDS, self._options.connect_timeout)
        try:
            _open(("https", parts.hostname or "", parts.port or 443), timeout, _unverified).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give up the connections that are kept."""
        while self._idle:
            self._idle.popitem()[1].close()

    def _idle_one(self, origin: Origin) -> HTTPConnection | None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self.close()  # closes our descriptors only, and says nothing to the other end
        connection = self._idle.pop(origin, None)
        if connection is not None and _says_something(connection):  # it says farewell: nothing was asked
            connection.close()
            return None
        return connection

    def _keep(self, origin: Origin, connection: HTTPConnection) -> None:
        if self._idle.setdefault(origin, connection) is not connection:
            connection.close()

    def _connect(self, origin: Origin) -> HTTPConnection:
        connection = _open(origin, self._options.connect_timeout, self._context)
        connection.sock.settimeout(self._options.read_timeout)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._options.insecure:
            return _unverified()
        if self._verified is None:
            self._verified = _verified()
        return self._verified


class _DirectAnswer:
    """An ``Answer`` over a connection that is kept when the body was read to its end."""

    def __init__(
        self, url: str, response: HTTPResponse, connection: HTTPConnection, keep: Callable[[], None]
    ) -> None:
        self.url, self.status, self.headers = url, response.status, response.headers
        self._response, self._connection, self._keep = response, connection, keep

    def read(self, size: int) -> bytes:
        """See ``Answer.read``."""
        try:
            piece = self._response.read(size)
        except HTTPException as error:
            raise ConnectionError(str(error)) from None
        if not piece and size and self._response.length:
            raise ConnectionError(errno.ECONNRESET, "it ended early")
        return piece

    def close(self) -> None:
        """See ``Answer.close``."""
        if self._response.isclosed() and self._connection.sock is not None:
            self._keep()
        else:
            self._connection.close()
        self._response.close()


def _open(origin: Origin, timeout: float, context: Callable[[], ssl.SSLContext]) -> HTTPConnection:
    scheme, host, port = origin
    if scheme == "https":
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=timeout, context=context())
    else:
        connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.connect()
    except TimeoutError:
        connection.close()
        raise TimeoutError(errno.ETIMEDOUT, "it did not accept a connection in time") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _says_something(connection: HTTPConnection) -> bool:
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _trusted_bundle() -> str:
    """The file or directory of the authorities that are trusted, as the user or else certifi has it."""
    named = next(filter(None, map(os.environ.get, _BUNDLE_VARIABLES)), None)
    if named is not None:
        return named
    import certifi

    return certifi.where()


def _verified() -> ssl.SSLContext:
    bundle = _trusted_bundle()
    is_directory = os.path.isdir(bundle)  # noqa: PTH112 - the variables' form, not a path of ours
    try:
        return ssl.create_default_context(
            capath=bundle if is_directory else None, cafile=None if is_directory else bundle
        )
    except OSError as error:
        raise SourceError(
            f"the certificates of trusted authorities cannot be read: {error.strerror or error}",
            where=bundle,
            advice="mend REQUESTS_CA_BUNDLE",
        ) from None


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
