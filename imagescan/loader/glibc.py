"""The glibc loader: a program enters, its link map leaves.

Mirrors ``_dl_map_object_deps`` (elf/dl-deps.c), ``_dl_map_object`` (elf/dl-load.c), ``do_preload``
and ``dl_main`` (elf/rtld.c); ``loader.md`` sections 4 to 6. Like ``LD_TRACE_LOADED_OBJECTS`` it
goes on after a failure, so that every missing library is seen and not only the first.
"""

from __future__ import annotations

import re
from copy import copy
from typing import TYPE_CHECKING

from imagescan.dataclasses import NamedTuple, replace
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry, PathError
from imagescan.layers.values import ImagePath
from imagescan.loader.assertions import lookup_assertions
from imagescan.loader.dlopen import dlopen_faults, missing_announcements
from imagescan.loader.object_faults import start_faults
from imagescan.loader.preload import preload_fault, preload_names
from imagescan.loader.process import Mapped, Process, Request
from imagescan.loader.search import DirectoryList, SearchPlan, SearchResult
from imagescan.loader.tokens import TokenValues, expand, has_token, origin_is_first_component
from imagescan.loader.values import (
    How,
    LinkProblems,
    LoaderFault,
    Missing,
    OptionalLibrary,
    Outcome,
    WholeLinkMap,
)
from imagescan.loader.versions import check_versions

if TYPE_CHECKING:
    from imagescan.loader.glibc_loader import GlibcLoader

_VDSO = frozenset(("linux-vdso.so.1", "linux-gate.so.1", "linux-vdso64.so.1", "linux-vdso32.so.1"))
_NUMBERED = {
    PathError.ENOTDIR.value: "Error 20",
    "Is a directory": "Error 21",
    PathError.ENAMETOOLONG.value: "Error 36",
    PathError.ELOOP.value: "Error 40",
}


class _Mark(NamedTuple):
    """How many objects, requests and failed requests a process had at some time."""

    objects: int
    requests: int
    failures: int


class GlibcProcess:
    """The start-up of one program."""

    def __init__(
        self, loader: GlibcLoader, entry: FileEntry, elf: ElfFacts, *, is_program: bool, path: str
    ) -> None:
        self._loader = loader
        self._search = loader._search
        self._environment = loader._environment
        self._is_program = is_program
        self._secure = is_program and self._environment.is_secure(entry)
        self._process = Process()
        self._faults: list[LoaderFault] = []
        self._done: set[Mapped] = set()
        self._main = self._process.add(
            Mapped(path, entry.path, entry.inode, elf, path, None, How.PROGRAM),
            # The kernel maps the program, so glibc does not know its inode.
            has_identity=not is_program,
        )
        if is_program:
            self._process.names[""] = self._main  # l_name of what the kernel mapped
        if elf.soname is not None:
            self._process.sonames[elf.soname] = self._main
        self._interpreter = self._map_interpreter()
        self._library_path = self._library_path_list()

    def run(self) -> WholeLinkMap:
        """Load everything, then check versions and symbols."""
        self.load()
        return self._result(self._main, _Mark(0, 0, 0))

    def load(self) -> None:
        """Load everything that the program needs."""
        self._preload()
        self._load_all_needed()

    def alone(self) -> tuple[list[Request], bool]:
        """The answers to the needed entries of the object itself, and whether they hold in every process: not
        where any is missing, where the object has anything to complain of, or where other objects may change
        its answers."""
        elf = self._main.elf
        if elf.rpath or elf.filters or elf.auxiliaries:
            return [], False
        if any(not name or "/" in name or "$" in name for name in elf.needed):
            return [], False
        plan = self._plan(self._main)
        # Nobody asks where it was looked for, so objects of the same run path share their searches.
        self._main.plan = plan._replace(lists=tuple(one._replace(owner="") for one in plan.lists))
        self._load_needed(self._main)
        requests = self._process.requests
        if any(one.found is None for one in requests):
            return requests, False
        return requests, not self._loader.complains_of(self._main, self._process.names.get)

    def dlopen(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> WholeLinkMap:
        """Open a plugin by its path in the running program (``dl_open_worker``, elf/dl-open.c): its
        own run paths and the program's RPATH count, and what is loaded already answers."""
        mark = self._mark()
        plugin, is_new = self._open(entry, elf, mark)
        return self._result(plugin, mark, now=now and is_new)

    def opening(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> tuple[ImagePath, LinkProblems]:
        """``dlopen`` without its objects and requests."""
        mark = self._mark()
        plugin, is_new = self._open(entry, elf, mark)
        return plugin.real, self._problems(mark, now=now and is_new)

    def fork(self) -> GlibcProcess:
        """The same process once more."""
        twin = copy(self)
        twin._process = self._process.copy()
        twin._faults = [*self._faults]
        twin._done = {*self._done}
        return twin

    def _open(self, entry: FileEntry, elf: ElfFacts, mark: _Mark) -> tuple[Mapped, bool]:
        """The object that is opened, and whether it was not there before."""
        plugin = self._process.inodes.get(entry.inode) or self._loaded(entry.path)
        if plugin is not None:
            return plugin, False
        plugin = self._process.add(
            Mapped(entry.path, entry.path, entry.inode, elf, entry.path, self._main, How.DIRECT)
        )
        self._process.names.setdefault(entry.path, plugin)
        if elf.soname is not None:
            self._process.sonames.setdefault(elf.soname, plugin)
        self._load_all_needed()
        self._faults += dlopen_faults(
            self._process.objects[mark.objects :], plugin, self._main.elf, self._loader._identity.version
        )
        return plugin, True

    def _mark(self) -> _Mark:
        process = self._process
        return _Mark(len(process.objects), len(process.requests), len(process.failures))

    def announced(self) -> tuple[OptionalLibrary, ...]:
        """Look for what ``.note.dlopen`` of the running program announces, as its ``dlopen`` would.
        What is found is loaded, so this comes last."""
        return missing_announcements(
            self._main.elf,
            lambda name: (one := self._request(self._main, name)) is not None and one.missing is None,
        )

    def _load_all_needed(self) -> None:
        """Breadth-first over whatever is in the list and not yet done."""
        position = 0
        while position < len(self._process.objects):
            one = self._process.objects[position]
            position += 1
            if one not in self._done:
                self._done.add(one)
                self._load_needed(one)
                if one.elf.filters or one.elf.auxiliaries:
                    position = 0  # what is put before an object comes first

    def _result(self, of: Mapped, mark: _Mark, *, now: bool = False) -> WholeLinkMap:
        """The link map, with checks of the objects after a mark only."""
        problems = self._problems(mark, now=now)
        objects, resolutions, _ = self._process.finish()
        return WholeLinkMap(of.real, self._loader._identity, objects, resolutions[mark.requests :], problems)

    def _problems(self, mark: _Mark, *, now: bool) -> LinkProblems:
        """What there is to say of the objects and requests after a mark."""
        process, known = self._process, mark.objects
        objects = process.objects
        missing_names = frozenset(one.needed for one in process.failures)
        position = {id(one): index for index, one in enumerate(objects)}

        def answering(name: str) -> Mapped | None:
            found = process.names.get(name)
            return found if id(found) in position else None

        version = self._loader._identity.version
        versions, faults = check_versions(objects[known:], answering, missing_names, version)
        bind_now = now or bool(self._environment.variable("LD_BIND_NOW"))
        if any(fault.code == "no-version-information" for fault in faults):
            faults += lookup_assertions(
                objects, known, answering, self._loader._binder, version, bind_now=bind_now
            )
        faults += start_faults(objects[known:], version, self._environment, self._interpreter.real)
        needed: list[list[int]] = [[] for _ in objects]
        for one in process.requests[0 if process.reordered else mark.requests :]:
            found = position.get(id(one.found))
            if found is not None:  # who is not asked about has asked before the mark
                needed[position[id(one.requester)]].append(found)
        return LinkProblems(
            missing=process.missing(mark.failures),
            missing_versions=versions,
            missing_symbols=self._loader._binder.missing(objects, needed, known, bind_now=bind_now),
            faults=(*self._faults, *faults),
        )

    def _map_interpreter(self) -> Mapped:
        """The loader itself: findable by PT_INTERP and soname, in the list once somebody asks."""
        identity = self._loader._identity
        entry = identity.resolution.entry
        assert entry is not None, "a missing loader loads nothing"
        elf = self._loader._abi
        one = Mapped(identity.requested, entry.path, entry.inode, elf, identity.requested, None, How.LOADER)
        self._process.names[identity.requested] = one
        if elf.soname is not None:
            self._process.sonames.setdefault(elf.soname, one)
        return one

    def _load_needed(self, one: Mapped) -> None:
        """Answer every needed, auxiliary and filter entry of an object."""
        for name in one.elf.needed:
            request = self._request(one, name)
            if request is not None:
                self._process.note(request)
        for name in (*one.elf.auxiliaries, *one.elf.filters):
            request = self._request(one, name)
            if request is not None and (request.found or name in one.elf.filters):
                self._process.note(request)
            if request is not None and request.found is not None:
                self._process.move(request.found, before=one)

    def _request(self, requester: Mapped, raw: str, *, literal: bool = False) -> Request | None:
        """``_dl_map_object`` for one name; None when a token leaves nothing to ask for."""
        name = raw
        if not literal and has_token(raw):
            if self._secure:
                missing = Missing("DST not allowed in SUID/SGID programs", requester.path)
                return Request(raw, requester, None, None, missing)
            expanded = expand(raw, self._values(requester))
            if not expanded:
                return None
            name = expanded
        found = self._loaded(name)
        if found is not None:
            how = How.LOADER if found is self._interpreter else How.LOADED
            return Request(raw, requester, found, how)
        if name in _VDSO:
            return Request(raw, requester, None, How.VDSO)
        result = (
            self._search.open_directly(name)
            if "/" in name
            else self._search.find(name, self._plan(requester))
        )
        if result.entry is None and result.missing is not None:
            about = result.missing.stopped_by or name
            missing = replace(result.missing, about=about, message=self._words(result.missing.message))
            return Request(raw, requester, None, None, missing, result.trail)
        assert result.entry is not None, "a search that finds nothing says why"
        return self._map(requester, raw, name, result, result.entry)

    def _map(
        self,
        requester: Mapped,
        raw: str,
        name: str,
        result: SearchResult,
        entry: FileEntry,
    ) -> Request:
        known = self._process.inodes.get(entry.inode)
        if known is not None:
            self._process.names.setdefault(name, known)
            return Request(raw, requester, known, result.how, None, result.trail)
        elf = entry.content
        assert isinstance(elf, ElfFacts), "open_verify lets only ELF files through"
        judgement = self._search.map_object(entry.inode, elf)
        if judgement.outcome != Outcome.FOUND:
            missing = Missing(judgement.detail, result.path, about=name)
            return Request(raw, requester, None, None, missing, result.trail)
        assert result.how is not None
        one = Mapped(result.path, entry.path, entry.inode, elf, name, requester, result.how)
        self._process.add(one)
        self._process.names.setdefault(name, one)
        self._process.names.setdefault(result.path, one)
        if elf.soname is not None:
            self._process.sonames.setdefault(elf.soname, one)
        return Request(raw, requester, one, result.how, None, result.trail)

    def _words(self, message: str) -> str:
        """At start-up the loader knows few errno texts (elf/dl-minimal.c); dlopen has libc's."""
        if not self._is_program:
            return message
        text, separator, errno = message.rpartition(": ")
        return f"{text}{separator}{_NUMBERED.get(errno, errno)}"

    def _loaded(self, name: str) -> Mapped | None:
        """``_dl_lookup_map``; the loader itself joins the list when it is asked for."""
        found = self._process.named(name)
        if found is self._interpreter and found not in self._process.objects:
            self._process.add(found, has_identity=False)
        return found

    def _values(self, one: Mapped) -> TokenValues:
        directory = one.path.rpartition("/")[0]
        if not one.path.startswith("/"):
            directory = f"{self._environment.working_directory.rstrip('/')}/{directory}".rstrip("/")
        return self._loader.token_values(directory or "/")

    def _plan(self, one: Mapped) -> SearchPlan:
        """The lists of ``_dl_map_object`` for requests of one object, in order."""
        if isinstance(one.plan, SearchPlan):
            return one.plan
        lists: list[DirectoryList] = []
        if one.elf.runpath is None:
            chain = [one]
            while chain[-1].loader is not None:
                chain.append(chain[-1].loader)
            if self._main not in chain:
                chain.append(self._main)
            lists.extend(
                self._run_path(other, How.RPATH, other.elf.rpath) for other in chain if other.elf.rpath
            )
        if self._library_path is not None:
            lists.append(self._library_path)
        if one.elf.runpath:
            lists.append(self._run_path(one, How.RUNPATH, one.elf.runpath))
        one.plan = plan = SearchPlan(tuple(lists), one.elf.no_default_libraries)
        return plan

    def _run_path(self, one: Mapped, source: How, raw: str) -> DirectoryList:
        return DirectoryList(source, one.path, self._directories(raw.split(":"), one))

    def _library_path_list(self) -> DirectoryList | None:
        raw = self._environment.variable("LD_LIBRARY_PATH")
        if not raw or self._secure:
            return None
        return DirectoryList(How.LIBRARY_PATH, "", self._directories(re.split("[:;]", raw), self._main))

    def _directories(self, elements: list[str], one: Mapped) -> tuple[str, ...]:
        """``fillin_rpath``: expand tokens, drop what cannot be expanded, end with a slash; an
        empty element is the current directory, a repeated one counts once."""
        directories: dict[str, None] = {}
        for element in elements:
            if "$" in element:
                expanded = self._expand_element(element, one)
                if expanded is None:
                    continue
                element = expanded
            stripped = element.rstrip("/")
            directories[stripped + "/" if stripped or element else ""] = None
        return tuple(directories)

    def _expand_element(self, element: str, one: Mapped) -> str | None:
        expanded = expand(element, self._values(one))
        if expanded is None or not (self._secure and one is self._main) or "ORIGIN" not in element:
            return expanded
        # Secure mode trusts $ORIGIN only at the front, and only where it leads to a system directory.
        trusted = any(f"{expanded}/".startswith(one) for one in self._loader._system_directories)
        return expanded if origin_is_first_component(element) and trusted else None

    def _preload(self) -> None:
        """LD_PRELOAD, then the preload file: what cannot be loaded is said and passed over."""
        path, text = self._loader._preload_path, self._loader.preload_text()
        variable = self._environment.variable("LD_PRELOAD")
        for name, origin in preload_names(variable, text, path, secure=self._secure):
            if self._process.named(name) is self._interpreter:
                continue  # it is there already and does not come into the list by this
            # Unlike in DT_NEEDED, tokens count only in names with a slash (_dl_map_object).
            request = self._request(self._main, name, literal="/" not in name)
            if request is not None and request.missing is not None:
                self._faults.append(preload_fault(name, origin, request.missing.message))
