"""Pieces of work enter, each is done in a child process of its own; the bytes that each gives back leave.

A child is a copy of this process (fork(2)), so a piece of work is any function, and its result comes back
through a pipe together with how far it is. What a child raises is raised here: errors of our own with their
words, others as ``UnexpectedError``. Nothing is unpickled. A child ends with this process, however that ends:
writing to a pipe that nobody reads fails, and a child writes at least each ``PROGRESS_SECONDS`` of its work.
Signals are this process's business alone, so a child leaves nothing behind but what its work writes.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from imagescan.dataclasses import NamedTuple
from imagescan.errors import ChildLost, ImageScanError

PROGRESS_SECONDS = 0.1  # between two messages of a child that is at work
MAXIMUM_MESSAGE = 1 << 20  # bytes of one message; what a piece of work gives back is short
MAXIMUM_TURNS = 4096

Report = Callable[[int], None]  # told how much more was done, in whatever unit the work counts
Work = Callable[[Report], bytes]

_HEAD = struct.Struct("<cI")  # what a message is, and its length
_AMOUNT = struct.Struct("<Q")
_PROGRESS, _DONE, _FAILED = b"p", b"d", b"f"
_OUR_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class UnexpectedError(Exception):
    """What a child met that is no error of ours: a bug. Carries the child's traceback as a note."""


class Result(NamedTuple):
    """What the piece of work of this number gave back."""

    number: int
    data: bytes


def may_fork() -> bool:
    """Whether a copy of this process can do work: on Linux, while no other thread runs.

    A copy has only the thread that asked for it, and whatever the others held stays locked in it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
    except OSError:
        return False


class Children:
    """Runs pieces of work; used as a context, whose end ends all that still run.

    Args:
        on_progress: told how much more was done, when some of the children report it.
    """

    def __init__(self, on_progress: Report | None = None) -> None:
        self._on_progress = on_progress
        self._running: dict[int, _Child] = {}
        self._poll = select.poll()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._running.values():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        while self._running:
            self._end(next(iter(self._running.values())))

    def __len__(self) -> int:
        """How many are at work."""
        return len(self._running)

    def start(self, number: int, where: str, work: Work) -> None:
        """Begin a piece of work; ``where`` names it when its process is lost.

        Raises:
            OSError: the system has no room for another process.
        """
        reader, writer = os.pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OUR_SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                for descriptor in (reader, *self._running):
                    os.close(descriptor)
                _work(work, writer, before)
            self._running[reader] = _Child(number, where, pid, reader)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._poll.register(reader, select.POLLIN)

    def wait(self) -> Result:
        """The next result; some child must be at work.

        Raises:
            ImageScanError: what a child raised.
            ChildLost: a child was ended by somebody else.
            UnexpectedError: a child met a bug.
        """
        while True:
            for descriptor, _ in self._poll.poll():
                child = self._running[descriptor]
                if child.receive():
                    for amount in child.progress():
                        if self._on_progress is not None:
                            self._on_progress(amount)
                    continue
                status = self._end(child)
                return Result(child.number, child.result(status))

    def _end(self, child: _Child) -> int:
        """Take leave of a child that has ended or is about to; returns its status (wait(2))."""
        del self._running[child.descriptor]
        with suppress(KeyError):  # an interrupt came before it was registered
            self._poll.unregister(child.descriptor)
        os.close(child.descriptor)
        try:
            return os.waitpid(child.pid, 0)[1]
        except ChildProcessError:  # the program around us takes leave of every child itself
            return 0


class Turns:
    """So many turns, which this process and its children take one by one: one that is taken is gone for all.

    Each is a byte in a pipe; at least ``MAXIMUM_TURNS`` of them find room (pipe(7)).

    Raises:
        OSError: the system has no room for a pipe.
    """

    def __init__(self, turns: int) -> None:
        self._reader, writer = os.pipe()
        try:
            os.write(writer, bytes(min(turns, MAXIMUM_TURNS)))
        finally:
            os.close(writer)  # so that who comes when all are taken meets the end

    def take(self) -> bool:
        """Take a turn; false when there is none left."""
        return bool(os.read(self._reader, 1))

    def close(self) -> None:
        """Comes last in this process, and does not matter to the others."""
        os.close(self._reader)


class _Child:
    """One process, seen from its parent."""

    def __init__(self, number: int, where: str, pid: int, descriptor: int) -> None:
        self.number, self.pid, self.descriptor = number, pid, descriptor
        self._where = where
        self._received = bytearray()
        self._last: tuple[bytes, bytes] | None = None

    def receive(self) -> bool:
        """Read what there is; false at the end."""
        data = os.read(self.descriptor, 1 << 16)
        self._received += data
        return bool(data)

    def progress(self) -> Iterator[int]:
        """The amounts among what was received; what else there is waits."""
        while len(self._received) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._received)
            if length > MAXIMUM_MESSAGE:
                raise ChildLost("the process that works on it sent nonsense", where=self._where)
            end = _HEAD.size + length
            if len(self._received) < end:
                return
            data = bytes(self._received[_HEAD.size : end])
            del self._received[:end]
            if kind == _PROGRESS:
                yield _AMOUNT.unpack(data)[0]
            else:
                self._last = kind, data

    def result(self, status: int) -> bytes:
        """What the work gave back; raises what it raised."""
        if self._last is None:
            raise ChildLost(
                f"the process that works on it was ended ({_reason(status)})",
                where=self._where,
                advice="see whether the machine is out of memory, and try again",
            )
        kind, data = self._last
        if kind == _FAILED:
            raise _error(data)
        return data


def _reason(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _work(work: Work, descriptor: int, mask: set[signal.Signals] | set[int]) -> NoReturn:
    """The whole life of a child. It never returns: what its parent would do next is the parent's."""
    try:
        gc.disable()  # it lives shortly, and collecting would copy every page that it shares
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sender = _Sender(descriptor)
        try:
            sender.send(_DONE, work(sender.report))
        except BaseException as error:
            sender.send(_FAILED, _described(error))  # fails, and nobody cares, when the parent is gone
    finally:
        os._exit(0)


class _Sender:
    """One process, seen from itself."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._amount = 0
        self._sent = time.monotonic()

    def report(self, amount: int) -> None:
        """So much more is done. Raises BrokenPipeError when the parent is gone."""
        self._amount += amount
        now = time.monotonic()
        if now - self._sent >= PROGRESS_SECONDS:
            self._sent = now
            self._flush()

    def send(self, kind: bytes, data: bytes) -> None:
        """The last message."""
        self._flush()
        self._write(kind, data)

    def _flush(self) -> None:
        amount, self._amount = self._amount, 0
        self._write(_PROGRESS, _AMOUNT.pack(amount))

    def _write(self, kind: bytes, data: bytes) -> None:
        message = memoryview(_HEAD.pack(kind, len(data)) + data)
        while message:
            message = message[os.write(self._descriptor, message) :]


def _described(error: BaseException) -> bytes:
    """An error as bytes; long texts are cut."""
    import json
    import traceback

    words = (f"{type(error).__name__}: {error}", "", "")
    if isinstance(error, ImageScanError):
        words = (error.message, error.where, error.advice)
    trace = "".join(traceback.format_exception(error))
    return json.dumps([_name(type(error)), *(text[:20_000] for text in (*words, trace))]).encode()


def _error(data: bytes) -> Exception:
    """The error that a child described, of the same class if that is ours."""
    import json

    name, message, where, advice, trace = json.loads(data)
    kinds: list[type[ImageScanError]] = [ImageScanError]
    error: Exception = UnexpectedError(message)
    for kind in kinds:
        if _name(kind) == name:
            error = kind.__new__(kind)
            ImageScanError.__init__(error, message, where=where, advice=advice)
            break
        kinds += kind.__subclasses__()
    error.add_note(f"In a process of its own:\n{trace}")
    return error


def _name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
