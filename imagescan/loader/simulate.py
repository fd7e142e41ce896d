"""The door of the room: a file of the image enters, its link map leaves.

Chooses the loader per file (PT_INTERP for programs; libc, ABI and the image's own programs for
libraries), lets the kernel refuse first, and remembers every answer. Follows ``loader.md``
sections 1 to 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import Credentials, FileEntry, RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.binding import Binder
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.closures import closure_table
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.glibc_loader import GlibcLoader
from imagescan.loader.identify import (
    identify_loader,
    kernel_refusal,
    libc_flavour,
    loader_refusal,
    standard_interpreter,
    static_refusal,
)
from imagescan.loader.musl import MuslLoader
from imagescan.loader.process import LoaderProcess
from imagescan.loader.running import RunningPrograms
from imagescan.loader.shared_openings import SharedOpenings
from imagescan.loader.values import (
    BriefLinkMap,
    How,
    LinkProblems,
    LoadedObject,
    LoaderFault,
    LoaderIdentity,
    LoaderKind,
    WholeLinkMap,
)

REMEMBERED_REQUESTS = 10_000  # of the whole link maps remembered; others are made again when asked for

_Abi = tuple[int, int, bool]


class Simulation:
    """What the dynamic loaders of one image would do in one process environment."""

    def __init__(
        self, filesystem: RootFilesystem, environment: ProcessEnvironment, binder: Binder | None = None
    ) -> None:
        self._filesystem = filesystem
        self._environment = environment
        self._binder = binder or Binder(is_musl=False)
        self._link_maps: dict[object, WholeLinkMap] = {}
        self._requests = 0
        self._identities: dict[str, LoaderIdentity] = {}
        self._loaders: dict[str, GlibcLoader | MuslLoader | None] = {}
        self._common: dict[_Abi, Counter[str]] | None = None
        self._running = RunningPrograms()
        self._elevated: dict[Credentials, Simulation] = {}
        self._openings: Sequence[SharedOpenings] = ()

    def on(self, environment: ProcessEnvironment) -> Simulation:
        """The same image in another process environment. Which symbols glibc finds in which files does not
        depend on it, and is shared."""
        return Simulation(self._filesystem, environment, self._binder)

    def forget(self) -> None:
        """Give back the memory of what is remembered: it is worked out again when somebody asks."""
        self._link_maps.clear()
        self._requests = 0
        self._running = RunningPrograms()
        self._elevated.clear()
        self._openings = ()
        self._binder.close_files()
        for loader in self._loaders.values():
            if isinstance(loader, GlibcLoader):
                loader.forget_searches()

    def link_map(self, path: ImagePath) -> WholeLinkMap:
        """What loading one ELF file does. A static or foreign file has no loader and only itself.

        Raises:
            KeyError: the path does not lead to an ELF file.
        """
        return self._remembered(path, partial(self.simulate, path))

    def simulate(self, path: ImagePath) -> WholeLinkMap:
        """``link_map`` without remembering it."""
        return self._make(*self._elf(path))

    def _remembered(self, asked: object, make: Callable[[], WholeLinkMap]) -> WholeLinkMap:
        found = self._link_maps.get(asked)
        if found is None:
            found = self._link_maps[asked] = make()
            self._requests += 1 + len(found.resolutions)
            while self._requests > REMEMBERED_REQUESTS:
                oldest = self._link_maps.pop(next(iter(self._link_maps)))
                self._requests -= 1 + len(oldest.resolutions)
        return found

    def plugin_map(self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> BriefLinkMap:
        """What happens when a program opens shared objects by their paths (``dlopen``), one after
        the other: the answer for the last of them.

        The link map holds the program's objects too; requests, versions, symbols and faults are
        those of the last plugin and what it brings in. ``now`` says whether the program binds all
        symbols at once (RTLD_NOW) or lazily.

        Raises:
            KeyError: a path does not lead to an ELF file, or nothing starts the program.
        """

        def remake(program: ImagePath) -> WholeLinkMap:
            return self.whole_plugin_map(host, plugins, now)

        for one in self._openings if len(plugins) == 1 else ():
            known = one.problems(host, plugins[0], now=now)
            if known is not None:
                return BriefLinkMap(plugins[0], one.loader, known, remake)
        identity, process = self._before_last(host, plugins, now)
        program, problems = process.opening(*self._elf(plugins[-1]), now=now)
        return BriefLinkMap(program, identity, problems, remake)

    def whole_plugin_map(self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> WholeLinkMap:
        """``plugin_map`` with every object and request, remembered for a while.

        Raises:
            KeyError: a path does not lead to an ELF file, or nothing starts the program.
        """
        return self._remembered((host, plugins, now), lambda: self._open_plugins(host, plugins, now))

    def _open_plugins(self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> WholeLinkMap:
        _, process = self._before_last(host, plugins, now)
        return process.dlopen(*self._elf(plugins[-1]), now=now)

    def _before_last(
        self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool
    ) -> tuple[LoaderIdentity, LoaderProcess]:
        """A program that has opened all plugins but the last."""
        start = self._elf(host)
        before = [self._elf(plugin) for plugin in plugins[:-1]]
        identity = self._identity(start[1].interpreter) if start[1].interpreter else None
        loader = self._loader(identity) if identity else None
        if identity is None or loader is None:
            raise KeyError(host)
        process = self._running.after(host, lambda: loader.start(*start, is_program=True), before, now=now)
        return identity, process

    def _elf(self, path: ImagePath) -> tuple[FileEntry, ElfFacts]:
        entry = self._filesystem.resolve(path).entry
        if entry is None or not isinstance(entry.content, ElfFacts):
            raise KeyError(path)
        return entry, entry.content

    def _make(self, entry: FileEntry, elf: ElfFacts) -> WholeLinkMap:
        is_program = elf.kind == ElfKind.PROGRAM
        identity = self._serving(elf)
        if identity is None:
            return _alone(entry, elf, None, environment=self._environment)
        refusal = kernel_refusal(elf, identity, self._environment)
        if refusal is not None:
            return _alone(entry, elf, identity, refusal if is_program else None)
        elevated = self._environment.elevated_by(entry) if is_program else None
        if elevated is not None:
            return self._with_rights(elevated).link_map(entry.path)
        loader = self._loader(identity)
        if loader is None:
            return _alone(entry, elf, identity)
        too_old = loader_refusal(self._filesystem, identity, self._environment)
        if too_old is not None:
            return _alone(entry, elf, identity, fault=too_old)
        process = loader.start(entry, elf, is_program=is_program)
        link_map = process.run()
        if not elf.dlopen_notes:
            return link_map
        return replace(link_map, problems=replace(link_map.problems, optional_missing=process.announced()))

    def _with_rights(self, environment: ProcessEnvironment) -> Simulation:
        """The same for programs that run with the rights of their file, one for each set of rights."""
        found = self._elevated.get(environment.credentials)
        if found is None:
            found = self._elevated[environment.credentials] = self.on(environment)
        return found

    def _serving(self, elf: ElfFacts) -> LoaderIdentity | None:
        """The loader that a file asks for, or that would load it; it may be missing."""
        is_program = elf.kind == ElfKind.PROGRAM
        interpreter = elf.interpreter if is_program else self._library_interpreter(elf)
        return None if interpreter is None else self._identity(interpreter)

    def glibc_loader(self, elf: ElfFacts) -> GlibcLoader | None:
        """The glibc loader that takes a file; None where another does, or none can start."""
        identity = self._serving(elf)
        if identity is None or kernel_refusal(elf, identity, self._environment) is not None:
            return None
        if loader_refusal(self._filesystem, identity, self._environment) is not None:
            return None
        loader = self._loader(identity)
        return loader if isinstance(loader, GlibcLoader) else None

    def closures(self) -> ClosureTable:
        """The link maps of all ELF files of the image, without their details.

        Raises:
            LimitExceeded: together they have more entries than ``closures.MAXIMUM_EDGES``.
        """
        table, self._openings = closure_table(self, self._filesystem.contents(), self._environment)
        return table

    def _identity(self, interpreter: str) -> LoaderIdentity:
        found = self._identities.get(interpreter)
        if found is None:
            found = identify_loader(self._filesystem, self._environment, interpreter)
            self._identities[interpreter] = found
        return found

    def _loader(self, identity: LoaderIdentity) -> GlibcLoader | MuslLoader | None:
        if identity.requested not in self._loaders:
            self._loaders[identity.requested] = self._make_loader(identity)
        return self._loaders[identity.requested]

    def _make_loader(self, identity: LoaderIdentity) -> GlibcLoader | MuslLoader | None:
        if identity.elf is None or identity.elf.loader_strings is None:
            return None
        if identity.kind == LoaderKind.GLIBC:
            return GlibcLoader(self._filesystem, self._environment, identity, identity.elf, self._binder)
        return MuslLoader(self._filesystem, self._environment, identity, self._musl_itself(identity.elf))

    def _musl_itself(self, elf: ElfFacts) -> ElfFacts:
        """The musl behind gcompat's stub, which only starts it; any other loader is itself."""
        interpreter = standard_interpreter(elf, LoaderKind.MUSL)
        if elf.loader_strings is None or not elf.loader_strings.is_gcompat_stub or interpreter is None:
            return elf
        return self._identity(interpreter).elf or elf

    def _library_interpreter(self, elf: ElfFacts) -> str | None:
        """The loader that would load a shared object here: that of its libc if the image has it,
        else the one that most programs of its ABI ask for."""
        if elf.kind not in (ElfKind.LIBRARY, ElfKind.PROGRAM):
            return None
        flavour = libc_flavour(elf)
        common = self._common_interpreters().get(_abi(elf), Counter())
        for interpreter, _ in common.most_common():
            if flavour in (None, self._identity(interpreter).kind):
                return interpreter
        for kind in (flavour,) if flavour else (LoaderKind.GLIBC, LoaderKind.MUSL):
            standard = standard_interpreter(elf, kind)
            if standard is not None and self._identity(standard).elf is not None:
                return standard
        return None

    def _common_interpreters(self) -> dict[_Abi, Counter[str]]:
        """How often the image's programs ask for each interpreter that exists, by ABI."""
        if self._common is None:
            self._common = {}
            for entry in self._filesystem.contents():
                elf = entry.content
                if isinstance(elf, ElfFacts) and elf.kind == ElfKind.PROGRAM and elf.interpreter:
                    identity = self._identity(elf.interpreter)
                    if identity.elf is not None and identity.elf.loader_strings is not None:
                        self._common.setdefault(_abi(elf), Counter())[elf.interpreter] += 1
        return self._common


def _abi(elf: ElfFacts) -> _Abi:
    return elf.machine, elf.elf_class, elf.little_endian


def _alone(
    entry: FileEntry,
    elf: ElfFacts,
    identity: LoaderIdentity | None,
    refusal: tuple[str, str] | None = None,
    fault: LoaderFault | None = None,
    environment: ProcessEnvironment | None = None,
) -> WholeLinkMap:
    only = LoadedObject(entry.path, entry.path, entry.inode, elf, entry.path, -1, How.PROGRAM)
    faults = [fault] if fault else []
    if elf.kind == ElfKind.STATIC and environment is not None:
        too_old = static_refusal(entry.path, elf, environment)
        faults += [too_old] if too_old else []
    if elf.kind == ElfKind.STATIC and elf.needed:
        # The kernel starts it, nobody loads what it needs, and the first call goes astray.
        faults.append(LoaderFault("no-interpreter", entry.path, "Segmentation fault"))
    problems = LinkProblems(faults=tuple(faults), interpreter_fault=refusal)
    return WholeLinkMap(entry.path, identity, (only,), (), problems)
