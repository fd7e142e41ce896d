"""What a registry's answers say: bodies of limited length, diagnostics, and why a connection failed.

Responses and exceptions of the HTTP library enter; bytes, texts and numbers leave.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3.exceptions

from imagescan.errors import ImageFormatError, ImageScanError, Unavailable
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.registry_auth import bearer_header

SMALL_BODY_LIMIT = 64 * 1024
"""Bytes of a token or error answer."""

_CAUSE_LIMIT = 10


class Temporary(Exception):
    """A failure that may pass; ``wait`` is what the registry asked for, in seconds."""

    def __init__(self, error: ImageScanError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def read_token(body: bytes) -> str:
    """The ``Authorization`` header from a token server's answer.

    Raises:
        Unavailable: the answer holds no token.
    """
    try:
        content = JsonObject.parse(body, "the token server's answer")
        return bearer_header(content.text("token", "") or content.text("access_token", ""))
    except ImageFormatError as error:
        raise Unavailable(error.message) from None


def read_limited(response: requests.Response, limit: int, what: str = "the document") -> bytes:
    """The body, read only as far as it may go.

    Raises:
        ImageFormatError: it goes further.
        Temporary: the connection broke.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := response.raw.read(SMALL_BODY_LIMIT, decode_content=False):
            size += len(piece)
            if size > limit:
                response.close()
                raise ImageFormatError(f"{what} is longer than {limit} bytes")
            pieces.append(piece)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Temporary(Unavailable(f"the connection broke: {failure_reason(error)}")) from None
    return b"".join(pieces)


def reason_given(response: requests.Response) -> str:
    """The first error of the registry's own diagnostics (distribution specification, "Error Codes")."""
    try:
        content = JsonObject.parse(read_limited(response, SMALL_BODY_LIMIT), "the answer")
        for error in content.children("errors"):
            parts = (error.text("code", ""), error.text("message", ""))
            return " ".join(part for part in parts if part)[:200]
    except (ImageScanError, Temporary):
        pass
    return ""


def retry_after(text: str) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110, section 10.2.3); None for neither."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def is_untrusted(error: BaseException) -> bool:
    """Whether the server's certificate is the reason."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def is_lasting(error: BaseException) -> bool:
    """Whether trying again at once is pointless: no such host, or nothing listens there."""
    return any(
        (isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME)
        or (isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED)
        for cause in _causes(error)
    )


def failure_reason(error: BaseException) -> str:
    """What went wrong, without the URLs that libraries put into their messages."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    for cause in causes:
        if isinstance(cause, requests.exceptions.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError):
            return "it did not accept a connection in time"
        if isinstance(cause, requests.Timeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
            return "it sent nothing for too long"
    return "the connection broke off"


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
