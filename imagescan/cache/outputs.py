"""What a whole process wrote, for a question that was asked in the same words and whose every file on the
host is still the same: the shortest way to an answer, some 10 ms after Python has started.

A question (words, environment, directory) and the host's files that the answer was made from enter; what
was written and the exit code leave. Nothing of the image is looked at but what names it: index, manifest and
config, each by its SHA-256. Needs nothing but ``os`` and a hash.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256

from imagescan.cache.identity import program_identity
from imagescan.cache.trust import open_directory, open_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OUTPUTS = "outputs"
MAXIMUM_OUTPUT = 64 << 20  # bytes of one file of the cache
MAXIMUM_EVIDENCE = 16 << 20  # bytes of one file of the host that an answer depends on
ABSENT = ""  # in place of a digest: there was no such file
_MAGIC = b"imagescan output 1\n"
_DIGEST_BYTES = 32
_NUMBER_BYTES = 8
_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "HOME", "XDG_CACHE_HOME")
_PREFIX = "IMAGESCAN_"

Evidence = tuple[tuple[str, str], ...]
"""Absolute path and SHA-256 (or ``ABSENT``) of each file of the host that an answer was made from."""


def question_key(words: Sequence[str], environment: Mapping[str, str], terminals: Sequence[str]) -> str:
    """The name under which the output of a command line is kept; ``terminals`` say what the standard streams
    are."""
    relevant = sorted(
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith(_PREFIX) or name in _VARIABLES
    )
    machine = os.uname().machine  # decides which image of an index is meant
    parts = repr((program_identity(), machine, os.getcwd(), list(words), relevant, list(terminals)))  # noqa: PTH109
    return sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(path: str) -> str | None:
    """SHA-256 of a file of the host, ``ABSENT``, or None when it is nothing to depend on."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ABSENT if not os.path.lexists(path) else None
    except (OSError, ValueError):
        return None
    with open(file, "rb") as stream:  # noqa: PTH123
        try:
            data = stream.read(MAXIMUM_EVIDENCE + 1)
        except OSError:
            return None
    return sha256(data).hexdigest() if len(data) <= MAXIMUM_EVIDENCE else None


def pack_output(evidence: Evidence, day: str, code: int, stdout: str, stderr: str) -> bytes:
    """An output as bytes of the cache. ``day`` (YYYY-MM-DD, UTC) is the only one on which it holds, ""
    where that does not matter."""
    texts = (day, str(code), stdout, stderr, *(text for pair in evidence for text in pair))
    body = b"".join(_with_length(text.encode("utf-8", "surrogatepass")) for text in texts)
    return b"".join((_MAGIC, sha256(body).digest(), body))


def find_output(directory: str, key: str) -> tuple[int, str, str] | None:
    """Exit code, standard output and standard error of a question, if nothing has changed since."""
    try:
        data = _read(directory, key)
        start = len(_MAGIC) + _DIGEST_BYTES
        body = data[start:]
        if data[: len(_MAGIC)] != _MAGIC or sha256(body).digest() != data[len(_MAGIC) : start]:
            return None
        day, code, stdout, stderr, *evidence = _texts(body)
        number = int(code)
    except (OSError, ValueError):
        return None
    if day not in ("", today()):
        return None
    if any(digest_of(path) != digest for path, digest in zip(evidence[::2], evidence[1::2], strict=True)):
        return None
    return number, stdout, stderr


def today() -> str:
    """The date, UTC, as waivers count it."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _read(directory: str, key: str) -> bytes:
    root = open_directory(directory)
    try:
        kind = open_directory(OUTPUTS, root)
        try:
            file = open_file(key, kind)
        finally:
            os.close(kind)
    finally:
        os.close(root)
    with open(file, "rb") as stream:  # noqa: PTH123
        return stream.read(MAXIMUM_OUTPUT)


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(_NUMBER_BYTES, "little") + data


def _texts(body: bytes) -> Iterable[str]:
    place = 0
    while place < len(body):
        length = int.from_bytes(body[place : place + _NUMBER_BYTES], "little")
        place += _NUMBER_BYTES
        if length > len(body) - place:
            raise ValueError("an output that is cut short")
        yield body[place : place + length].decode("utf-8", "surrogatepass")
        place += length
