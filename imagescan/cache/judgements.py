"""What the files of an image were judged to be, for images of the same files that start in another way.

A manifest and the caller's options enter, a key leaves that covers all but what is started; a
``KeptJudgement`` enters or leaves under it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from imagescan.cache.answers import ANSWERS, key_of
from imagescan.cache.columns import Damaged
from imagescan.cache.directory import CacheDirectory
from imagescan.cache.value_files import Say, ValueFiles
from imagescan.dataclasses import dataclass, replace
from imagescan.findings import ScanReport
from imagescan.options import ScanOptions
from imagescan.patterns import pattern
from imagescan.sources.values import HistoryEntry, ImageManifest
from imagescan.subject import subject_of

_END = ".files"  # of names
# These change the config, which is a part of the key itself, and what the report says was overridden.
_OF_THE_START = frozenset({"entrypoint", "command", "user", "variables", "working_directory"})
_OF_EVERY_START = pattern(r"(?:/bin/sh -c )?(?:#\(nop\)\s+)?(?:ENV|USER|WORKDIR)\s")


@dataclass(frozen=True, slots=True)
class PlainStarts:
    """Words that start one program, or one script (``programs``) and its interpreter (``interpreters``, the
    program again where there is none), and nothing else, whatever words follow; as numbers of commands."""

    words: tuple[str, ...]
    programs: array[int]
    interpreters: array[int]

    def chain(self, word: str) -> tuple[int, ...] | None:
        """What is started by a command line that begins with a word; None where that is not known."""
        if word not in self.words:
            return None
        position = self.words.index(word)
        program, interpreter = self.programs[position], self.interpreters[position]
        return (program,) if program == interpreter else (program, interpreter)


@dataclass(frozen=True, slots=True)
class KeptJudgement:
    """A report, and what it takes to say which others of the same files are like it.

    ``startup`` are the files that were started and all that they loaded, ``commands`` all that can be started
    and all that they load, those included; ``observed`` are the files that any rule saw anything at, reported
    or not. All are canonical paths. What is graded as startup when command ``n`` is started are the commands
    ``loaded[starts[n]:starts[n + 1]]``, itself included; none where it cannot be said. ``plain`` are the
    starts for which no file need be looked at.
    """

    report: ScanReport
    startup: tuple[str, ...]
    commands: tuple[str, ...]
    starts: array[int]
    loaded: array[int]
    observed: tuple[str, ...]
    plain: PlainStarts

    def started(self, chain: Iterable[str]) -> frozenset[str] | None:
        """What is graded as startup when these files are started; None where that is not known."""
        numbers = {path: number for number, path in enumerate(self.commands)}
        found: set[str] = set()
        for path in chain:
            number = numbers.get(path)
            row = () if number is None else self.loaded[self.starts[number] : self.starts[number + 1]]
            if not row:
                return None
            found.update(map(self.commands.__getitem__, row))
        return frozenset(found)


def check(judgement: KeptJudgement) -> None:
    """Whether the columns of a judgement belong together.

    Raises:
        Damaged: a length or an index that cannot be.
    """
    starts, loaded, commands = judgement.starts, judgement.loaded, len(judgement.commands)
    plain = judgement.plain
    sound = (
        len(starts) == commands + 1
        and starts[0] == 0
        and starts[-1] == len(loaded)
        and list(starts) == sorted(starts)
        and len(plain.words) == len(plain.programs) == len(plain.interpreters)
        and all(_below(column, commands) for column in (loaded, plain.programs, plain.interpreters))
    )
    if not sound:
        raise Damaged("columns that do not belong together")


def _below(numbers: array[int], limit: int) -> bool:
    return not numbers or (min(numbers) >= 0 and max(numbers) < limit)


def judgement_key(manifest: ImageManifest, options: ScanOptions) -> str | None:
    """The name under which the judgement of an image's files is kept; None where it cannot be known to be
    the same. Their environment, user and directory are a part of it: scripts and loaders look at them."""
    subject = subject_of(manifest)
    config = replace(
        subject.config,
        entrypoint=None,
        cmd=None,
        shell=None,
        healthcheck=None,
        history=tuple(_lines(subject.config.history)),
    )
    key = key_of(replace(subject, config=config), options, _OF_THE_START)
    return key and key + _END


def _lines(history: tuple[HistoryEntry, ...]) -> list[HistoryEntry]:
    """The layers, and between them the instructions that are the same whatever is started."""
    named = [
        replace(line, created_by=line.created_by if _OF_EVERY_START.match(line.created_by) else "")
        for line in history
    ]
    return [line for line in named if line.created_by or not line.empty_layer]


class JudgementCache:
    """Finds and keeps judgements.

    Args:
        directory: where.
        say: told, in one line each, what was dropped.
        warn: told that a judgement cannot be kept, and why.
    """

    def __init__(self, directory: CacheDirectory, say: Say, warn: Say) -> None:
        self._files = ValueFiles(directory, ANSWERS, KeptJudgement, say, warn)

    def find(self, key: str) -> KeptJudgement | None:
        """The judgement that was kept under a key."""
        return next(iter(self._files.read(key, check)), None)

    def keep(self, key: str, judgement: KeptJudgement) -> bool:
        """Keep a judgement; says whether it could be."""
        return self._files.write(key, [judgement])
