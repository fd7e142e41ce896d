"""HTTP by way of the proxies that the environment names (``HTTPS_PROXY``, ``NO_PROXY`` and the like).

A request enters; an ``Answer`` leaves, as in ``registry_connection``. What proxies there are, and how each
kind is spoken to, is requests' business; it is imported only where a proxy is named.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy

import requests
import requests.auth
import requests.utils
import urllib3.exceptions

from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_connection import Answer

_CAUSE_LIMIT = 10


class ProxiedConnections:
    """A ``Wire`` for the URLs that a proxy is named for."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._process = os.getpid()
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def serves(self, url: str) -> bool:
        """Whether a proxy is named for the URL."""
        proxies = requests.utils.get_environ_proxies(url)
        return bool(requests.utils.select_proxy(url, proxies))

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """See ``Wire.send``."""
        return self._send(method, url, headers, body, verify=not self._options.insecure)

    def speaks_tls(self, host: str) -> bool:
        """See ``Wire.speaks_tls``."""
        try:
            self._send("GET", f"https://{host}/v2/", {}, None, verify=False).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give up the connections that are kept."""
        self._session.close()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None, *, verify: bool
    ) -> Answer:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._session.close()
        try:
            response = self._session.request(
                method,
                url,
                data=body,
                headers={"Accept-Encoding": "identity", **headers},
                auth=_NoAuthorization(),
                stream=True,
                timeout=(self._options.connect_timeout, self._options.read_timeout),
                allow_redirects=False,
                verify=verify,
            )
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # no URL, no header
                raise ValueError(str(error)) from None
            raise _as_system_error(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise ValueError(str(error)) from None
        return _ProxiedAnswer(url, response)


class _NoAuthorization(requests.auth.AuthBase):
    """Keeps ``requests`` from reading ``~/.netrc``."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _ProxiedAnswer:
    """An ``Answer`` that requests has."""

    def __init__(self, url: str, response: requests.Response) -> None:
        self.url, self.status, self.headers = url, response.status_code, response.headers
        self._response = response

    def read(self, size: int) -> bytes:
        """See ``Answer.read``."""
        try:
            piece: bytes = self._response.raw.read(size, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise _as_system_error(error) from None
        return piece

    def close(self) -> None:
        """See ``Answer.close``."""
        self._response.close()


def _as_system_error(error: Exception) -> OSError:
    """The system's own error among those that libraries put around each other."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return cause
    for cause in causes:
        if isinstance(cause, requests.exceptions.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError):
            return TimeoutError(errno.ETIMEDOUT, "it did not accept a connection in time")
        if isinstance(cause, requests.Timeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
            return TimeoutError()
    return ConnectionError()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those inside it: requests wraps urllib3's, which wraps the socket's."""
    current: BaseException | None = error
    for _ in range(_CAUSE_LIMIT):
        if current is None:
            return
        yield current
        inner = [
            item
            for item in (getattr(current, "reason", None), *current.args)
            if isinstance(item, BaseException)
        ]
        current = inner[0] if inner else (current.__cause__ or current.__context__)
