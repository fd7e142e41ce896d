"""What a registry that asks who is there gets for an answer.

A ``WWW-Authenticate`` header enters; an ``Authorization`` header leaves. Tokens are asked for by oras's token
flow (distribution's "Token Authentication Specification"), but it is we who send its requests: they go where
``check_target`` allows, within our limits. What oras's own client would do with a token is in the contract
test of the sources' tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from urllib.parse import urlencode

import oras.auth
import oras.auth.utils

from imagescan.sources.credentials import Credential, FoundCredential
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_answers import SMALL_BODY_LIMIT, read_limited, read_token
from imagescan.sources.registry_auth import (
    Challenge,
    basic_header,
    bearer_header,
    check_target,
    parse_challenges,
)
from imagescan.sources.registry_connection import Answer
from imagescan.sources.registry_transport import CLIENT_NAME, Call

AskTokenServer = Callable[[Call, str | None, str], Answer]


class Login:
    """Answers the challenges of one registry ``host``.

    ``find_credential`` is asked once for each repository. ``ask`` sends a request to a token server, with
    an authorization and for a repository, and raises for all answers but that of success.
    """

    def __init__(
        self,
        host: str,
        options: SourceOptions,
        find_credential: Callable[[str], FoundCredential],
        ask: AskTokenServer,
    ) -> None:
        self._host = host
        self._options = options
        self._find_credential = find_credential
        self._ask = ask
        self._found: dict[str, FoundCredential] = {}

    def authorization(self, challenges: str, repository: str) -> str | None:
        """A header for the challenges of a refusal, or None when there is none to give.

        Raises:
            SourceError: the token server refuses, fails or is nowhere that secrets may be sent to.
            Temporary: it may succeed later.
        """
        if repository not in self._found:
            self._found[repository] = self._find_credential(repository)
        credential = self._found[repository].credential
        header = None
        for challenge in parse_challenges(challenges):
            if challenge.scheme == "bearer":
                return bearer_header(self._token(challenge, repository, credential))
            if credential is not None and credential.username:
                header = basic_header(credential)
        return header

    def found(self, repository: str) -> FoundCredential:
        """The credential that was looked for, if one was."""
        return self._found.get(repository, FoundCredential(None))

    def _token(self, challenge: Challenge, repository: str, credential: Credential | None) -> str:
        check_target(challenge.realm, self._host, insecure=self._options.insecure, what="token server")
        scope = challenge.scope or (f"repository:{repository}:pull" if repository else "")
        if credential is not None and credential.identity_token:
            return self._exchanged(credential.identity_token, challenge, scope, repository)
        wanted = {"realm": challenge.realm, "service": challenge.service, "scope": scope}
        header = oras.auth.utils.authHeader(wanted)
        flow = oras.auth.get_auth_backend("token", _TokenRequests(self._ask, repository))
        if credential is None:
            return str(flow.request_anonymous_token(header))
        flow.set_basic_auth(credential.username, credential.password)
        return str(flow.request_token(header))

    def _exchanged(self, identity_token: str, challenge: Challenge, scope: str, repository: str) -> str:
        """The token for an identity token (OAuth 2, RFC 6749, section 6), which oras does not know."""
        form = [
            *([("service", challenge.service)] if challenge.service else []),
            ("scope", scope),
            ("client_id", CLIENT_NAME),
            ("grant_type", "refresh_token"),
            ("refresh_token", identity_token),
        ]
        return _token_of(self._ask(Call("POST", challenge.realm, {}, form), None, repository))


class _TokenRequests:
    """Stands where oras's token flow has a ``requests.Session``."""

    def __init__(self, ask: AskTokenServer, repository: str) -> None:
        self._ask = ask
        self._repository = repository

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        verify: object = None,
    ) -> _TokenAnswer:
        """Send one request; each scope is a parameter of its own."""
        fields = [(name, part) for name, value in params.items() for part in value.split() or [value]]
        question = "&" if "?" in url else "?"
        call = Call(method, f"{url}{question}{urlencode(fields)}" if fields else url, {})
        authorization = (headers or {}).get("Authorization")
        return _TokenAnswer(_token_of(self._ask(call, authorization, self._repository)))

    def get(self, url: str, **given: Mapping[str, str]) -> _TokenAnswer:
        """As ``request``."""
        return self.request("GET", url, **given)


class _TokenAnswer:
    """What oras's token flow looks at of an answer that holds a token."""

    status_code = 200

    def __init__(self, token: str) -> None:
        self._token = token

    def json(self) -> dict[str, str]:
        """The token server's answer."""
        return {"token": self._token}


def _token_of(answer: Answer) -> str:
    with closing(answer):
        return read_token(read_limited(answer, SMALL_BODY_LIMIT, "the token server's answer"))
