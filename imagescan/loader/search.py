"""The glibc search for a name without a slash: a plan of directory lists enters, an answer leaves.

Mirrors ``_dl_map_object``, ``open_path`` and ``fillin_rpath`` (elf/dl-load.c) and
``_dl_load_cache_lookup`` (elf/dl-cache.c); ``loader.md`` sections 4.1, 4.2, 4.8 and 4.9.
"""

from __future__ import annotations

from imagescan.dataclasses import NamedTuple
from imagescan.elf.facts import ElfFacts
from imagescan.errors import LimitExceeded
from imagescan.filesystem.values import FileEntry, PathError, RootFilesystem
from imagescan.layers.values import EntryKind
from imagescan.loader.cache_file import LoaderCache
from imagescan.loader.candidates import GlibcAcceptance, Judgement
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.values import How, Missing, Outcome, SearchStep

MAXIMUM_STEPS = 2_000_000  # different searches of an image together; the largest image seen has 200,000
NOT_FOUND = "cannot open shared object file: No such file or directory"


class DirectoryList(NamedTuple):
    """One list of directories in the order searched; each ends with a slash or is "" (the
    current directory). ``owner`` is the object whose run path it is."""

    source: How
    owner: str
    directories: tuple[str, ...]


class SearchPlan(NamedTuple):
    """Where one object's requests are looked for, in order. ``no_default`` is DF_1_NODEFLIB."""

    lists: tuple[DirectoryList, ...]
    no_default: bool


class SearchResult(NamedTuple):
    """The file that answers, with the path as opened; or why there is none."""

    entry: FileEntry | None
    path: str
    how: How | None
    missing: Missing | None
    trail: tuple[SearchStep, ...]


class GlibcSearch:
    """Searches with one loader's directories, cache and acceptance; every answer is remembered."""

    def __init__(
        self,
        filesystem: RootFilesystem,
        environment: ProcessEnvironment,
        acceptance: GlibcAcceptance,
        system_directories: tuple[str, ...],
        cache: LoaderCache | None,
        cache_path: str,
        cache_flags: frozenset[int],
        subdirectories: tuple[str, ...],
        legacy_hwcaps: int | None,
        *,
        passes_non_directories: bool,
    ) -> None:
        self._filesystem = filesystem
        self._environment = environment
        self._acceptance = acceptance
        self._system_directories = system_directories
        self._cache = cache
        self._cache_path = cache_path
        self._cache_flags = cache_flags
        self._subdirectories = subdirectories
        self._legacy_hwcaps = legacy_hwcaps
        self._passes_non_directories = passes_non_directories
        self._usable: dict[str, tuple[str, ...]] = {}
        self._answers: dict[tuple[str, SearchPlan], SearchResult] = {}
        self._mapped: dict[tuple[int, int], Judgement] = {}
        self._steps = 0

    def find(self, name: str, plan: SearchPlan) -> SearchResult:
        """Look a name up by a plan, then in the cache and the default directories."""
        key = (name, plan)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._find(name, plan)
            self._steps += len(answer.trail)
            if self._steps > MAXIMUM_STEPS:
                raise LimitExceeded(
                    f"looking for the image's libraries takes more than {MAXIMUM_STEPS} steps",
                    advice="check the run paths of its programs",
                )
        return answer

    def forget(self) -> None:
        """Give back the memory of all answers; they can be found again."""
        self._answers.clear()

    def open_directly(self, path: str) -> SearchResult:
        """Open a name with a slash: a path relative to the working directory, no search."""
        trail: list[SearchStep] = []
        step, entry = self._try(How.DIRECT, "", path, "")
        trail.append(step)
        if entry is not None:
            return SearchResult(entry, path, How.DIRECT, None, tuple(trail))
        if step.outcome == Outcome.STOPS:
            return SearchResult(None, path, None, Missing(step.detail, path), tuple(trail))
        if step.outcome == Outcome.WRONG_CLASS:
            return SearchResult(None, path, None, Missing(step.detail, wrong_class=True), tuple(trail))
        skipped = step.outcome in (Outcome.WRONG_MACHINE, Outcome.KERNEL_TOO_OLD)
        reason = PathError.ENOENT.value if skipped or not step.detail else step.detail
        return SearchResult(
            None, path, None, Missing(f"cannot open shared object file: {reason}"), tuple(trail)
        )

    def map_object(self, inode: tuple[int, int], elf: ElfFacts) -> Judgement:
        """Judge a found file as it is mapped (see ``GlibcAcceptance.map_object``); remembered."""
        found = self._mapped.get(inode)
        if found is None:
            found = self._mapped[inode] = self._acceptance.map_object(elf)
        return found

    def _find(self, name: str, plan: SearchPlan) -> SearchResult:
        trail: list[SearchStep] = []
        for one in plan.lists:
            result = self._search_list(name, one, trail)
            if result is not None:
                return result
        result = self._search_cache(name, plan.no_default, trail)
        if result is None and not plan.no_default:
            result = self._search_list(name, DirectoryList(How.DEFAULT, "", self._system_directories), trail)
        if result is not None:
            return result
        wrong_class = next((step for step in trail if step.outcome == Outcome.WRONG_CLASS), None)
        missing = Missing(wrong_class.detail, wrong_class=True) if wrong_class else Missing(NOT_FOUND)
        return SearchResult(None, "", None, missing, tuple(trail))

    def _search_list(self, name: str, one: DirectoryList, trail: list[SearchStep]) -> SearchResult | None:
        for directory in one.directories:
            for variant in self._variants(directory):
                step, entry = self._try(one.source, variant, variant + name, one.owner)
                trail.append(step)
                if step.outcome in (Outcome.STOPS, Outcome.FOUND):
                    return self._result(step, entry, trail)
            # What counts is the error of the directory itself, tried last.
            if step.outcome == Outcome.LIST_ABANDONED:
                return None
        return None

    def _search_cache(self, name: str, no_default: bool, trail: list[SearchStep]) -> SearchResult | None:
        hit = None
        if self._cache:
            hit = self._cache.lookup(name, self._cache_flags, self._environment.cpu, self._legacy_hwcaps)
        if hit is None:
            detail = "no entry" if self._cache else "no cache"
            trail.append(SearchStep(How.CACHE, self._cache_path, "", Outcome.ABSENT, "", detail))
            return None
        if no_default and hit.path.startswith(self._system_directories):
            trail.append(
                SearchStep(How.CACHE, self._cache_path, hit.path, Outcome.NOT_USED, "", "DF_1_NODEFLIB")
            )
            return None
        step, entry = self._try(How.CACHE, self._cache_path, hit.path, "")
        trail.append(step)
        if step.outcome in (Outcome.STOPS, Outcome.FOUND):
            return self._result(step, entry, trail)
        return None

    def _ends_list(self, source: How, directory: str, error: PathError | None) -> bool:
        """An error ends a list only where the directory exists (``open_path``: ``here_any``), which
        is taken for granted of relative ones; from glibc 2.39 on ENOTDIR never does."""
        if source in (How.DIRECT, How.CACHE):
            return False
        if error == PathError.ENOTDIR and self._passes_non_directories:
            return False
        if not directory.startswith("/"):
            return True
        entry = self._filesystem.resolve(directory, who=self._environment.credentials).entry
        return entry is not None and entry.kind == EntryKind.DIRECTORY

    @staticmethod
    def _result(step: SearchStep, entry: FileEntry | None, trail: list[SearchStep]) -> SearchResult:
        if entry is None:
            return SearchResult(
                None, step.candidate, None, Missing(step.detail, step.candidate), tuple(trail)
            )
        return SearchResult(entry, step.candidate, step.source, None, tuple(trail))

    def _variants(self, directory: str) -> tuple[str, ...]:
        """The hardware-capability sub-directories that exist, best first, then the directory."""
        found = self._usable.get(directory)
        if found is None:
            existing = tuple(
                f"{directory}{name}/"
                for name in self._subdirectories
                if self._filesystem.resolve(
                    f"{directory}{name}", directory=self._environment.working_directory
                ).entry
            )
            found = self._usable[directory] = (*existing, directory)
        return found

    def _try(
        self, source: How, directory: str, candidate: str, owner: str
    ) -> tuple[SearchStep, FileEntry | None]:
        resolution = self._filesystem.resolve(
            candidate,
            directory=self._environment.working_directory,
            who=self._environment.credentials,
        )
        entry = resolution.entry
        if entry is None:
            outcome, detail = _absence(resolution.error)
            if outcome == Outcome.LIST_ABANDONED and not self._ends_list(source, directory, resolution.error):
                outcome = Outcome.ABSENT
            return SearchStep(source, directory, candidate, outcome, owner, detail), None
        if not entry.permits(self._environment.credentials, 4):
            return SearchStep(
                source, directory, candidate, Outcome.UNREADABLE, owner, PathError.EACCES.value
            ), None
        judgement = self._acceptance.open_verify(entry)
        step = SearchStep(source, directory, candidate, judgement.outcome, owner, judgement.detail)
        return step, entry if judgement.outcome == Outcome.FOUND else None


def _absence(error: PathError | None) -> tuple[Outcome, str]:
    """ENOENT and EACCES let a list go on, any other error ends it."""
    if error == PathError.EACCES:
        return Outcome.UNREADABLE, error.value
    if error is None or error == PathError.ENOENT:
        return Outcome.ABSENT, ""
    return Outcome.LIST_ABANDONED, error.value
