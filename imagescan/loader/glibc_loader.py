"""One glibc loader file of an image: its directories, its cache and what it accepts.

The loader's facts enter; searches, and processes in its hands, leave. Follows ``loader.md`` sections 3 and
4.8: what differs between builds and releases is read from the loader's own file.
"""

from __future__ import annotations

from collections.abc import Callable

from imagescan.content import KeptFile
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry, RootFilesystem
from imagescan.loader.binding import Binder
from imagescan.loader.cache_file import LoaderCache, read_cache
from imagescan.loader.candidates import GlibcAcceptance
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.glibc import GlibcProcess
from imagescan.loader.object_faults import Checked, start_faults
from imagescan.loader.platforms import LoaderPlatform, platform_of
from imagescan.loader.preload import preload_names
from imagescan.loader.search import GlibcSearch
from imagescan.loader.tokens import TokenValues
from imagescan.loader.values import LoaderIdentity, Outcome
from imagescan.loader.versions import Versioned, check_versions


class GlibcLoader:
    """One glibc loader file of an image; makes link maps and shares searches between them."""

    def __init__(
        self,
        filesystem: RootFilesystem,
        environment: ProcessEnvironment,
        identity: LoaderIdentity,
        abi: ElfFacts,
        binder: Binder | None = None,
    ) -> None:
        self._filesystem = filesystem
        self._environment = environment
        self._identity = identity
        self._abi = abi
        strings = abi.loader_strings
        platform = platform_of(abi)
        self._system_directories = strings.system_directories if strings else ()
        self._tokens = (strings.library_token if strings else "", platform.platform_token if platform else "")
        version = identity.version
        cache_path = (strings.cache_path if strings else "") or "/etc/ld.so.cache"
        self._preload_path = (strings.preload_path if strings else "") or "/etc/ld.so.preload"
        self._search = GlibcSearch(
            filesystem,
            environment,
            GlibcAcceptance(
                abi=abi,
                skips_foreign_byte_order=bool(strings and strings.data_encoding_patch),
                checks_abi_tag=version is not None and version < (2, 36),
                refuses_pie=version is None or version >= (2, 30),
                maps_by_page_size=version is None or version >= (2, 35),
                kernel=environment.kernel,
            ),
            self._system_directories,
            self._read_cache(cache_path),
            cache_path,
            platform.cache_flags if platform else frozenset(),
            _subdirectories(platform, environment.cpu, version),
            platform.legacy_hwcaps if platform and version is not None and version < (2, 37) else None,
            passes_non_directories=version is None or version >= (2, 39),
        )
        self._binder = binder or Binder(is_musl=False)

    def _read_cache(self, path: str) -> LoaderCache | None:
        entry = self._filesystem.resolve(path, who=self._environment.credentials).entry
        if entry is None or not entry.permits(self._environment.credentials, 4):
            return None
        return read_cache(entry.content.data) if isinstance(entry.content, KeptFile) else None

    def start(
        self, entry: FileEntry, elf: ElfFacts, *, is_program: bool, path: str | None = None
    ) -> GlibcProcess:
        """Start a program as the kernel does, or load a library as ``ld.so LIBRARY`` would. ``path`` is
        the path that it is opened by, if that is not its canonical one."""
        return GlibcProcess(self, entry, elf, is_program=is_program, path=path or entry.path)

    def complains_of(self, one: Checked, answering: Callable[[str], Versioned | None]) -> bool:
        """Whether there is anything to say of an object alone, or may be in some process. ``answering`` gives
        what answers its needed entries."""
        if any(need.file not in one.elf.needed for need in one.elf.version_needs):
            return True
        version = self._identity.version
        complaints = check_versions((one,), answering, frozenset(), version)
        interpreter = self._identity.path
        assert interpreter is not None, "a missing loader loads nothing"
        return any(complaints) or bool(start_faults((one,), version, self._environment, interpreter))

    @property
    def identity(self) -> LoaderIdentity:
        """The loader's own file."""
        return self._identity

    @property
    def binder(self) -> Binder:
        """What answers the symbol references of all its processes."""
        return self._binder

    def forget_searches(self) -> None:
        """Give back the memory that remembered searches take."""
        self._search.forget()

    def preload_text(self) -> str:
        """The content of the preload file, "" without one."""
        entry = self._filesystem.resolve(self._preload_path).entry
        kept = entry.content if entry is not None else None
        return kept.text if isinstance(kept, KeptFile) else ""

    def common_preloads(self) -> list[tuple[str, FileEntry]] | None:
        """The preloaded objects of every program without secure mode, by path; None where they, or the
        search through LD_LIBRARY_PATH, may depend on the program."""
        if "$" in self._environment.variable("LD_LIBRARY_PATH"):
            return None
        found = []
        variable = self._environment.variable("LD_PRELOAD")
        for name, _ in preload_names(variable, self.preload_text(), self._preload_path, secure=False):
            result = self._search.open_directly(name) if name.startswith("/") else None
            if result is None or result.entry is None or "$" in name or name == self._identity.requested:
                return None
            elf = result.entry.content
            if (
                not isinstance(elf, ElfFacts)
                or self._search.map_object(result.entry.inode, elf).outcome != Outcome.FOUND
            ):
                return None
            found.append((name, result.entry))
        return found

    def token_values(self, origin: str) -> TokenValues:
        """The values of ``$ORIGIN``, ``$LIB`` and ``$PLATFORM`` for one object."""
        return TokenValues(origin, *self._tokens)


def _subdirectories(
    platform: LoaderPlatform | None, cpu: tuple[str, ...], version: tuple[int, ...] | None
) -> tuple[str, ...]:
    """What is tried below each directory, best first: glibc-hwcaps from 2.33 on, and up to 2.36 the
    older scheme (``_dl_important_hwcaps``), here without the CPU names that it also combined."""
    if platform is None:
        return ()
    names: list[str] = []
    if version is None or version >= (2, 33):
        names += [f"glibc-hwcaps/{name}" for name in platform.hwcaps if name in cpu]
    if version is not None and version < (2, 37):
        token = platform.platform_token
        names += [f"tls/{token}", "tls", token] if token else ["tls"]
    return tuple(names)
