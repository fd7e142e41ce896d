"""One request to a registry as it goes over the wire: redirects, and failures told apart.

A ``Call`` enters; an answer of any status leaves. Secrets are given per call and stay with the
origin that they are for. Follows RFC 9110, section 15.4.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlencode, urljoin, urlsplit

from imagescan.dataclasses import dataclass
from imagescan.errors import SourceError, Unavailable
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_answers import Temporary, failure_reason, is_lasting, is_untrusted
from imagescan.sources.registry_auth import check_target, origin_of, redacted
from imagescan.sources.registry_connection import Answer, Connections, Wire

REDIRECT_LIMIT = 5
"""Redirects followed for one request."""

CLIENT_NAME = "imagescan"
"""How we name ourselves to registries and token servers."""

_PROXY_VARIABLES = frozenset(("http_proxy", "https_proxy", "all_proxy"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is sent; ``form`` are the fields of what is posted."""

    method: str
    url: str
    headers: dict[str, str]
    form: Sequence[tuple[str, str]] = ()


class Transport:
    """Sends calls for the registry ``host``, straight or through the proxies that the environment names."""

    def __init__(self, host: str, options: SourceOptions) -> None:
        self._host = host
        self._options = options
        self._straight = Connections(options)
        self._proxied = None
        if any(value and name.lower() in _PROXY_VARIABLES for name, value in os.environ.items()):
            from imagescan.sources.registry_proxy import ProxiedConnections

            self._proxied = ProxiedConnections(options)

    def follow(self, call: Call, authorization: str | None) -> Answer:
        """Send, and go where redirects lead; the authorization stays with its origin.

        Raises:
            Temporary: no answer; it may be worth another try.
            Unavailable: no answer, for a reason that lasts.
            SourceError: redirected without end, or to where no registry sends its clients.
        """
        url = call.url
        for _ in range(REDIRECT_LIMIT + 1):
            answer = self._send(call, url, authorization)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            target = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            if call.method not in ("GET", "HEAD"):
                raise SourceError(f"the registry redirects a {call.method} request")
            check_target(target, self._host, insecure=self._options.insecure, what="redirect")
            if origin_of(target) != origin_of(url):
                authorization = None
            url = target
        raise SourceError(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def speaks_tls(self) -> bool:
        """Whether the host speaks TLS, asked without any secret. Whom its certificate is of is looked at when
        something is asked for: only a server that does not speak TLS at all is spoken to without it."""
        return self._wire(f"https://{self._host}/").speaks_tls(self._host)

    def close(self) -> None:
        """Give up all connections that nobody reads from."""
        self._straight.close()
        if self._proxied is not None:
            self._proxied.close()

    def _wire(self, url: str) -> Wire:
        if self._proxied is not None and self._proxied.serves(url):
            return self._proxied
        return self._straight

    def _send(self, call: Call, url: str, authorization: str | None) -> Answer:
        headers = {"User-Agent": CLIENT_NAME, **call.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        body = None
        if call.form:
            body = urlencode(call.form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            return self._wire(url).send(call.method, url, headers, body)
        except OSError as error:
            raise self._failure(error, url) from None
        except ValueError as error:
            raise SourceError(f"{redacted(url)} cannot be asked for: {type(error).__name__}") from None

    def _failure(self, error: OSError, url: str) -> Exception:
        """What a failed request becomes: a failure that may pass, or one that will not."""
        host = urlsplit(url).hostname
        if is_untrusted(error):
            return Unavailable(
                f"the certificate of {host} is not trusted",
                advice="add its authority to REQUESTS_CA_BUNDLE, or use --insecure",
            )
        failure = Unavailable(f"no answer from {host}: {failure_reason(error)}")
        return failure if is_lasting(error) else Temporary(failure)
