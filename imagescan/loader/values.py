"""What the loader room hands on: which object answered each request, how, and the whole trail.

Names follow glibc (link map, search path, scope) and ``loader.md`` sections 1 and 4 to 7.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from imagescan.dataclasses import dataclass, field
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import PathResolution
from imagescan.layers.values import ImagePath
from imagescan.loader.missing_symbols import MissingSymbols


class LoaderKind(StrEnum):
    """Which dynamic loader a program asks for."""

    GLIBC = "glibc"
    MUSL = "musl"
    OTHER = "other"  # uClibc, bionic, klibc: known by name, not simulated


class How(StrEnum):
    """How a request was satisfied; also the source of a search step."""

    LOADED = "loaded"  # an object already in the link map answers to the name
    RPATH = "rpath"
    LIBRARY_PATH = "ld_library_path"
    RUNPATH = "runpath"
    CACHE = "cache"
    DEFAULT = "default"
    PATH_FILE = "path_file"  # musl: etc/ld-musl-ARCH.path
    DIRECT = "path"  # the name has a slash
    RESERVED = "reserved"  # musl: libc. libm. ... are the loader itself
    LOADER = "loader"  # the dynamic loader's own file
    VDSO = "vdso"
    PRELOAD = "preload"
    PROGRAM = "program"


class Outcome(StrEnum):
    """What one search step found."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    WRONG_CLASS = "wrong class"
    WRONG_MACHINE = "wrong machine"
    KERNEL_TOO_OLD = "needs a newer kernel"
    LIST_ABANDONED = "list abandoned"  # ELOOP and the like end a list (glibc) or the search (musl)
    STOPS = "stops here"  # the loader gives up at this file; detail says why
    NOT_USED = "not used"  # token unknown, cache entry refused, secure mode; detail says why
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class SearchStep:
    """One line of ``LD_DEBUG=libs``: a candidate path tried, on whose behalf, and the outcome.

    ``directory`` is the search directory (or the cache or path file), ``owner`` the object whose
    run path it was ("" for others), ``detail`` the reason in the loader's words.
    """

    source: How
    directory: str
    candidate: str
    outcome: Outcome
    owner: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A request that nothing satisfied.

    ``message`` is the reason in the loader's words ("cannot open shared object file: No such
    file or directory", "invalid ELF header", ...). ``stopped_by`` is the file that made the
    loader stop, or "". ``about`` is what the loader's line begins with: the file, or the
    name as asked with its tokens expanded.
    """

    message: str
    stopped_by: str = ""
    wrong_class: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """One object of a link map.

    ``path`` is the path as the loader opened it (for ``$ORIGIN``), ``real`` the same after
    symlinks. ``requested`` is the first name that it was asked by, ``requester`` the position
    of the object that asked first in the link map (-1: nobody, the program or a preload).
    """

    path: str
    real: ImagePath
    inode: tuple[int, int]
    elf: ElfFacts
    requested: str
    requester: int
    how: How


@dataclass(frozen=True, slots=True)
class Resolution:
    """One needed entry of one object and its answer.

    ``requester`` and ``found`` are positions in ``LinkMap.objects`` (``found`` None: missing, or
    answered by the kernel's vDSO). ``filter`` says that the request came from DT_FILTER.
    """

    needed: str
    requester: int
    found: int | None
    how: How | None
    missing: Missing | None = None
    trail: tuple[SearchStep, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingLibrary:
    """A needed entry that nothing satisfies, with all that is to be said of it.

    ``position`` is that of who asks in ``LinkMap.objects``, ``requester`` its canonical path and ``opened``
    the path by which the loader opened it.
    """

    needed: str
    position: int
    requester: ImagePath
    opened: str
    missing: Missing
    trail: tuple[SearchStep, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingVersion:
    """A version node that a library does not define (glibc, dl-version.c).

    ``library`` is the name as needed, ``provider`` the path of the object that answers to it.
    """

    version: str
    library: str
    provider: str
    needed_by: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class LoaderFault:
    """Another reason why the loader or the kernel refuses: ``code`` is a stable word
    (``relr-without-version``, ``cpu-level``, ``version-file-not-loaded`` ...; each is claimed by a rule),
    ``object`` the path concerned, ``message`` the text that the user would have met, ``condition``
    when it happens, if it depends on the machine ("" for always)."""

    code: str
    object: str
    message: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class OptionalLibrary:
    """A library that an object says it opens at run time (``.note.dlopen``), and which is not there.

    ``sonames`` are the alternatives, none of which is found; ``priority`` is required, recommended
    or suggested.
    """

    sonames: tuple[str, ...]
    feature: str
    description: str
    priority: str


@dataclass(frozen=True, slots=True)
class LoaderIdentity:
    """The dynamic loader that serves one program.

    ``requested`` is the PT_INTERP string (or the name chosen for a library without one),
    ``resolution`` how the image answers it, ``elf`` the loader file's facts (None: not ELF or
    absent). ``version`` is (2, 36) for glibc, (1, 2, 5) for musl, None when unknown.
    """

    kind: LoaderKind
    requested: str
    resolution: PathResolution
    elf: ElfFacts | None
    version: tuple[int, ...] | None = None

    @property
    def path(self) -> ImagePath | None:
        """The loader file's canonical path, or None when it is missing."""
        return self.resolution.entry.path if self.resolution.entry else None


_REFUSALS_OF_DLOPEN = ("not-for-dlopen", "executable-stack", "static-tls")


@dataclass(frozen=True, slots=True)
class LinkProblems:
    """All that a link map has to say besides what is loaded; nothing at all for a healthy one.

    ``missing`` are the requests that nothing satisfies, in the order asked, ``optional_missing`` the
    program's own announcements of ``dlopen`` that no library answers. ``interpreter_fault`` is set when the
    kernel refuses the program before any library matters: (errno name, message).
    """

    missing: tuple[MissingLibrary, ...] = ()
    missing_versions: tuple[MissingVersion, ...] = ()
    missing_symbols: MissingSymbols = MissingSymbols()
    faults: tuple[LoaderFault, ...] = ()
    optional_missing: tuple[OptionalLibrary, ...] = ()
    interpreter_fault: tuple[str, str] | None = None

    @property
    def obstacles(self) -> int:
        """How much keeps it from being loaded, the worst kinds counting most: 0 when nothing does."""
        refusals = [one for one in self.faults if one.code in _REFUSALS_OF_DLOPEN]
        versions = [one for one in self.missing_versions if not one.weak]
        immediate = self.missing_symbols.immediate
        return 1000 * len(self.missing) + 100 * len(versions) + 10 * len(refusals) + immediate


NO_PROBLEMS = LinkProblems()


class LinkMap(Protocol):
    """What the dynamic loader would do with one program (or one library, asked as if it were).

    Its problems are at hand; what is loaded may be worked out only when asked for, because an image has
    thousands of link maps and few whose objects anybody looks at.
    """

    @property
    def program(self) -> ImagePath:
        """The canonical path of the file."""
        ...

    @property
    def loader(self) -> LoaderIdentity | None:
        """The loader that serves it, None for a file that needs none."""
        ...

    @property
    def objects(self) -> tuple[LoadedObject, ...]:
        """What is loaded, in load order, the program first."""
        ...

    @property
    def resolutions(self) -> tuple[Resolution, ...]:
        """Every needed entry of every object, in the order asked."""
        ...

    @property
    def problems(self) -> LinkProblems:
        """All that it has to say; what follows are its parts."""
        ...

    @property
    def missing(self) -> tuple[MissingLibrary, ...]:
        """The requests that nothing satisfied, in the order asked."""
        ...

    @property
    def missing_versions(self) -> tuple[MissingVersion, ...]:
        """Versions that a library does not define."""
        ...

    @property
    def missing_symbols(self) -> MissingSymbols:
        """Symbols that nothing in scope defines."""
        ...

    @property
    def faults(self) -> tuple[LoaderFault, ...]:
        """Other reasons why the loader refuses, or what it complains of."""
        ...

    @property
    def optional_missing(self) -> tuple[OptionalLibrary, ...]:
        """Announced libraries that are not there."""
        ...

    @property
    def interpreter_fault(self) -> tuple[str, str] | None:
        """Why the kernel refuses the program: (errno name, message)."""
        ...

    @property
    def obstacles(self) -> int:
        """How much keeps it from being loaded (``LinkProblems.obstacles``)."""
        ...


class LinkMaps(Protocol):
    """Who makes link maps of one image on one machine."""

    def link_map(self, path: ImagePath) -> WholeLinkMap:
        """What loading one ELF file does.

        Raises:
            KeyError: the path does not lead to an ELF file.
        """
        ...

    def plugin_map(self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> LinkMap:
        """What happens when a program opens shared objects by their paths, one after the other: the
        answer for the last of them.

        Raises:
            KeyError: a path does not lead to an ELF file, or nothing starts the program.
        """
        ...

    def forget(self) -> None:
        """Give back the memory of what is remembered: it is worked out again when somebody asks."""
        ...


class _Problems:
    """The problems of a link map as attributes of its own."""

    __slots__ = ()

    problems: LinkProblems

    @property
    def missing(self) -> tuple[MissingLibrary, ...]:
        """See ``LinkMap``."""
        return self.problems.missing

    @property
    def missing_versions(self) -> tuple[MissingVersion, ...]:
        """See ``LinkMap``."""
        return self.problems.missing_versions

    @property
    def missing_symbols(self) -> MissingSymbols:
        """See ``LinkMap``."""
        return self.problems.missing_symbols

    @property
    def faults(self) -> tuple[LoaderFault, ...]:
        """See ``LinkMap``."""
        return self.problems.faults

    @property
    def optional_missing(self) -> tuple[OptionalLibrary, ...]:
        """See ``LinkMap``."""
        return self.problems.optional_missing

    @property
    def interpreter_fault(self) -> tuple[str, str] | None:
        """See ``LinkMap``."""
        return self.problems.interpreter_fault

    @property
    def obstacles(self) -> int:
        """See ``LinkMap``."""
        return self.problems.obstacles


@dataclass(frozen=True, slots=True)
class WholeLinkMap(_Problems):
    """A ``LinkMap`` with everything at hand: what a simulation gives."""

    program: ImagePath
    loader: LoaderIdentity | None
    objects: tuple[LoadedObject, ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    problems: LinkProblems = NO_PROBLEMS


@dataclass(frozen=True, slots=True)
class BriefLinkMap(_Problems):
    """A ``LinkMap`` of which only the problems are at hand; ``maker`` gives the whole one for its
    ``program`` each time, and is the same for thousands of them."""

    program: ImagePath
    loader: LoaderIdentity | None
    problems: LinkProblems
    maker: Callable[[ImagePath], WholeLinkMap] = field(compare=False, repr=False)

    def remake(self) -> WholeLinkMap:
        """The whole link map."""
        return self.maker(self.program)

    @property
    def objects(self) -> tuple[LoadedObject, ...]:
        """See ``LinkMap``; made again when asked for."""
        return self.remake().objects

    @property
    def resolutions(self) -> tuple[Resolution, ...]:
        """See ``LinkMap``; made again when asked for."""
        return self.remake().resolutions
