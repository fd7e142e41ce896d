"""What a registry's answers say: bodies of limited length, diagnostics, and why a connection failed.

Answers and the system's errors enter; bytes, texts and numbers leave.
"""

from __future__ import annotations

import errno
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from imagescan.errors import ImageFormatError, ImageScanError, Unavailable
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.registry_auth import checked_token
from imagescan.sources.registry_connection import Answer

SMALL_BODY_LIMIT = 64 * 1024
"""Bytes of a token or error answer."""


class Temporary(Exception):
    """A failure that may pass; ``wait`` is what the registry asked for, in seconds."""

    def __init__(self, error: ImageScanError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def read_token(body: bytes) -> str:
    """The token in a token server's answer.

    Raises:
        Unavailable: the answer holds no token.
    """
    try:
        content = JsonObject.parse(body, "the token server's answer")
        return checked_token(content.text("token", "") or content.text("access_token", ""))
    except ImageFormatError as error:
        raise Unavailable(error.message) from None


def read_limited(answer: Answer, limit: int, what: str = "the document") -> bytes:
    """The body, read only as far as it may go.

    Raises:
        ImageFormatError: it goes further.
        Temporary: the connection broke.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := answer.read(SMALL_BODY_LIMIT):
            size += len(piece)
            if size > limit:
                answer.close()
                raise ImageFormatError(f"{what} is longer than {limit} bytes")
            pieces.append(piece)
    except OSError as error:
        raise Temporary(Unavailable(f"the connection broke: {failure_reason(error)}")) from None
    return b"".join(pieces)


def reason_given(answer: Answer) -> str:
    """The first error of the registry's own diagnostics (distribution specification, "Error Codes")."""
    try:
        content = JsonObject.parse(read_limited(answer, SMALL_BODY_LIMIT), "the answer")
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


def is_untrusted(error: OSError) -> bool:
    """Whether the server's certificate is the reason."""
    return isinstance(error, ssl.SSLCertVerificationError)


def is_lasting(error: OSError) -> bool:
    """Whether trying again at once is pointless: no such host, or nothing listens there."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME
    return error.errno == errno.ECONNREFUSED


def failure_reason(error: OSError) -> str:
    """What went wrong, in the system's words where it has some."""
    if error.strerror:
        return error.strerror
    return "it sent nothing for too long" if isinstance(error, TimeoutError) else "the connection broke off"
