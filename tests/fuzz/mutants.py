# ruff: noqa: E501 (a change is one line)
"""The rules of the loader room, each switched off by one small change of its source.

A mutant that nothing notices is a rule that nothing proves. ``old`` occurs once in its file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule, the file of imagescan/loader that holds it, and the change that breaks it."""

    rule: str
    file: str
    old: str
    new: str


def _of(file: str, *rules: tuple[str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(rule, file, old, new) for rule, old, new in rules)


MUTANTS = (
    *_of(
        "glibc.py",
        ("RUNPATH switches RPATH off", "if one.elf.runpath is None:\n            chain", "if True:\n            chain"),
        ("RPATH of the loader chain", "while chain[-1].loader is not None:", "while False:"),
        ("RUNPATH is searched", "if one.elf.runpath:\n", "if False:\n"),
        ("LD_LIBRARY_PATH is searched", "if self._library_path is not None:", "if False:"),
        ("LD_LIBRARY_PATH is ignored in secure mode", "if not raw or self._secure:", "if not raw:"),
        ("a semicolon separates in LD_LIBRARY_PATH", 're.split("[:;]", raw)', 're.split("[:]", raw)'),
        (
            "an empty element is the current directory",
            'directories[stripped + "/" if stripped or element else ""] = None',
            'if element: directories[stripped + "/"] = None',
        ),
        ("DF_1_NODEFLIB", "SearchPlan(tuple(lists), one.elf.no_default_libraries)", "SearchPlan(tuple(lists), False)"),
        ("tokens in needed names", "if not literal and has_token(raw):", "if False:"),
        ("no tokens in a preload without slash", 'literal="/" not in name', "literal=False"),
        ("tokens in run paths", 'if "$" in element:\n', "if False:\n"),
        ("a name with a slash is a path", 'if "/" in name\n', "if False\n"),
        ("identity by inode", "known = self._process.inodes.get(entry.inode)\n        if known", "known = None\n        if known"),
        (
            "the inode's new name is remembered",
            "self._process.names.setdefault(name, known)\n",
            "pass\n",
        ),
        (
            "identity by soname",
            "self._process.names.setdefault(result.path, one)\n        if elf.soname is not None:",
            "self._process.names.setdefault(result.path, one)\n        if False:",
        ),
        ("the program has no inode", "has_identity=not is_program", "has_identity=True"),
        ("the empty name is the program", 'self._process.names[""] = self._main', "pass"),
        ("the loader answers to PT_INTERP", "self._process.names[identity.requested] = one", "pass"),
        ("the vDSO is there", "if name in _VDSO:", "if False:"),
        (
            "a loaded filter moves to the front",
            "self._process.move(request.found, before=one)",
            "pass",
        ),
        (
            "a missing auxiliary is no fault",
            "if request is not None and (request.found or name in one.elf.filters):",
            "if request is not None:",
        ),
        ("what is mapped is judged", "if judgement.outcome != Outcome.FOUND:", "if False:"),
        ("LD_BIND_NOW", 'now or bool(self._environment.variable("LD_BIND_NOW"))', "now"),
        ("errno's words at start", "_NUMBERED.get(errno, errno)", "errno"),
        ("only names asked for answer version needs", "process.names.get(name)\n            return", "process.sonames.get(name)\n            return"),
    ),
    *_of(
        "glibc_loader.py",
        ("hwcaps directories", 'if name in cpu]', "if False]"),
        ("older hwcaps directories", 'if version is not None and version < (2, 37):\n        token', "if False:\n        token"),
    ),
    *_of(
        "preload.py",
        ("LD_PRELOAD comes first", 'for name in re.split("[ :]", variable):', "for name in ():"),
        ("the preload file is read", "        if name:\n            yield name, path", "        if False:\n            yield name, path"),
        ("comments in the preload file", '_COMMENT.sub("", text)', "text"),
        ("a preload's message has no errno", 'reason = _ERRNO_WORDS.sub("", reason)', "pass"),
    ),
    *_of(
        "search.py",
        ("the cache is asked", "result = self._search_cache(name, plan.no_default, trail)", "result = None"),
        (
            "DF_1_NODEFLIB drops cached system directories",
            "if no_default and hit.path.startswith(self._system_directories):",
            "if False:",
        ),
        ("default directories come last", "if result is None and not plan.no_default:", "if False:"),
        (
            "a stopping file stops",
            "if step.outcome in (Outcome.STOPS, Outcome.FOUND):\n                    return",
            "if step.outcome in (Outcome.FOUND,):\n                    return",
        ),
        ("an error ends a list", "if step.outcome == Outcome.LIST_ABANDONED:\n                return None", "if False:\n                return None"),
        ("only where the directory exists", "entry is not None and entry.kind == EntryKind.DIRECTORY", "True"),
        ("ENOTDIR ends no list from 2.39 on", "if error == PathError.ENOTDIR and self._passes_non_directories:", "if False:"),
        ("a relative directory counts as existing", 'if not directory.startswith("/"):', "if False:"),
        ("an unreadable file is passed over", "if not entry.permits(self._environment.credentials, 4):", "if False:"),
        ("relative to the working directory", "candidate,\n            directory=self._environment.working_directory,", "candidate,"),
        ("older hwcap words of the cache", "self._environment.cpu, self._legacy_hwcaps)", "self._environment.cpu)"),
        ("another machine is told as absent", "reason = PathError.ENOENT.value if skipped or not step.detail else step.detail", "reason = step.detail"),
    ),
    *_of(
        "candidates.py",
        ("another class is passed over", "return Judgement(Outcome.WRONG_CLASS,", "return Judgement(Outcome.STOPS,"),
        ("another machine is passed over", "return Judgement(Outcome.WRONG_MACHINE,", "return Judgement(Outcome.STOPS,"),
        ("the OS ABI is judged", 'return "ELF file OS ABI invalid"', 'return ""'),
        ("the ABI version is judged", "if elf.abi_version and not", "if False and not"),
        ("objects that are no library", "if elf.type not in (ElfType.DYN, ElfType.EXEC):\n            return", "if False:\n            return"),
        ("ET_EXEC is refused", "if elf.type == ElfType.EXEC:", "if False:"),
        ("no dynamic section", 'if not elf.has_dynamic:\n            return Judgement(Outcome.STOPS, "object', 'if False:\n            return Judgement(Outcome.STOPS, "object'),
        ("a program is no library", "if elf.is_pie and self.refuses_pie:", "if False:"),
        ("a directory stops", 'return Judgement(Outcome.STOPS, "cannot read file data: Is a directory")', "return Judgement(Outcome.ABSENT)"),
        ("a short file stops", "or entry.size < 52:", "or False:"),
        ("musl refuses what is no ELF file", "if not isinstance(elf, ElfFacts) or elf.type not in (ElfType.DYN, ElfType.EXEC):\n        return Judgement(Outcome.STOPS,", "if not isinstance(elf, ElfFacts) or elf.type not in (ElfType.DYN, ElfType.EXEC):\n        return Judgement(Outcome.ABSENT,"),
        ("a directory stops musl", 'return Judgement(Outcome.STOPS, "Is a directory")', "return Judgement(Outcome.ABSENT)"),
    ),
    *_of(
        "cache_file.py",
        ("never a second choice", "ordinary = ordinary or entry\n            elif entry.hwcaps in", "ordinary = entry\n            elif entry.hwcaps in"),
        ("digits compare as numbers", "int(part[-18:]) if index % 2 else part", "part"),
        ("entries for other ABIs", "if entry.flags not in flags:", "if False:"),
        ("hwcaps entries come first", "return best or ordinary", "return ordinary or best"),
        ("hwcaps entries need the CPU", "elif entry.hwcaps in hwcaps and (", "elif ("),
    ),
    *_of(
        "process.py",
        ("order counts after filters", "if self.reordered:", "if False:"),
        ("a soname answers", "found = found or self.sonames.get(name)", "pass"),
    ),
    *_of(
        "tokens.py",
        ("a token ends where an identifier does", "(?![A-Za-z0-9_])", ""),
        ("braces around tokens", "\\{(ORIGIN|LIB|PLATFORM)\\}", "\\{(ORIGIN)\\}"),
        ("musl gives up at other dollars", "return None\n    return _MUSL_TOKEN", "pass\n    return _MUSL_TOKEN"),
    ),
    *_of(
        "versions.py",
        ("versions are compared", "if version.name not in defined", "if False"),
        ("a weak version only warns", "one.path, version.weak)", "one.path, False)"),
        ("an unversioned library is no error", "if not provider.elf.has_version_definitions:", "if False:"),
        ("a version file must be loaded", "if need.file not in missing_names:", "if False:"),
        ("DT_RELR needs its promise", "if _lacks_relr_version(one.elf, glibc):", "if False:"),
    ),
    *_of(
        "assertions.py",
        ("check_match asserts", "if one is provider:", "if False:"),
        ("not from 2.41 on", "if glibc is None or glibc > _LAST:", "if glibc is None:"),
        ("lazy references wait", "one.elf.bind_now or not reference.lazy)", "True)"),
    ),
    *_of(
        "symbol_lookup.py",
        ("a versioned reference needs its version", "if version is UNVERSIONED or not self._has_versions:", "if True:"),
        ("a base definition answers too", "(not label and not reference_hidden)", "False"),
        ("the oldest version answers an unversioned reference", "return number <= _FIRST_NAMED_VERSION or not is_hidden", "return not is_hidden"),
        ("hidden versions are not for musl", "return not is_hidden and fact & 15 != _IFUNC", "return fact & 15 != _IFUNC"),
        ("indirect functions are not for musl", "return not is_hidden and fact & 15 != _IFUNC", "return not is_hidden"),
        ("hidden symbols are not for glibc", "if fact & _LOCAL_BITS in _LOCAL:", "if False:"),
    ),
    *_of(
        "missing_symbols.py",
        ("lazy binding", "lazy = reference.lazy and not", "lazy = False and not"),
    ),
    *_of(
        "binding.py",
        ("an object binds at once", "bind_now or one.elf.bind_now", "bind_now"),
    ),
    *_of(
        "opened_files.py",
        ("names with 64", "[name for name in names.hashes if self._answers_alias(name)]", "[]"),
    ),
    *_of(
        "musl.py",
        ("reserved names", "if name.startswith(_RESERVED) or name", "if name"),
        ("the short name is where it was found", "if one.short_name == name:", "if one.elf.soname == name:"),
        ("only a search gives a short name", 'one.short_name = path.rpartition("/")[2] if searched else ""', 'one.short_name = path.rpartition("/")[2]'),
        ("a search gives it later too", "elif searched and not known.short_name:", "elif False:"),
        ("RUNPATH is inherited", "one = one.loader\n        lists", "one = None\n        lists"),
        ("LD_LIBRARY_PATH comes first", "lists = [(How.LIBRARY_PATH, \"\", self._library_path)]", "lists = []"),
        ("empty elements are skipped", "for element in _SEPARATORS.split(text) if element)", "for element in _SEPARATORS.split(text))"),
        ("the path file is read", "return split_path(text), How.PATH_FILE", "return _DEFAULT_PATH, How.DEFAULT"),
        ("the path file ends at NUL", 'data.split(b"\\0", 1)[0]', "data"),
        ("an unusable path file leaves nothing", "return (), How.PATH_FILE", "return _DEFAULT_PATH, How.DEFAULT"),
        ("no run path for a preload", "self._load_library(name, None)\n        strings", "self._load_library(name, self._main)\n        strings"),
        ("any other errno ends the search", "if error in _CONTINUES else Outcome.LIST_ABANDONED", "if True else Outcome.LIST_ABANDONED"),
        ("identity by inode", "known = self._process.inodes.get(entry.inode)\n        if known", "known = None\n        if known"),
        ("a libc is replaced", "if self._is_a_libc(elf):", "if False:"),
        ("names with 64 are new in 1.2.4", "_ALIASES_SINCE = (1, 2, 4)", "_ALIASES_SINCE = (0,)"),
        ("no separator but colon and newline", '_SEPARATORS = pattern("[:\\n]")', '_SEPARATORS = pattern("[:;\\n]")'),
    ),
)  # fmt: skip
