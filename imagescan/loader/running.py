"""Programs that run, for the plugins that they open one after the other.

How a program is started and the files that it opens enter; the process in which the next one is opened
leaves. What a program loads by itself, and what it opens before its plugins, is worked out once for all of
them: each plugin gets a copy of that process (``LoaderProcess.fork``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.process import LoaderProcess

MAXIMUM_RUNNING = 40  # processes that are remembered; others are started again

Opened = tuple[FileEntry, ElfFacts]
_Key = tuple[ImagePath, tuple[ImagePath, ...], bool]


class RunningPrograms:
    """The processes of one image in one environment, the least used forgotten first."""

    def __init__(self) -> None:
        self._running: OrderedDict[_Key, LoaderProcess] = OrderedDict()

    def after(
        self,
        host: ImagePath,
        start: Callable[[], LoaderProcess],
        before: Sequence[Opened],
        *,
        now: bool,
    ) -> LoaderProcess:
        """A process of its own for the caller, in which a program has loaded all that it needs and opened
        some files. What cannot be opened is unloaded again, with all that it brought in."""
        process = self._running_after(host, start, before, now=now)
        return process.fork() or opened_anew(start, before, now=now)

    def _running_after(
        self, host: ImagePath, start: Callable[[], LoaderProcess], before: Sequence[Opened], *, now: bool
    ) -> LoaderProcess:
        key = (host, tuple(entry.path for entry, _ in before), now)
        found = self._running.get(key)
        if found is not None:
            self._running.move_to_end(key)
            return found
        found = _loaded(start) if not before else self._opened(host, start, before, now=now)
        self._running[key] = found
        if len(self._running) > MAXIMUM_RUNNING:
            self._running.popitem(last=False)
        return found

    def _opened(
        self, host: ImagePath, start: Callable[[], LoaderProcess], before: Sequence[Opened], *, now: bool
    ) -> LoaderProcess:
        """``_running_after`` from the same with one file less."""
        *earlier, last = before
        process = self._running_after(host, start, earlier, now=now)
        twin = process.fork()
        if twin is None:
            return process  # nobody can go on with it
        _, problems = twin.opening(*last, now=now)
        return process if problems.obstacles else twin


def opened_anew(start: Callable[[], LoaderProcess], before: Sequence[Opened], *, now: bool) -> LoaderProcess:
    """``RunningPrograms.after`` without a copy of anything: each file is opened again."""
    process = _loaded(start)
    opened: list[Opened] = []
    for one in before:
        if not process.dlopen(*one, now=now).obstacles:
            opened.append(one)
            continue
        process = _loaded(start)
        for earlier in opened:
            process.dlopen(*earlier, now=now)
    return process


def _loaded(start: Callable[[], LoaderProcess]) -> LoaderProcess:
    process = start()
    process.load()
    return process
