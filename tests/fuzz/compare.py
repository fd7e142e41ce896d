"""Lay what the model says beside what the real loader said: disagreements leave, as sentences.

Where the trace differs from a real start on purpose, this is the place that knows it:

- The trace of glibc fakes a missing auxiliary (DT_AUXILIARY) object, which a real start passes over.
- The trace lists objects as they were mapped, while a filter moves in front of what names it: the list
  is not compared then, but the scope is, which ``LD_DEBUG=scopes`` tells of a real start.
- The trace says "statically linked" of a program without DT_NEEDED, even when preloads are loaded.
- A fatal file ends the trace; what the model found behind it has no counterpart.
- A faked library answers version checks by its name, also when somebody else found a real one, and the
  table of version names is then too short: versions and symbols are not compared where a missing name
  is also a version need's file.
- The errno after a search is what the last system call left, be it a stat of a directory that the loader
  knows not to exist, or nothing at all: its words are not compared when nothing was found.
- Up to 2.36 a loader that something needs asks the libc for malloc, and fails when there is no libc.
- musl says a stale errno when the path file could not be used.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache

from imagescan.content import FileInspector
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.index import index_layer
from imagescan.layers.values import ImagePath, LayerIndex
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.missing_symbols import Binding
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import How, LinkMap
from tests.fuzz.elf_writer import GLIBC_INTERPRETER, MUSL_INTERPRETER
from tests.fuzz.real import Answer, RealLoader, Run, base_tar
from tests.fuzz.tree import PROGRAM, Tree, tar
from tests.oracle.model import environment, host_cpu, unlike_anew, unlike_single
from tests.oracle.roots import root

VDSO = "linux-vdso.so.1"
_FATAL = "error while loading shared libraries: "
PATH_FILE = "/etc/ld-musl-x86_64.path"
_CRASHED = -11
MAXIMUM_OPENED = 4  # files of a tree that its program opens as plugins


@cache
def _cpu() -> tuple[str, ...]:
    """What the helper's tunables leave of this machine: level 2, where it has that."""
    return tuple(name for name in host_cpu(root("trixie")) if name == "x86-64-v2")


@cache
def _base(suite: str) -> LayerIndex:
    return index_layer(io.BytesIO(base_tar(suite)), None, FileInspector())


def simulate(tree: Tree, written: bytes | None) -> LinkMap:
    """What imagescan says, through the rooms that every image goes through."""
    return Simulation(_view(tree, written), _process(tree)).link_map(ImagePath(PROGRAM))


def _view(tree: Tree, written: bytes | None) -> RootFilesystem:
    layer = index_layer(io.BytesIO(tar(tree.remaining(), written)), None, FileInspector())
    return merge([_base(tree.suite), layer])


def _process(tree: Tree) -> ProcessEnvironment:
    return environment(dict(tree.variables), directory=tree.directory, uid=tree.uid, cpu=_cpu())


def disagreements(tree: Tree, real: RealLoader) -> list[str]:
    """Ask both sides about one tree."""
    return judge(tree, real.ask(tree))


def judge(tree: Tree, answer: Answer) -> list[str]:
    """Compare the model with what a loader has answered."""
    model = simulate(tree, answer.cache)
    said = list(_musl(tree, model, answer) if tree.musl else _glibc(tree, model, answer))
    view, process = _view(tree, answer.cache), _process(tree)
    return [*said, *unlike_single(view, process), *unlike_anew(view, process, _openings(view))]


def _openings(view: RootFilesystem) -> Iterator[tuple[ImagePath, tuple[ImagePath, ...], bool]]:
    """The program opens the last files of its tree one after the other, and each alone."""
    files = [entry.path for entry in view.contents() if isinstance(entry.content, ElfFacts)]
    files = [path for path in files if path != PROGRAM][-MAXIMUM_OPENED:]
    if view.resolve(PROGRAM).entry is not None:
        for count in range(1, len(files) + 1):
            yield ImagePath(PROGRAM), tuple(files[:count]), bool(count & 1)
            yield ImagePath(PROGRAM), (files[count - 1],), True


def _glibc(tree: Tree, model: LinkMap, answer: Answer) -> Iterator[str]:
    fatal = next((one.missing for one in model.missing if one.missing and one.missing.stopped_by), None)
    yield from _same("refused preload", _preload_faults(model), _real_preload_faults(answer.eager))
    stops = f"{fatal.about}: {fatal.message}" if fatal else ""
    refused = next((one for one in model.faults if one.code == "relr-without-version"), None)
    if refused and not stops:
        stops = refused.message
    yield from _same("fatal stop", stops, _real_fatal(answer.eager))
    assertion = next((one for one in model.faults if one.message.startswith("Inconsistency")), None)
    if "Inconsistency" in answer.eager.err and model.missing:
        pass  # a missing name is also one that a version need names: the start tells
    elif assertion and not fatal:
        if not model.missing:
            yield from _same("assertion", assertion.message, _real_assertion(answer))
    elif not stops:
        yield from _listing(tree, model, answer)
    yield from _start(model, answer)


def _listing(tree: Tree, model: LinkMap, answer: Answer) -> Iterator[str]:
    """Objects, missing names, versions and symbols of a trace that went to its end."""
    filtered = any(one.elf and one.elf.filters + one.elf.auxiliaries for one in tree.entries)
    absent = [one.missing.about or one.needed for one in model.missing if one.missing]
    if not filtered and "statically linked" not in answer.eager.out:
        listed = list(_listed(answer.eager))
        found = [path for _, path in listed if path and path not in (VDSO, GLIBC_INTERPRETER)]
        own = (How.LOADER, How.VDSO, How.PROGRAM)
        yield from _same("objects", [one.path for one in model.objects if one.how not in own], found)
        yield from _same("not found", absent, [name for name, path in listed if path is None])
    needs = {need.file for one in model.objects for need in one.elf.version_needs}
    if (filtered or needs & set(absent)) and absent:
        return
    yield from _same("versions", _versions(model), _real_versions(answer.eager))
    if "check_match: Assertion" not in answer.eager.err:
        yield from _same("all symbols", _symbols(model, lazy=True), _real_symbols(answer.eager))
        yield from _same("immediate symbols", _symbols(model, lazy=False), _real_symbols(answer.lazy))


def _start(model: LinkMap, answer: Answer) -> Iterator[str]:
    """Whether the program starts, its first failure, and the scope."""
    real = _real_start(answer.start)
    claimed = _first_failures(model)
    alone = all(one.elf.soname != "libc.so.6" for one in model.objects)
    if real.endswith("undefined symbol: calloc, version GLIBC_2.2.5") and alone:
        return
    if real not in claimed:
        yield f"start: the model says {' or '.join(claimed)!r}, the loader {real!r}"
    scope = re.search(r"object=/app/program \[0\]\n.*scope 0: (.*)", answer.start.err)
    if scope:
        objects = [GLIBC_INTERPRETER if one.how is How.LOADER else one.path for one in model.objects]
        # An object that came in as a filter may be listed a second time, where nobody looks any more.
        yield from _same("scope", objects, [name for name in dict.fromkeys(scope[1].split()) if name != VDSO])


def _first_failures(model: LinkMap) -> list[str]:
    """Every failure that may come first: symbols are bound from the last object to the first."""
    for resolution in model.missing:
        assert resolution.missing is not None
        about = resolution.missing.about or resolution.needed
        return [_without_errno(f"{about}: {resolution.missing.message}")]
    inconsistent = [one.message for one in model.faults if one.message.startswith("Inconsistency")]
    if any("dl-version" in message for message in inconsistent):
        return inconsistent[:1]
    refused = [one.message for one in model.faults if one.code == "relr-without-version"]
    versions = {
        f"{one.provider}: version `{one.version}' not found (required by {one.needed_by})"
        for one in model.missing_versions
        if not one.weak
    }
    if refused:
        return refused[:1]
    if versions:
        return ["; ".join(sorted(versions))]
    symbols = [one for one in model.missing_symbols if one.binding is Binding.IMMEDIATE]
    return sorted(
        f"{one.needed_by}: undefined symbol: {one.symbol}"
        + (f", version {one.version}" if one.version else "")
        for one in symbols
    ) + inconsistent or ["started"]


def _real_start(run: Run) -> str:
    if run.out == "started\n" and run.code == 0:
        return "started"
    text = "\n".join(line for line in run.err.splitlines() if not re.match(r"\s*\d+:\t", line))
    if match := re.search(r"symbol lookup error: (.*)", text):
        return match[1]
    if match := re.search(re.escape(_FATAL) + r"(.*)", text):
        return _without_errno(match[1])
    if "Inconsistency" in text:
        return _inconsistency(text)
    versions = re.findall(r"^/app/program: (\S+: version `.*' not found \(required by .*\))$", text, re.M)
    if versions:
        return "; ".join(sorted(set(versions)))
    return f"code {run.code}: {text}"


def _has_usable_path_file(tree: Tree) -> bool:
    """Whether musl can read a directory out of its path file, or there is none."""
    entry = next((one for one in tree.entries if one.path == PATH_FILE), None)
    if entry is None:
        return True
    readable = entry.kind == "file" and (tree.uid == 0 or entry.mode & 4 > 0)
    return readable and bool(entry.content().split(b"\0")[0].strip(b":\n"))


def _without_errno(reason: str) -> str:
    searched = re.fullmatch(r"([^/]*: cannot open shared object file)(: .*)?", reason)
    return searched[1] if searched else reason


def _musl(tree: Tree, model: LinkMap, answer: Answer) -> Iterator[str]:
    listed = [path for _, path in _listed(answer.eager) if path and path != MUSL_INTERPRETER]
    own = (How.LOADER, How.RESERVED)
    claimed = [one.path for one in model.objects[1:] if one.how not in own]
    yield from _same("objects", claimed, listed)
    absent = re.findall(
        r"^Error loading shared library (.*): (.*) \(needed by (.*)\)$", answer.eager.err, re.M
    )
    expected = [(one.needed, one.missing.message, one.opened) for one in model.missing]
    if not model.missing or _has_usable_path_file(tree):
        yield from _same("not found", expected, absent)
    else:
        stripped = [[(name, by) for name, _, by in one] for one in (expected, absent)]
        yield from _same("not found", *stripped)
    symbols = re.findall(r"^Error relocating (.*): (\S+): symbol not found$", answer.eager.err, re.M)
    if answer.eager.code != _CRASHED:
        yield from _same("symbols", _plain(model), {f"{name} ({by})" for by, name in symbols})
    started = answer.start.out == "started\n" and answer.start.code == 0
    wrong = any(one.code == "wrong-machine-loaded" for one in model.faults)
    if not (wrong and answer.start.code < 0):
        yield from _same("starts", not (expected or model.missing_symbols), started)


def _plain(model: LinkMap) -> set[str]:
    return {f"{one.symbol} ({one.needed_by})" for one in model.missing_symbols}


def _same(what: str, claimed: object, real: object) -> Iterator[str]:
    if claimed != real:
        yield f"{what}: the model says {claimed!r}, the loader {real!r}"


def _listed(run: Run) -> Iterator[tuple[str, str | None]]:
    for line in run.out.splitlines():
        if match := re.fullmatch(r"\t(.*) => (.+) \(0x[0-9a-f]+\)", line):
            yield match[1], match[2]
        elif match := re.fullmatch(r"\t(.*) => not found", line):
            yield match[1], None
        elif match := re.fullmatch(r"\t(.+) \(0x[0-9a-f]+\)", line):
            yield match[1], match[1]


def _preload_faults(model: LinkMap) -> list[str]:
    return [one.message for one in model.faults if one.code == "preload-failed"]


def _real_preload_faults(run: Run) -> list[str]:
    return [line for line in run.err.splitlines() if line.startswith("ERROR: ld.so:")]


def _real_fatal(run: Run) -> str:
    match = re.search(re.escape(_FATAL) + r"(.*)", run.err)
    return match[1] if match else ""


def _real_assertion(answer: Answer) -> str:
    return _inconsistency(answer.eager.err)


def _inconsistency(text: str) -> str:
    match = re.search(r"Inconsistency detected by ld.so: (\S+): \d+: (.*)", text)
    return f"Inconsistency detected by ld.so: {match[1]}: {match[2]}" if match else ""


def _versions(model: LinkMap) -> set[str]:
    missing = {
        f"{one.provider}: {'weak ' if one.weak else ''}version `{one.version}' not found "
        f"(required by {one.needed_by})"
        for one in model.missing_versions
    }
    return missing | {one.message for one in model.faults if one.code == "no-version-information"}


def _real_versions(run: Run) -> set[str]:
    found = re.findall(r"^/app/program: (\S+: (?:weak )?version `.*)$", run.err, re.M)
    found += re.findall(r"^/app/program: (\S+: no version information available .*)$", run.err, re.M)
    return set(found)


def _symbols(model: LinkMap, *, lazy: bool) -> set[str]:
    return {
        f"{one.symbol} {one.version or ''} ({one.needed_by})"
        for one in model.missing_symbols
        if lazy or one.binding is Binding.IMMEDIATE
    }


def _real_symbols(run: Run) -> set[str]:
    text = run.out + run.err
    return {
        f"{match[1]} {match[2] or ''} ({match[3]})"
        for match in re.finditer(r"^undefined symbol: (\S+?)(?:, version (\S+))?\s+\((.+)\)$", text, re.M)
    }
