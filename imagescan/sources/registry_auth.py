"""What a registry asks for before it answers: challenges, and where secrets may be sent.

``WWW-Authenticate`` headers and URLs enter; ``Challenge`` values and refusals leave. Follows RFC
7235 and distribution's "Token Authentication Specification"; the checks of URLs are those of
go-containerregistry's transport.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from imagescan.dataclasses import dataclass
from imagescan.errors import SourceError, Unavailable
from imagescan.patterns import pattern
from imagescan.reference import is_loopback_host
from imagescan.sources.credentials import Credential

_SCHEME = pattern(r"(?:^|,)\s*([A-Za-z]+)(?=\s|,|$)")
_PARAMETER = pattern(r'([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = pattern(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge; ``scheme`` is ``bearer`` or ``basic``."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of one ``WWW-Authenticate`` header; schemes that we do not know are left out."""
    challenges = []
    bare = _PARAMETER.sub(lambda match: "=" * len(match.group()), header)
    schemes = list(_SCHEME.finditer(bare))
    for number, scheme in enumerate(schemes):
        end = schemes[number + 1].start() if number + 1 < len(schemes) else len(header)
        values = {
            match.group(1).lower(): re.sub(r"\\(.)", r"\1", match.group(2) or "") or match.group(3) or ""
            for match in _PARAMETER.finditer(header, scheme.end(), end)
        }
        name = scheme.group(1).lower()
        if name in ("bearer", "basic"):
            challenges.append(
                Challenge(name, values.get("realm", ""), values.get("service", ""), values.get("scope", ""))
            )
    return tuple(challenges)


def basic_header(credential: Credential) -> str:
    """The ``Authorization`` header of RFC 7617."""
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def bearer_header(token: str) -> str:
    """The ``Authorization`` header of RFC 6750."""
    return f"Bearer {token}"


def checked_token(token: str) -> str:
    """The token itself.

    Raises:
        Unavailable: it is empty, or has characters that no header can hold.
    """
    if not _TOKEN.fullmatch(token):
        raise Unavailable("the token server gave a token that is none")
    return token


def origin_of(url: str) -> tuple[str, str]:
    """Scheme and host with port: what must be equal for a secret to be sent again."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.scheme, f"{parts.hostname}{port}"


def redacted(url: str) -> str:
    """The URL without user, password and query, where secrets and signatures are."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return (
        SplitResult(parts.scheme, host, parts.path, "...", "").geturl()
        if parts.query
        else f"{parts.scheme}://{host}{parts.path}"
    )


def check_target(url: str, registry: str, *, insecure: bool, what: str) -> None:
    """Refuse to be sent where no public registry sends its clients.

    ``registry`` is the host that named the URL, ``what`` says what the URL is for. Plain HTTP is
    for loopback, and a literal loopback, private or link-local address only for a registry that is
    there itself; ``insecure`` lifts both.

    Raises:
        SourceError: the URL is refused.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise SourceError(f"the registry names a {what} that is no web address: {url[:200]!r}")
    if insecure or origin_of(url)[1] == origin_of(f"{parts.scheme}://{registry}")[1]:
        return
    if parts.scheme == "http" and not (is_loopback_host(host) and is_loopback_host(registry)):
        raise SourceError(
            f"the registry names a {what} without encryption: {redacted(url)}",
            advice="use --insecure if you trust the network",
        )
    if _is_inside(host) and not _is_inside(urlsplit(f"//{registry}").hostname or ""):
        raise SourceError(f"the registry names a {what} at a private address: {redacted(url)}")


def _is_inside(host: str) -> bool:
    if is_loopback_host(host if ":" not in host else f"[{host}]"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_link_local or address.is_unspecified
