"""What imagescan says of a root file system: the real rooms, from a directory to its link maps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from imagescan.content import FileInspector
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import Credentials, RootFilesystem
from imagescan.layers.index import index_layer
from imagescan.layers.values import ImagePath, LayerIndex
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.glibc_loader import GlibcLoader
from imagescan.loader.identify import identify_loader
from imagescan.loader.musl import MuslLoader
from imagescan.loader.process import LoaderProcess
from imagescan.loader.running import Opened, RunningPrograms, opened_anew
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import LinkMap, LoaderKind
from imagescan.sources.directory import DirectorySource
from tests.oracle.chroot import execute
from tests.oracle.truth import AMD64


def filesystem(*roots: Path) -> RootFilesystem:
    """The merged view of directories taken as layers, the lowest first."""
    return merge([layer(root) for root in roots])


def layer(root: Path) -> LayerIndex:
    """The index of one directory as the only layer of an image."""
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        with source.open_layer(image, image.layers[0]) as stream:
            return index_layer(stream, None, FileInspector())


def environment(
    variables: dict[str, str] | None = None,
    *,
    directory: str = "/",
    uid: int = 0,
    cpu: tuple[str, ...] = (),
    kernel: tuple[int, int, int] | None = None,
) -> ProcessEnvironment:
    """A process of this machine: its kernel unless told otherwise, and the CPU levels given."""
    release = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", os.uname().release)
    assert release is not None
    running = (int(release[1]), int(release[2]), int(release[3] or 0))
    return ProcessEnvironment(
        variables or {},
        directory,
        Credentials(uid, (uid,)),
        cpu,
        cpu_stated=True,
        kernel=kernel or running,
        kernel_stated=True,
    )


def link_map_under(interpreter: str, view: RootFilesystem, process: ProcessEnvironment, file: str) -> LinkMap:
    """What imagescan says of a shared object under a loader that nobody would choose for it."""
    entry = view.resolve(file).entry
    identity = identify_loader(view, process, interpreter)
    assert entry is not None and isinstance(entry.content, ElfFacts) and identity.elf is not None
    kind = MuslLoader if identity.kind == LoaderKind.MUSL else GlibcLoader
    return kind(view, process, identity, identity.elf).start(entry, entry.content, is_program=False).run()


def unlike_single(view: RootFilesystem, process: ProcessEnvironment) -> Iterator[str]:
    """Where the closures that files share differ from the simulation of each file by itself."""
    closures = Simulation(view, process).closures()
    single = Simulation(view, process)
    for path in closures.programs():
        one = single.link_map(path)
        for what, shared, alone in (
            ("objects", [*closures.objects(path)], [loaded.real for loaded in one.objects]),
            ("names", [*closures.requested(path)], [loaded.requested for loaded in one.objects]),
            ("problems", closures.problems_of(path), one.problems),
            ("loader", closures.loader_of(path), one.loader),
        ):
            if shared != alone:
                yield f"shared {what} of {path}: {shared!r}, by itself {alone!r}"


def unlike_anew(
    view: RootFilesystem,
    process: ProcessEnvironment,
    openings: Iterable[tuple[ImagePath, tuple[ImagePath, ...], bool]],
) -> Iterator[str]:
    """Where programs that have run before open plugins otherwise than those that are started for them.

    Each opening is a program, the files that it opens one after the other, and whether it binds at once.
    """
    quick = Simulation(view, process)
    quick.closures()  # which tell of many plugins
    for opening in openings:
        slow = Simulation(view, process)
        slow._running = _StartedAnew()
        brief, whole, anew = (
            quick.plugin_map(*opening),
            quick.whole_plugin_map(*opening),
            slow.whole_plugin_map(*opening),
        )
        if whole != anew or (brief.program, brief.problems) != (anew.program, anew.problems):
            yield f"{opening}: {brief.problems} and {whole}, started anew {anew}"


class _StartedAnew(RunningPrograms):
    """Programs that are started, and open all files again, for each file."""

    def after(
        self,
        host: ImagePath,
        start: Callable[[], LoaderProcess],
        before: Sequence[Opened],
        *,
        now: bool,
    ) -> LoaderProcess:
        return opened_anew(start, before, now=now)


@cache
def host_cpu(root: Path) -> tuple[str, ...]:
    """The glibc-hwcaps names that this machine enables, best first, as a root's loader says."""
    listing = execute(root, AMD64.glibc, ["--help"]).out
    return tuple(re.findall(r"^  (\S+) \(supported, searched\)$", listing, re.M))
