"""One trap's tree, laid over every real loader's root, and the question put to both sides.

A ``Scene`` records what is put into the tree (and removed from it), makes the same tree over the base
of each loader that is asked, runs the program there for real, and gives imagescan the base and the
difference as two layers. A test asserts what the outcome is; the scene fails when the real loader says
otherwise, and raises ``ModelDisagrees`` when only imagescan does.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath, LayerIndex
from imagescan.loader.values import LinkMap
from tests.loader import compile as compiler
from tests.loader.compile import GLIBC_INTERPRETER, MUSL_INTERPRETER, Need
from tests.loader.loaders import Loader, base
from tests.loader.outcome import Outcome, of_link_map, of_run
from tests.oracle.chroot import Ended, execute
from tests.oracle.model import environment, host_cpu
from tests.oracle.roots import root as whole_root
from tests.oracle.truth import inside

CAPABILITY = "security.capability"
OBSERVERS: list[
    Callable[[Loader, Path, str, Outcome, Mapping[str, str], str, bool], None]
] = []  # of real starts


class ModelDisagrees(AssertionError):
    """The real loader does what the test says; imagescan says something else."""


class Scene:
    """Files of one trap; paths are those inside the root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._steps: list[Callable[[Path, Loader], object]] = []
        self._roots: dict[Loader, tuple[Path, int]] = {}
        self._views: dict[Loader, tuple[RootFilesystem, int]] = {}

    def library(
        self,
        path: str,
        needs: Sequence[str | Need] = (),
        *,
        soname: str | None = "",
        change: Callable[[bytes], bytes] = bytes,
        mode: int = 0o755,
        **options: object,
    ) -> bytes:
        """Put a shared object at ``path``; its soname is its file name unless told otherwise."""
        name = path.rsplit("/", 1)[-1] if soname == "" else soname
        made = change(compiler.library(path, soname=name, needs=needs, **options))  # type: ignore[arg-type]
        self.file(path, made, mode)
        return made

    def program(
        self,
        path: str,
        needs: Sequence[str | Need] = (),
        *,
        change: Callable[[bytes], bytes] = bytes,
        mode: int = 0o755,
        **options: object,
    ) -> bytes:
        """Put a program at ``path``, and its twin that asks for musl at ``path``.musl."""
        made = change(compiler.program(needs=needs, **options))  # type: ignore[arg-type]
        self.file(path, made, mode)
        if "interpreter" not in options:
            self.file(path + ".musl", compiler.with_interpreter(made, MUSL_INTERPRETER.encode()), mode)
        return made

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file, replacing what is there."""

        def step(root: Path, _: Loader) -> None:
            target = _place(root, path)
            target.unlink(missing_ok=True)
            target.write_bytes(content)
            target.chmod(mode)

        self._do(step)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link."""
        self._do(lambda root, _: _place(root, path).symlink_to(target))

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Put a directory, or set the mode of one."""

        def step(root: Path, _: Loader) -> None:
            target = _place(root, path)
            target.mkdir(exist_ok=True)
            target.chmod(mode)

        self._do(step)

    def remove(self, *paths: str) -> None:
        """Remove files or whole directories; what is not there is no error."""

        def step(root: Path, _: Loader) -> None:
            for path in paths:
                target = _place(root, path)
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

        self._do(step)

    def move(self, old: str, new: str) -> None:
        """Move a file or directory."""
        self._do(lambda root, _: _place(root, old).rename(_place(root, new)))

    def mode(self, path: str, mode: int) -> None:
        """Set the mode of a file of the trap (not of one that the base brought)."""
        self._do(lambda root, _: _place(root, path).chmod(mode))

    def capability(self, path: str) -> None:
        """Give a file CAP_NET_RAW, permitted and effective."""
        value = bytes.fromhex("0100000200200000000000000000000000000000")
        self._do(lambda root, _: os.setxattr(_place(root, path), CAPABILITY, value))

    def ldconfig(self, *arguments: str) -> None:
        """Make the loader cache with the ldconfig of each glibc."""

        def step(root: Path, loader: Loader) -> None:
            if loader.family == "glibc":
                ended = execute(root, "/sbin/ldconfig", arguments)
                assert ended.code == 0, ended.err

        self._do(step)

    def copy(self, path: str, original: str, loader: Loader | None = None) -> None:
        """Copy a file inside the root, or out of another loader's base."""

        def step(root: Path, _: Loader) -> None:
            target = _place(root, path)
            target.unlink(missing_ok=True)
            shutil.copy2(inside(base(loader.suite) if loader else root, original), target)

        self._do(step)

    def edit(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change the bytes of a file that each root has (such as its own loader cache)."""

        def step(root: Path, _: Loader) -> None:
            target = inside(root, path)
            content, mode = target.read_bytes(), target.stat().st_mode
            target.unlink()
            target.write_bytes(change(content))
            target.chmod(mode)

        self._do(step)

    def expect(
        self,
        program: str,
        expected: Outcome,
        on: Iterable[Loader],
        *,
        variables: Mapping[str, str] | None = None,
        directory: str = "/",
        uid: int = 0,
        cpu: tuple[str, ...] | None = None,
        proc: bool = True,
        interpreter: str = "",
        model: Outcome | None = None,
    ) -> None:
        """Assert that the real loaders end with ``expected``, and that imagescan says the same.

        ``model`` replaces what imagescan is expected to say, where only part of the outcome is its business.
        """
        lies: list[str] = []
        for loader in on:
            musl = loader.family == "musl"
            path = self.twin(program, loader)
            real = of_run(
                self.run(loader, path, variables=variables, directory=directory, uid=uid, proc=proc),
                interpreter or (MUSL_INTERPRETER if musl else GLIBC_INTERPRETER),
            )
            assert real == expected, f"the real {loader} on {path}: {real}, not {expected}"
            claimed = of_link_map(
                self.link_map(loader, path, variables=variables, directory=directory, uid=uid, cpu=cpu)
            )
            for observe in OBSERVERS:
                observe(
                    loader,
                    self.root(loader),
                    path,
                    real,
                    variables or {},
                    directory,
                    claimed == (model or expected),
                )
            if claimed != (model or expected):
                lies.append(
                    f"{loader} on {path}:\n  expected {model or expected}\n  imagescan says {claimed}"
                )
        if lies:
            raise ModelDisagrees("\n".join(lies))

    def claim(self, holds: bool, what: str) -> None:
        """Assert what imagescan alone says, after the real loaders were asked."""
        if not holds:
            raise ModelDisagrees(what)

    def run(
        self,
        loader: Loader,
        program: str,
        arguments: Sequence[str] = (),
        *,
        variables: Mapping[str, str] | None = None,
        directory: str = "/",
        uid: int = 0,
        proc: bool = True,
    ) -> Ended:
        """Execute a program for real under one loader."""
        return execute(
            self.root(loader),
            program,
            arguments,
            environment=variables,
            directory=directory,
            uid=uid,
            proc=proc,
        )

    def link_map(
        self,
        loader: Loader,
        program: str,
        *,
        variables: Mapping[str, str] | None = None,
        directory: str = "/",
        uid: int = 0,
        cpu: tuple[str, ...] | None = None,
        kernel: tuple[int, int, int] | None = None,
    ) -> LinkMap:
        """What imagescan says about one program over one loader's base."""
        from imagescan.loader.simulate import Simulation

        levels = host_cpu(whole_root("trixie")) if cpu is None else cpu
        process = environment(dict(variables or {}), directory=directory, uid=uid, cpu=levels, kernel=kernel)
        return Simulation(self.filesystem(loader), process).link_map(ImagePath(program))

    def twin(self, program: str, loader: Loader) -> str:
        """The program, or its musl twin where there is one and a musl is asked."""
        musl = program + ".musl"
        there = loader.family == "musl" and os.path.lexists(_place(self.root(loader), musl))
        return musl if there else program

    def root(self, loader: Loader) -> Path:
        """The tree over one loader's base, with every step done."""
        root, done = self._roots.get(loader, (self._directory / f"{loader.family}-{loader.suite}", 0))
        if done == 0 and not root.exists():
            shutil.copytree(base(loader.suite), root, symlinks=True, copy_function=hard_link)
        for step in self._steps[done:]:
            step(root, loader)
        self._roots[loader] = (root, len(self._steps))
        return root

    def filesystem(self, loader: Loader) -> RootFilesystem:
        """The merged view of the base and of what the steps changed."""
        root = self.root(loader)
        view, done = self._views.get(loader, (None, 0))
        if view is None or done != len(self._steps):
            view = merged(loader.suite, difference(base(loader.suite), root))
            self._views[loader] = (view, len(self._steps))
        return view

    def _do(self, step: Callable[[Path, Loader], object]) -> None:
        self._steps.append(step)


def _place(root: Path, path: str) -> Path:
    """Where to put a file: its directory is made, symlinks in its path are the root's own."""
    directory, _, name = path.rpartition("/")
    outside = inside(root, directory)
    outside.mkdir(parents=True, exist_ok=True)
    return outside / name


def hard_link(source: str, target: str) -> str:
    """Link where the file system can, copy where it cannot: shutil's ``copy_function``."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def difference(lower: Path, upper: Path) -> bytes:
    """The tar of a layer that makes ``upper`` out of ``lower``: what is new or changed, and whiteouts."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for directory, names, files in os.walk(upper):
            for name in sorted((*names, *files)):
                path = Path(directory, name)
                inner = path.relative_to(upper)
                if not _same(lower / inner, path):
                    tar.addfile(*_member(tar, path, str(inner)))
        for directory, names, files in os.walk(lower):
            for name in (*names, *files):
                inner = Path(directory, name).relative_to(lower)
                if not os.path.lexists(upper / inner) and os.path.lexists(upper / inner.parent):
                    tar.addfile(tarfile.TarInfo(str(inner.parent / f".wh.{name}")))
    return stream.getvalue()


def _same(lower: Path, upper: Path) -> bool:
    try:
        old, new = lower.lstat(), upper.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(new.st_mode):
        return stat.S_ISLNK(old.st_mode) and lower.readlink() == upper.readlink()
    if stat.S_ISDIR(new.st_mode):
        return old.st_mode == new.st_mode
    return (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino) or (
        old.st_mode == new.st_mode and old.st_size == new.st_size and lower.read_bytes() == upper.read_bytes()
    )


def _member(tar: tarfile.TarFile, path: Path, name: str) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    member = tar.gettarinfo(path, name)
    if member.isreg():
        try:
            value = os.getxattr(path, CAPABILITY)
            member.pax_headers = {f"SCHILY.xattr.{CAPABILITY}": value.decode("utf-8", "surrogateescape")}
        except OSError:
            pass
        return member, io.BytesIO(path.read_bytes())
    return member, None


def merged(suite: str, upper: bytes) -> RootFilesystem:
    """imagescan's own view of a base and the layer on it."""
    from imagescan.content import FileInspector
    from imagescan.filesystem.merge import merge
    from imagescan.layers.index import index_layer

    return merge([_base_index(suite), index_layer(io.BytesIO(upper), None, FileInspector())])


@cache
def _base_index(suite: str) -> LayerIndex:
    from imagescan.content import FileInspector
    from imagescan.layers.index import index_layer

    nothing = base(suite).with_name("nothing")
    return index_layer(io.BytesIO(difference(nothing, base(suite))), None, FileInspector())
