"""The musl loader: a program enters, its link map leaves.

Mirrors ``load_library``, ``path_open``, ``fixup_rpath`` and ``load_deps`` (ldso/dynlink.c);
``loader.md`` sections 7 and 8. Errors do not end the simulation, as ``ldd`` of musl goes on too.
"""

from __future__ import annotations

import re

from imagescan.content import KeptFile
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry, PathError, RootFilesystem
from imagescan.layers.values import EntryKind, ImagePath
from imagescan.loader.binding import Binder
from imagescan.loader.candidates import judge_for_musl
from imagescan.loader.dlopen import missing_announcements, static_tls_faults
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.gnu_hash import gnu_hash
from imagescan.loader.object_faults import musl_relr_faults
from imagescan.loader.process import LoaderProcess, Mapped, Process, Request
from imagescan.loader.symbol_lookup import UNVERSIONED, DefinedSymbols
from imagescan.loader.tokens import expand_musl
from imagescan.loader.values import (
    How,
    LinkProblems,
    LoaderFault,
    LoaderIdentity,
    Missing,
    OptionalLibrary,
    Outcome,
    SearchStep,
    WholeLinkMap,
)
from imagescan.patterns import pattern

_RESERVED = tuple(f"lib{name}." for name in ("c", "pthread", "rt", "m", "dl", "util", "xnet"))
_DEFAULT_PATH = ("/lib", "/usr/local/lib", "/usr/lib")
_SEPARATORS = pattern("[:\n]")
_CONTINUES = (PathError.ENOENT, PathError.ENOTDIR, PathError.EACCES, PathError.ENAMETOOLONG)
_MAXIMUM_NAME = 255
_GCOMPAT_PRELOAD = "/lib/libgcompat.so.0"
_ABSENT = "No such file or directory"
_ALIASES_SINCE = (1, 2, 4)  # get_lfs64; before, libc exported the names
_LIBC_MARKS = (b"__libc_start_main", b"stdin")
# musl's own strerror, where its words are not glibc's (src/errno/__strerror.h).
_WORDS = {PathError.ELOOP: "Symbolic link loop", PathError.ENAMETOOLONG: "Filename too long"}


class MuslLoader:
    """One musl loader file of an image, reached by one PT_INTERP string."""

    def __init__(
        self,
        filesystem: RootFilesystem,
        environment: ProcessEnvironment,
        identity: LoaderIdentity,
        abi: ElfFacts,
    ) -> None:
        self.filesystem = filesystem
        self.environment = environment
        self.identity = identity
        self.abi = abi
        self.system_path, self.system_source = self._read_system_path()
        self.binder = Binder(
            is_musl=True,
            aliases=abi if identity.version is None or identity.version >= _ALIASES_SINCE else None,
        )

    def start(self, entry: FileEntry, elf: ElfFacts, *, is_program: bool) -> LoaderProcess:
        """Start a program as the kernel does, or load a library as ``ld-musl LIBRARY`` would."""
        return _MuslProcess(self, entry, elf, is_program=is_program)

    def _read_system_path(self) -> tuple[tuple[str, ...], How]:
        """The path file ``PREFIX/etc/ld-musl-ARCH.path``, or the built-in directories where it does
        not exist. One that exists and cannot be used leaves no directory at all."""
        prefix = "/".join(self.identity.requested.split("/")[:-2])
        path = f"{prefix}/etc/ld-musl-{self._architecture()}.path"
        resolution = self.filesystem.resolve(path, who=self.environment.credentials)
        entry = resolution.entry
        if entry is None:
            if resolution.error == PathError.ENOENT:
                return _DEFAULT_PATH, How.DEFAULT
            return (), How.PATH_FILE
        readable = entry.permits(self.environment.credentials, 4)
        data = entry.content.data if isinstance(entry.content, KeptFile) and readable else b""
        text = data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        return split_path(text), How.PATH_FILE

    def _architecture(self) -> str:
        name = self.identity.requested.rpartition("/")[2]
        if name.startswith("ld-musl-"):
            return name.removeprefix("ld-musl-").partition(".so")[0]
        return self.abi.loader_strings.musl_architecture if self.abi.loader_strings else ""


def split_path(text: str) -> tuple[str, ...]:
    """A path list: colons and newlines separate, empty elements are passed over."""
    return tuple(element for element in _SEPARATORS.split(text) if element)


class _MuslProcess:
    """The start-up of one program."""

    def __init__(self, loader: MuslLoader, entry: FileEntry, elf: ElfFacts, *, is_program: bool) -> None:
        self._loader = loader
        self._filesystem = loader.filesystem
        self._environment = loader.environment
        self._secure = is_program and self._environment.is_secure(entry)
        self._process = Process()
        self._faults: list[LoaderFault] = []
        self._main = self._process.add(
            Mapped(entry.path, entry.path, entry.inode, elf, entry.path, None, How.PROGRAM),
            has_identity=False,
        )
        self._self = self._map_self()
        variable = self._environment.variable("LD_LIBRARY_PATH")
        self._library_path = () if self._secure else split_path(variable)

    def run(self) -> WholeLinkMap:
        """Load everything, then relocate everything: musl binds all symbols at start."""
        self.load()
        return self._result(self._main, 0, 0, 0, now=True)

    def load(self) -> None:
        """Load everything that the program needs."""
        self._preload()
        self._load_all_needed(0)

    def dlopen(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> WholeLinkMap:
        """Open a plugin by its path in the running program (``dlopen``): the program is who needs
        it, and calls that a lazy opener leaves unresolved may never be made."""
        known, asked = len(self._process.objects), len(self._process.requests)
        failed = len(self._process.failures)
        plugin = self._process.inodes.get(entry.inode)
        if plugin is None:
            plugin = self._process.add(
                Mapped(entry.path, entry.path, entry.inode, elf, entry.path, self._main, How.DIRECT)
            )
            self._load_all_needed(known)
        return self._result(plugin, known, asked, failed, now=now)

    def opening(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> tuple[ImagePath, LinkProblems]:
        """``dlopen`` without its objects and requests."""
        found = self.dlopen(entry, elf, now=now)
        return found.program, found.problems

    def fork(self) -> LoaderProcess | None:
        """None: requests change the objects that are loaded already (their short names)."""
        return None

    def announced(self) -> tuple[OptionalLibrary, ...]:
        """Look for what ``.note.dlopen`` of the running program announces, as its ``dlopen`` would.
        What is found is loaded, so this comes last."""
        return missing_announcements(
            self._main.elf, lambda name: self._load_library(name, self._main).missing is None
        )

    def _load_all_needed(self, first: int) -> None:
        """Breadth-first over the list, which grows at its end meanwhile."""
        position = first
        while position < len(self._process.objects):
            one = self._process.objects[position]
            for name in one.elf.needed:
                self._process.note(self._load_library(name, one))
            position += 1

    def _result(self, of: Mapped, known: int, asked: int, failed: int, *, now: bool) -> WholeLinkMap:
        """The link map, with checks of the objects from position ``known`` on only, and the requests after
        those that were ``asked``, of which some had ``failed``, before."""
        objects, resolutions, needed = self._process.finish()
        for one in self._process.objects[known:]:
            if one.elf.symbols is not None and one.elf.symbols.relative_ifunc:
                message = f"Error relocating {one.path}: unsupported relocation type 37"
                self._faults.append(LoaderFault("unsupported-relocation", one.path, message))
            if one.elf.machine != self._loader.abi.machine:
                message = "loaded although it is for another machine: musl does not look at e_machine"
                self._faults.append(LoaderFault("wrong-machine-loaded", one.path, message))
        self._faults += musl_relr_faults(objects[known:], self._loader.identity.version)
        self._faults += static_tls_faults(self._process.objects, known) if known else ()
        problems = LinkProblems(
            missing=self._process.missing(failed),
            missing_symbols=self._loader.binder.missing(objects, needed, known, bind_now=now),
            faults=tuple(self._faults),
        )
        return WholeLinkMap(of.real, self._loader.identity, objects, resolutions[asked:], problems)

    def _map_self(self) -> Mapped:
        identity = self._loader.identity
        entry = identity.resolution.entry
        assert entry is not None, "a missing loader loads nothing"
        elf = self._loader.abi
        one = Mapped(identity.requested, entry.path, entry.inode, elf, identity.requested, None, How.LOADER)
        self._process.inodes[entry.inode] = one
        return one

    def _preload(self) -> None:
        variable = "" if self._secure else self._environment.variable("LD_PRELOAD")
        for name in re.split(r"[\s:]+", variable):
            if name:
                self._load_library(name, None)
        strings = self._loader.identity.elf.loader_strings if self._loader.identity.elf else None
        if strings is not None and strings.is_gcompat_stub:
            self._load_library(_GCOMPAT_PRELOAD, None)

    def _load_library(self, name: str, needed_by: Mapped | None) -> Request:
        """``load_library``: reserved names, then an explicit path, a short name, or the search.

        A preload is needed by nobody, so no run path helps to find it, nor what it needs itself.
        """
        requester = needed_by or self._main
        if not name:
            return Request(name, requester, None, None, Missing("Invalid argument"))
        if name.startswith(_RESERVED) or name == self._loader.identity.requested:
            how = How.RESERVED if name.startswith(_RESERVED) else How.LOADER
            return Request(name, requester, self._include_self(), how)
        if "/" in name:
            trail: list[SearchStep] = []
            entry, outcome = self._try(How.DIRECT, "", name, "", trail)
            return self._answer(name, needed_by, name, How.DIRECT, entry, outcome, trail)
        if len(name.encode("utf-8", "surrogateescape")) > _MAXIMUM_NAME:
            return Request(name, requester, None, None, Missing(_WORDS[PathError.ENAMETOOLONG]))
        for one in self._process.objects[1:]:
            if one.short_name == name:
                return Request(name, requester, one, How.LOADED)
        return self._find(name, needed_by)

    def _find(self, name: str, needed_by: Mapped | None) -> Request:
        trail: list[SearchStep] = []
        for source, owner, directories in self._lists(needed_by):
            for directory in directories:
                candidate = f"{directory}/{name}"
                entry, outcome = self._try(source, directory, candidate, owner, trail)
                if outcome in (Outcome.FOUND, Outcome.STOPS, Outcome.LIST_ABANDONED):
                    return self._answer(name, needed_by, candidate, source, entry, outcome, trail)
        # The message is the last open's errno, whatever the others said.
        last = trail[-1].detail if trail else ""
        return Request(name, needed_by or self._main, None, None, Missing(last or _ABSENT), tuple(trail))

    def _lists(self, needed_by: Mapped | None) -> list[tuple[How, str, tuple[str, ...]]]:
        lists = [(How.LIBRARY_PATH, "", self._library_path)]
        one = needed_by
        while one is not None:
            raw = one.elf.runpath if one.elf.runpath is not None else one.elf.rpath
            if raw:
                source = How.RUNPATH if one.elf.runpath is not None else How.RPATH
                lists.append((source, one.path, self._run_path(raw, one)))
            one = one.loader
        lists.append((self._loader.system_source, "", self._loader.system_path))
        return lists

    def _run_path(self, raw: str, one: Mapped) -> tuple[str, ...]:
        if "$" not in raw:
            return split_path(raw)
        if self._secure and one is self._main:
            return ()
        expanded = expand_musl(raw, one.path.rpartition("/")[0] or ("/" if one.path[:1] == "/" else "."))
        return split_path(expanded) if expanded else ()

    def _try(
        self, source: How, directory: str, candidate: str, owner: str, trail: list[SearchStep]
    ) -> tuple[FileEntry | None, Outcome]:
        """``open``: the first file that opens is the candidate, whatever it holds."""
        who = self._environment.credentials
        resolution = self._filesystem.resolve(
            candidate, directory=self._environment.working_directory, who=who
        )
        entry = resolution.entry
        detail = ""
        if entry is None:
            error = resolution.error or PathError.ENOENT
            outcome = Outcome.ABSENT if error in _CONTINUES else Outcome.LIST_ABANDONED
            outcome = Outcome.UNREADABLE if error == PathError.EACCES else outcome
            detail = "" if error == PathError.ENOENT else _WORDS.get(error, error.value)
        elif not entry.permits(who, 4):
            entry, outcome, detail = None, Outcome.UNREADABLE, PathError.EACCES.value
        elif self._process.inodes.get(entry.inode) is not None and entry.kind == EntryKind.FILE:
            outcome = Outcome.FOUND
        else:
            judgement = judge_for_musl(self._loader.abi, entry)
            outcome, detail = judgement.outcome, judgement.detail
        trail.append(SearchStep(source, directory, candidate, outcome, owner, detail))
        return entry, outcome

    def _answer(
        self,
        name: str,
        needed_by: Mapped | None,
        path: str,
        how: How,
        entry: FileEntry | None,
        outcome: Outcome,
        trail: list[SearchStep],
    ) -> Request:
        requester = needed_by or self._main
        if outcome != Outcome.FOUND or entry is None:
            last = trail[-1].detail if trail else ""
            stopped_by = path if outcome == Outcome.STOPS else ""
            return Request(name, requester, None, None, Missing(last or _ABSENT, stopped_by), tuple(trail))
        searched = how != How.DIRECT
        known = self._process.inodes.get(entry.inode)
        if known is not None:
            if known is self._self:
                self._include_self()
            elif searched and not known.short_name:
                known.short_name = known.path.rpartition("/")[2]
            return Request(name, requester, known, how, None, tuple(trail))
        elf = entry.content
        assert isinstance(elf, ElfFacts), "judge_for_musl lets only ELF files through"
        if self._is_a_libc(elf):
            return Request(name, requester, self._include_self(), How.RESERVED, None, tuple(trail))
        one = Mapped(path, entry.path, entry.inode, elf, name, needed_by, how)
        one.short_name = path.rpartition("/")[2] if searched else ""
        self._process.add(one)
        return Request(name, requester, one, how, None, tuple(trail))

    def _is_a_libc(self, elf: ElfFacts) -> bool:
        """A file that defines both of these is taken for a libc and replaced by musl itself."""
        if elf.symbols is None:
            return False
        defined = DefinedSymbols(elf.symbols, is_musl=True)
        return all(defined.answers(mark, gnu_hash(mark), UNVERSIONED) for mark in _LIBC_MARKS)

    def _include_self(self) -> Mapped:
        if self._self not in self._process.objects:
            self._process.add(self._self)
        return self._self
