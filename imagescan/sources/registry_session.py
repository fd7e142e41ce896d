"""Requests to one registry: authentication, patience, and errors in our own words.

``oras.provider.Registry`` is subclassed at its one choke point, ``do_request``, whose defects are
listed in the contract test beside this module. What is kept per repository is an authorization
header; it is sent to the registry's own origin and to no other. Follows the OCI distribution
specification and distribution's "Token Authentication Specification".
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import oras.provider
import requests

from imagescan.errors import (
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)
from imagescan.patterns import pattern
from imagescan.reference import is_loopback_host
from imagescan.sources.credentials import Credential, FoundCredential
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_answers import (
    SMALL_BODY_LIMIT,
    Temporary,
    read_limited,
    read_token,
    reason_given,
    retry_after,
)
from imagescan.sources.registry_auth import (
    Challenge,
    basic_header,
    check_target,
    origin_of,
    parse_challenges,
)
from imagescan.sources.registry_transport import CLIENT_NAME, Call, Transport

LONGEST_PAUSE = 8.0
"""Seconds between two tries, when the registry does not ask for more."""

_RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REPOSITORY = pattern(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/")
Result = TypeVar("Result")


class RegistrySession(oras.provider.Registry):  # type: ignore[misc]
    """A client of one registry host. ``find_credential`` is asked once for each repository, and
    only when the registry demands it. Safe to use from several threads."""

    def __init__(
        self,
        host: str,
        options: SourceOptions,
        find_credential: Callable[[str], FoundCredential],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(hostname=host, tls_verify=not options.insecure)
        self._host = host
        self._options = options
        self._find_credential = find_credential
        self._sleep = sleep
        self._transport = Transport(self.session, host, options)
        self._found: dict[str, FoundCredential] = {}
        self._authorizations: dict[str, str] = {}
        self._probed = False

    def base_url(self) -> str:
        """``https://host``; where plain HTTP is allowed, whichever the registry speaks.

        Raises:
            Unavailable: it cannot be reached, or its certificate is not trusted.
        """
        if not self._probed:
            if self._options.insecure or is_loopback_host(self._host):
                self.prefix = "https" if self._transport.speaks_tls() else "http"
            self._probed = True
        return f"{self.prefix}://{self._host}"

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: object = None,
        headers: dict[str, str] | None = None,
        json: object = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request, as often as patience allows; replaces oras's method.

        The answer has any status but 401, 403, 429 and those of a failing server.

        Raises:
            Unauthorized, RateLimited, Unavailable, SourceError: as the tree in ``errors`` says.
        """
        call = Call(method, url, dict(headers or {}), data, json, stream)
        return self._patiently(lambda: self._once(call))

    def fetch(self, url: str, accept: str, limit: int) -> tuple[bytes, dict[str, str]]:
        """A whole body of at most ``limit`` bytes, and the headers in lower case.

        Raises:
            NotFound: there is no such document.
            ImageFormatError: the body is longer.
            SourceError: as ``do_request``.
        """
        call = Call("GET", url, {"Accept": accept}, stream=True)

        def read() -> tuple[bytes, dict[str, str]]:
            with self._once(call) as response:
                if response.status_code != 200:
                    raise self.error_of(response)
                body = read_limited(response, limit)
                return body, {name.lower(): value for name, value in response.headers.items()}

        return self._patiently(read)

    def error_of(self, response: requests.Response) -> SourceError:
        """The typed error for an answer that is not the one wanted; closes it."""
        said = reason_given(response)
        status = response.status_code
        response.close()
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

    def _once(self, call: Call) -> requests.Response:
        """Send with what authorization there is; when refused, with a new one, once."""
        home = origin_of(self.base_url())
        match = _REPOSITORY.search(urlsplit(call.url).path)
        repository = match.group(1) if match else ""
        header = self._authorizations.get(repository) if origin_of(call.url) == home else None
        response = self._transport.follow(call, header)
        refused = response.status_code == 401 or (response.status_code == 403 and header is not None)
        # The challenge of a host that we were redirected to must not get our credentials.
        if refused and origin_of(call.url) == home == origin_of(response.url):
            header = self._authorize(response, repository)
            if header is None:
                raise self._refusal(response, repository)
            response.close()
            response = self._transport.follow(call, header)
        if response.status_code in (401, 403):
            raise self._refusal(response, repository)
        if response.status_code in _RETRIED:
            wait = retry_after(response.headers.get("Retry-After", ""))
            raise Temporary(self.error_of(response), wait)
        return response

    def _authorize(self, response: requests.Response, repository: str) -> str | None:
        """A new authorization for the challenge of a refusal, or None when there is none to give."""
        self._authorizations.pop(repository, None)
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        credential = self._credential(repository)
        header = None
        for challenge in challenges:
            if challenge.scheme == "bearer":
                header = self._token(challenge, repository, credential)
                break
            if credential is not None and credential.username:
                header = basic_header(credential)
        if header is not None:
            self._authorizations[repository] = header
        return header

    def _credential(self, repository: str) -> Credential | None:
        if repository not in self._found:
            self._found[repository] = self._find_credential(repository)
        return self._found[repository].credential

    def _token(self, challenge: Challenge, repository: str, credential: Credential | None) -> str:
        """Ask the token server; one token is for one repository."""
        check_target(challenge.realm, self._host, insecure=self._options.insecure, what="token server")
        scope = challenge.scope or (f"repository:{repository}:pull" if repository else "")
        fields = [("service", challenge.service)] if challenge.service else []
        if credential is not None and credential.identity_token:
            form = [*fields, ("scope", scope), ("client_id", CLIENT_NAME), ("grant_type", "refresh_token")]
            data = dict([*form, ("refresh_token", credential.identity_token)])
            response = self._transport.follow(Call("POST", challenge.realm, {}, data, stream=True), None)
        else:
            fields += [("scope", part) for part in scope.split()]
            request = requests.Request("GET", challenge.realm, params=fields).prepare()
            header = basic_header(credential) if credential is not None else None
            response = self._transport.follow(Call("GET", str(request.url), {}, stream=True), header)
        with response:
            if response.status_code in _RETRIED:
                wait = retry_after(response.headers.get("Retry-After", ""))
                raise Temporary(self.error_of(response), wait)
            if response.status_code != 200:
                raise self._refusal(response, repository)
            return read_token(read_limited(response, SMALL_BODY_LIMIT, "the token server's answer"))

    def _refusal(self, response: requests.Response, repository: str) -> SourceError:
        """Say which credentials were refused, or why none were sent."""
        error = self.error_of(response)
        if not isinstance(error, Unauthorized):
            return error
        found = self._found.get(repository, FoundCredential(None))
        if found.credential is not None:
            error.message += "; the stored credentials are wrong or have no permission"
        else:
            error.message += "; no such repository, or no permission without credentials"
            if found.problem:
                error.message += f" ({found.problem})"
        return error
