"""One request to a registry as it goes over the wire: redirects, time limits, and failures told apart.

A ``Call`` enters; a response of any status leaves. Secrets are given per call and stay with the
origin that they are for. Follows RFC 9110, section 15.4.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import requests.auth
import urllib3.exceptions

from imagescan.dataclasses import dataclass
from imagescan.errors import SourceError, Unavailable
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_answers import Temporary, failure_reason, is_lasting, is_untrusted
from imagescan.sources.registry_auth import check_target, origin_of, redacted

REDIRECT_LIMIT = 5
"""Redirects followed for one request."""

CLIENT_NAME = "imagescan"
"""How we name ourselves to registries and token servers."""

_PROBE_TIMEOUT = 5.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class _HeaderAuthorization(requests.auth.AuthBase):
    """Sets our header or none; its presence keeps ``requests`` from reading ``~/.netrc``."""

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header is not None:
            request.headers["Authorization"] = self._header
        return request


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is sent."""

    method: str
    url: str
    headers: dict[str, str]
    data: Any = None
    json: object = None
    stream: bool = False


class Transport:
    """Sends calls for the registry ``host`` through one ``requests`` session.

    A copy of this process makes connections of its own: two that read from one would each get a part.
    """

    def __init__(self, session: requests.Session, host: str, options: SourceOptions) -> None:
        self._session = session
        self._process = os.getpid()
        self._host = host
        self._options = options

    def follow(self, call: Call, authorization: str | None) -> requests.Response:
        """Send, and go where redirects lead; the authorization stays with its origin.

        Raises:
            Temporary: no answer; it may be worth another try.
            Unavailable: no answer, for a reason that lasts.
            SourceError: redirected without end, or to where no registry sends its clients.
        """
        url = call.url
        for _ in range(REDIRECT_LIMIT + 1):
            response = self._send(call, url, authorization)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            target = urljoin(url, response.headers["Location"])
            response.close()
            if call.method not in ("GET", "HEAD"):
                raise SourceError(f"the registry redirects a {call.method} request")
            check_target(target, self._host, insecure=self._options.insecure, what="redirect")
            if origin_of(target) != origin_of(url):
                authorization = None
            url = target
        raise SourceError(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def _send(self, call: Call, url: str, authorization: str | None) -> requests.Response:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._session.close()  # closes our descriptors only, and says nothing to the other end
        try:
            return self._session.request(
                call.method,
                url,
                data=call.data,
                json=call.json,
                headers={"Accept-Encoding": "identity", "User-Agent": CLIENT_NAME, **call.headers},
                auth=_HeaderAuthorization(authorization),
                stream=call.stream,
                timeout=(self._options.connect_timeout, self._options.read_timeout),
                allow_redirects=False,
                verify=not self._options.insecure,
            )
        except requests.RequestException as error:
            raise self._failure(error, url) from None
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise SourceError(f"{redacted(url)} cannot be asked for: {type(error).__name__}") from None

    def speaks_tls(self) -> bool:
        """Whether the host speaks TLS, asked without any secret.

        A certificate that is not trusted is an error: only a server that does not speak TLS at
        all is spoken to without it.

        Raises:
            Unavailable: the certificate is not trusted.
        """
        url = f"https://{self._host}/v2/"
        try:
            self._session.request(
                "GET",
                url,
                auth=_HeaderAuthorization(None),
                timeout=(self._options.connect_timeout, min(_PROBE_TIMEOUT, self._options.read_timeout)),
                allow_redirects=False,
                stream=True,
                verify=not self._options.insecure,
            ).close()
        except requests.RequestException as error:
            if is_untrusted(error):
                raise self._failure(error, url) from None
            return False
        return True

    def _failure(self, error: requests.RequestException, url: str) -> Exception:
        """What a failed request becomes: a failure that may pass, or one that will not."""
        host = urlsplit(url).hostname
        if is_untrusted(error):
            return Unavailable(
                f"the certificate of {host} is not trusted",
                advice="add its authority to REQUESTS_CA_BUNDLE, or use --insecure",
            )
        failure = Unavailable(f"no answer from {host}: {failure_reason(error)}")
        return failure if is_lasting(error) else Temporary(failure)
