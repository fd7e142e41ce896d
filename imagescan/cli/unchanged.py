"""The answer to a question that was asked before, when nothing that it depends on has changed.

Looked for before anything else of this program is imported: Python's start takes 10 ms, the modules of a
scan 100 more. A scan whose output can be told to hold (``Recording``) leaves it in the cache; see
``cache.outputs`` for what must be the same.
"""

from __future__ import annotations

import os
import sys
from io import StringIO

from imagescan.cache.outputs import (
    MAXIMUM_OUTPUT,
    OUTPUTS,
    Evidence,
    digest_of,
    find_output,
    pack_output,
    question_key,
    today,
)

TYPE_CHECKING = False  # as type checkers know it, without importing typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

    from imagescan.cli.context import Context

_OFF = ("", "0", "false", "no", "off")


def answer(words: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Write what was written to the same question before; the exit code, or None if it must be worked out."""
    directory = _cache_directory(words, environment)
    if directory is None:
        return None
    try:
        found = find_output(directory, question_key(words, environment, _terminals(sys.stdout, sys.stderr)))
    except OSError:  # no working directory
        return None
    if found is None:
        return None
    code, stdout, stderr = found
    for stream, text in ((sys.stdout, stdout), (sys.stderr, stderr)):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        stream.write(text)
        stream.flush()
    return code


def _cache_directory(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The cache's directory as far as words and environment say; a configuration file is not read."""
    if "--no-cache" in words or environment.get("IMAGESCAN_NO_CACHE", "").lower() not in _OFF:
        return None
    for number, word in enumerate(words):
        if word.startswith("--cache-dir"):
            _, equals, value = word.partition("=")
            return value if equals else words[number + 1] if number + 1 < len(words) else None
    named = environment.get("IMAGESCAN_CACHE_DIR", "")
    base, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if named or base.startswith("/"):
        return named or f"{base}/imagescan"
    return f"{home}/.cache/imagescan" if home.startswith("/") else None


def _terminals(*streams: TextIO) -> list[str]:
    """The width of each stream that a person looks at, which decides where lines end and whether there are
    colours; "" for the others."""
    return [str(os.get_terminal_size(one.fileno()).columns) if one.isatty() else "" for one in streams]


class Recording:
    """What one process writes, and whether it may be written again to the same question."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], out: TextIO, errors: TextIO
    ) -> None:
        self.possible = True
        self._copies = StringIO(), StringIO()
        self.stdout: TextIO = out
        self.stderr: TextIO = errors
        self.unrecorded = errors  # for what vanishes again: progress
        try:
            self._key = question_key(words, environment, _terminals(out, errors))
        except OSError:  # no working directory
            self.possible = False
        if self.possible:
            self.stdout = _Copied(out, self._copies[0])  # type: ignore[assignment]
            self.stderr = _Copied(errors, self._copies[1])  # type: ignore[assignment]

    def keep(self, context: Context, evidence: Iterable[Evidence | None], code: int) -> None:
        """Keep the output of a scan, unless it depends on more than can be told."""
        settings, wishes = context.settings, context.scan_options().cache
        if not self.possible or wishes is None or settings.verbose or settings.rules:
            return
        own = self._own_files(context)
        parts = (own, *evidence)
        if any(output.file is not None for output in settings.outputs) or None in parts:
            return
        from imagescan.cache.directory import CacheDirectory, Unusable

        day = today() if any(waiver.expires is not None for waiver in settings.waivers) else ""
        texts = (copy.getvalue() for copy in self._copies)
        pairs = tuple(pair for part in parts if part is not None for pair in part)
        packed = pack_output(pairs, day, code, *texts)
        try:
            if len(packed) <= MAXIMUM_OUTPUT:
                directory = CacheDirectory(wishes.directory)
                directory.write(OUTPUTS, self._key, (packed,))
                directory.close()
        except Unusable:  # the scan has said so
            return

    def _own_files(self, context: Context) -> Evidence | None:
        """The user's files that the answer was made from, those that are absent too."""
        from imagescan.cli.settings import CONFIGURATION_FILE

        named = context.configuration or CONFIGURATION_FILE
        files = [named] if context.settings.baseline is None else [named, str(context.settings.baseline)]
        found = tuple((os.path.abspath(file), digest_of(file)) for file in files)  # noqa: PTH100
        known = tuple((path, digest) for path, digest in found if digest is not None)
        return known if len(known) == len(found) else None


class _Copied:
    """A stream, and a copy of what is written to it."""

    def __init__(self, stream: TextIO, copy: StringIO) -> None:
        self._stream, self._copy = stream, copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
