"""Requests to one registry: patience, authorization where it is asked for, and errors in our own words.

What is kept per repository is an authorization header; it is sent to the registry's own origin and to no
other. Follows the OCI distribution specification. How a header is come by is told in ``registry_login``,
which is imported when a registry asks for one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from imagescan.errors import (
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)
from imagescan.patterns import pattern
from imagescan.reference import is_loopback_host
from imagescan.sources.credentials import FoundCredential
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_answers import Temporary, read_limited, reason_given, retry_after
from imagescan.sources.registry_auth import origin_of
from imagescan.sources.registry_connection import Answer, Headers
from imagescan.sources.registry_transport import Call, Transport

if TYPE_CHECKING:
    from imagescan.sources.registry_login import Login

LONGEST_PAUSE = 8.0
"""Seconds between two tries, when the registry does not ask for more."""

_RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REPOSITORY = pattern(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/")
Result = TypeVar("Result")


class RegistrySession:
    """A client of one registry host. ``find_credential`` is asked once for each repository, and
    only when the registry demands it. Safe to use from several threads."""

    def __init__(
        self,
        host: str,
        options: SourceOptions,
        find_credential: Callable[[str], FoundCredential],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._host = host
        self._options = options
        self._find_credential = find_credential
        self._sleep = sleep
        self._transport = Transport(host, options)
        self._login: Login | None = None
        self._authorizations: dict[str, str] = {}
        self._scheme = ""

    def base_url(self) -> str:
        """``https://host``; where plain HTTP is allowed, whichever the registry speaks."""
        if not self._scheme:
            may_be_plain = self._options.insecure or is_loopback_host(self._host)
            self._scheme = "http" if may_be_plain and not self._transport.speaks_tls() else "https"
        return f"{self._scheme}://{self._host}"

    def get(self, url: str, headers: dict[str, str]) -> Answer:
        """Ask for something, as often as patience allows.

        The answer has any status but 401, 403, 429 and those of a failing server; its body is unread.

        Raises:
            Unauthorized, RateLimited, Unavailable, SourceError: as the tree in ``errors`` says.
        """
        call = Call("GET", url, headers)
        return self._patiently(lambda: self._once(call))

    def fetch(self, url: str, accept: str, limit: int) -> tuple[bytes, Headers]:
        """A whole body of at most ``limit`` bytes, and the headers.

        Raises:
            NotFound: there is no such document.
            ImageFormatError: the body is longer.
            SourceError: as ``get``.
        """
        call = Call("GET", url, {"Accept": accept})

        def read() -> tuple[bytes, Headers]:
            with closing(self._once(call)) as answer:
                if answer.status != 200:
                    raise self.error_of(answer)
                return read_limited(answer, limit), answer.headers

        return self._patiently(read)

    def close(self) -> None:
        """Give up all connections that nobody reads from."""
        self._transport.close()

    def error_of(self, answer: Answer) -> SourceError:
        """The typed error for an answer that is not the one wanted; closes it."""
        said = reason_given(answer)
        status = answer.status
        answer.close()
        message = f"the registry answered {status}{f': {said}' if said else ''}"
        if status == 404:
            return NotFound(message, advice="check the name and the tag")
        if status in (401, 403):
            return Unauthorized(message, advice=f"log in with: docker login {self._host}")
        if status == 429:
            return RateLimited(message, advice="wait a while, or log in for a higher limit")
        return Unavailable(message) if status >= 500 or status == 408 else SourceError(message)

    def _patiently(self, action: Callable[[], Result]) -> Result:
        for attempt in range(1, self._options.attempts + 1):
            try:
                return action()
            except Temporary as failure:
                pause = failure.wait
                if pause is None:
                    pause = self.pause_before(attempt)
                if attempt == self._options.attempts:
                    raise failure.error from None
                if pause > self._options.retry_after_limit:
                    failure.error.message += f"; it asks to come back in {pause:.0f} s"
                    raise failure.error from None
            self._sleep(pause)
        raise AssertionError("at least one attempt is made")

    def pause_before(self, attempt: int) -> float:
        """How long to wait after this failed attempt: twice as long each time, and jittered so
        that many clients do not come back together."""
        longest = min(LONGEST_PAUSE, self._options.retry_wait * 2 ** (attempt - 1))
        return float(longest * random.uniform(0.5, 1.0))  # noqa: S311

    def _once(self, call: Call) -> Answer:
        """Send with what authorization there is; when refused, with a new one, once."""
        home = origin_of(self.base_url())
        match = _REPOSITORY.search(urlsplit(call.url).path)
        repository = match.group(1) if match else ""
        header = self._authorizations.get(repository) if origin_of(call.url) == home else None
        answer = self._transport.follow(call, header)
        refused = answer.status == 401 or (answer.status == 403 and header is not None)
        # The challenge of a host that we were redirected to must not get our credentials.
        if refused and origin_of(call.url) == home == origin_of(answer.url):
            header = self._authorize(answer, repository)
            if header is None:
                raise self._refusal(answer, repository)
            answer.close()
            answer = self._transport.follow(call, header)
        if answer.status in (401, 403):
            raise self._refusal(answer, repository)
        return self._unless_it_fails(answer)

    def _unless_it_fails(self, answer: Answer) -> Answer:
        """The answer; one of a server in trouble is a ``Temporary`` failure."""
        if answer.status in _RETRIED:
            wait = retry_after(answer.headers.get("Retry-After", ""))
            raise Temporary(self.error_of(answer), wait)
        return answer

    def _authorize(self, answer: Answer, repository: str) -> str | None:
        """A new authorization for the challenge of a refusal, or None when there is none to give."""
        self._authorizations.pop(repository, None)
        if self._login is None:
            from imagescan.sources.registry_login import Login

            self._login = Login(self._host, self._options, self._find_credential, self._ask_token_server)
        header = self._login.authorization(answer.headers.get("WWW-Authenticate", ""), repository)
        if header is not None:
            self._authorizations[repository] = header
        return header

    def _ask_token_server(self, call: Call, authorization: str | None, repository: str) -> Answer:
        answer = self._unless_it_fails(self._transport.follow(call, authorization))
        if answer.status != 200:
            raise self._refusal(answer, repository)
        return answer

    def _refusal(self, answer: Answer, repository: str) -> SourceError:
        """Say which credentials were refused, or why none were sent."""
        error = self.error_of(answer)
        if not isinstance(error, Unauthorized):
            return error
        found = FoundCredential(None) if self._login is None else self._login.found(repository)
        if found.credential is not None:
            error.message += "; the stored credentials are wrong or have no permission"
        else:
            error.message += "; no such repository, or no permission without credentials"
            if found.problem:
                error.message += f" ({found.problem})"
        return error
