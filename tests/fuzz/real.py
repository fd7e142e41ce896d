"""Ask real loaders: a tree enters, what the loader printed leaves.

One helper process per suite, forked once, lives in a root file system of its own (a tmpfs in its own
mount namespace, with the suite's loaders, libc and ldconfig, and /proc). It lays a tree down, has
ldconfig write the cache, runs the program a few times and takes everything away again.
"""

from __future__ import annotations

import ctypes
import io
import os
import pickle
import resource
import signal
import stat
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.elf_writer import MUSL_INTERPRETER
from tests.fuzz.tree import PROGRAM, Entry, Tree
from tests.loader.loaders import base

TIMEOUT = 20  # seconds; a loader answers in milliseconds
_CACHE = "/etc/ld.so.cache"
_KEPT_OUT = ("/bin", "/usr/bin", "/etc/ld-musl-x86_64.path", "/opt", "/tmp", "/etc/ld.so.conf.d")
_NOTHING = os.open("/dev/null", os.O_RDONLY)  # the helper has no /dev
# Intel's processors name directories of their own up to glibc 2.36 ($PLATFORM is haswell there).
_BASELINE = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512CD"}
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 16384, 1 << 18


@dataclass(frozen=True, slots=True)
class Run:
    """How one run ended; ``code`` is negative for a signal."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a loader said: when asked to list (``lazy``, as configured; ``eager``, with every symbol)
    and when the program was started. ``cache`` is what ldconfig wrote."""

    lazy: Run
    eager: Run
    start: Run
    cache: bytes | None


@cache
def base_tar(suite: str) -> bytes:
    """The base of one suite as a layer, without what trees bring themselves."""
    root = base(suite)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for directory, names, files in os.walk(root):
            for name in sorted((*names, *files)):
                path = Path(directory, name)
                inner = "/" + str(path.relative_to(root))
                if not inner.startswith(_KEPT_OUT):
                    archive.add(path, inner.lstrip("/"), recursive=False)
    return stream.getvalue()


class RealLoader:
    """The helper process of one suite; a context manager."""

    def __init__(self, suite: str) -> None:
        self._base = base_tar(suite)
        self._root = tempfile.mkdtemp(prefix="imagescan-fuzz-")
        requests, answers = os.pipe(), os.pipe()
        self._helper = os.fork()
        if self._helper == 0:
            os.close(requests[1])
            os.close(answers[0])
            _serve(self._base, self._root, os.fdopen(requests[0], "rb"), os.fdopen(answers[1], "wb"))
        os.close(requests[0])
        os.close(answers[1])
        self._requests = os.fdopen(requests[1], "wb")
        self._answers = os.fdopen(answers[0], "rb")

    def __enter__(self) -> RealLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._answers.close()
        os.waitpid(self._helper, 0)
        os.rmdir(self._root)

    def ask(self, tree: Tree) -> Answer:
        """Everything that the loader says about one tree.

        Raises:
            RuntimeError: the helper could not lay the tree down.
        """
        _send(self._requests, tree)
        answer = _receive(self._answers)
        if not isinstance(answer, Answer):
            raise RuntimeError(f"the helper failed: {answer}")
        return answer


def _send(stream: Any, value: object) -> None:
    data = pickle.dumps(value)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def _receive(stream: Any) -> object:
    head = stream.read(8)
    return pickle.loads(stream.read(struct.unpack("<Q", head)[0])) if len(head) == 8 else None


def _serve(layer: bytes, root: str, requests: Any, answers: Any) -> None:
    """The helper's life; it never returns."""
    try:
        _enter(layer, root)
        while (tree := _receive(requests)) is not None:
            try:
                reply: object = _answer(tree)
            except Exception as error:  # the parent shows it
                reply = f"{type(error).__name__}: {error}"
            _send(answers, reply)
    finally:
        os._exit(0)


def _enter(layer: bytes, root: str) -> None:
    """Make a root file system of our own and go into it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function: Callable[..., int], *arguments: object) -> None:
        if function(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{function}")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0)
    call(libc.unshare, _CLONE_NEWNS)
    call(libc.mount, b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    call(libc.mount, b"tmpfs", root.encode(), b"tmpfs", 0, b"mode=755")
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        archive.extractall(root, filter="fully_trusted")
    Path(root, "proc").mkdir(exist_ok=True)
    call(libc.mount, b"proc", f"{root}/proc".encode(), b"proc", 0, None)
    b"".decode("utf-8", "surrogateescape")
    os.chroot(root)
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(tree: Tree) -> Answer:
    laid: list[str] = []
    try:
        for entry in tree.entries:
            _lay(entry, laid)
        written = _ldconfig(laid) if tree.cached else None
        for path in tree.stale:
            os.unlink(path)
        if tree.musl:
            listed = _run(tree, [MUSL_INTERPRETER, "--list", PROGRAM], {})
            return Answer(listed, listed, _run(tree, [PROGRAM], {}), written)
        trace = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "1"}
        return Answer(
            _run(tree, [PROGRAM], trace),
            _run(tree, [PROGRAM], trace | {"LD_BIND_NOW": "1"}),
            _run(tree, [PROGRAM], {"LD_DEBUG": "scopes"}),
            written,
        )
    finally:
        _take_away(laid)


def _lay(entry: Entry, laid: list[str]) -> None:
    parent = os.path.dirname(entry.path)
    assert os.path.realpath(parent) == parent, f"{parent} is not canonical"
    missing = []
    while not os.path.lexists(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        os.mkdir(directory, 0o755)
        laid.append(directory)
    if entry.kind == "directory" and os.path.isdir(entry.path):
        os.chmod(entry.path, entry.mode)
        return
    if entry.kind == "directory":
        os.mkdir(entry.path)
    elif entry.kind == "link":
        os.symlink(entry.target, entry.path)
    elif entry.kind == "hardlink":
        os.link(entry.target, entry.path, follow_symlinks=False)
    else:
        descriptor = os.open(entry.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, entry.content())
        os.close(descriptor)
    laid.append(entry.path)
    if entry.kind not in ("link", "hardlink"):
        os.chmod(entry.path, entry.mode)


def _ldconfig(laid: list[str]) -> bytes:
    command = ["/sbin/ldconfig", "-X", "-i"]
    with _memory() as output:
        subprocess.run(
            command, env={}, stdin=_NOTHING, stdout=output, stderr=output, timeout=TIMEOUT, check=False
        )
    laid.append(_CACHE)
    with open(_CACHE, "rb") as file:
        return file.read()


def _take_away(laid: list[str]) -> None:
    for path in reversed(laid):
        if not os.path.lexists(path):
            continue
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)


def _run(tree: Tree, command: list[str], extra: Mapping[str, str]) -> Run:
    user = {"user": tree.uid, "group": tree.uid, "extra_groups": []} if tree.uid else {}
    with _memory() as out, _memory() as err:
        ended = subprocess.run(
            command,
            env=dict(tree.variables) | dict(extra) | _BASELINE,
            cwd=tree.directory,
            stdin=_NOTHING,
            stdout=out,
            stderr=err,
            timeout=TIMEOUT,
            check=False,
            **user,  # type: ignore[call-overload]
        )
        return Run(ended.returncode, _text(out), _text(err))


def _memory() -> Any:
    return os.fdopen(os.memfd_create("output"), "w+b", buffering=0)


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode("utf-8", "surrogateescape"))


def lines(run: Run) -> Iterator[str]:
    """Every line that a run printed."""
    yield from run.out.splitlines()
    yield from run.err.splitlines()
