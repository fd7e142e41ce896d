"""Programs whose dynamic loader (PT_INTERP) is absent, unusable, or another libc's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Tier, TrailLine
from imagescan.loader.missing_symbols import Binding
from imagescan.loader.values import LinkMap
from imagescan.patterns import pattern
from imagescan.rules.blame import blame_absent, blame_lost_link, blame_present
from imagescan.rules.detectors.common import StartProblem, bundle_of, certainty_of, unstarted
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.detectors.versions import version_key
from imagescan.rules.messages import exec_failure, library_missing, symbol_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

VALUES = frozenset({"interpreter", "errno", "loaders", "bundle", "missing_at", "origin", "release", "lacks"})
_C_LIBRARY = pattern(
    r"(ld-linux|ld64|ld|libc|libm|libpthread|libdl|librt|libutil|libanl|libresolv|libmvec)[.-].*|libc\.musl-.*"
)
_COMPANIONS = pattern(r"(/[^/]+\.libs)(?:/|$)")


def interpreter_problems(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Programs and plugins whose start fails for the sake of their loader.

    Parameter ``problem``: missing, unusable, glibc-on-musl or musl-on-glibc.
    """
    wanted = StartProblem(text(parameters, "problem"))
    concerned = unstarted(facts, wanted)
    companions = _companions(concerned)
    for found in concerned:
        yield _observe(facts, found, wanted, companions)


def _companions(objects: Iterable[ObjectFacts]) -> Mapping[str, str]:
    """Directories of libraries that wheels bring along, with the package whose run path names them:
    a distribution's name (psycopg2_binary.libs) need not be its package's (psycopg2)."""
    return {
        bundle_of(found.path).rpartition("/")[0] + match[1]: bundle_of(found.path)
        for found in objects
        if (match := _COMPANIONS.search(found.elf.runpath or found.elf.rpath or ""))
    }


def _bundle(path: str, companions: Mapping[str, str]) -> str:
    return companions.get(path.rpartition("/")[0], bundle_of(path))


def _observe(
    facts: ImageFacts, found: ObjectFacts, problem: StartProblem, companions: Mapping[str, str]
) -> Observation:
    link_map = found.link_map
    fault = link_map.interpreter_fault if link_map else None
    interpreter = found.elf.interpreter or ""
    certainty, condition = certainty_of(found)
    plugin = found.tier is Tier.PLUGIN
    bundle = _bundle(found.path, companions)
    group = bundle if plugin else interpreter
    return Observation(
        cause=(problem.value, group),
        object=found.path,
        tier=found.tier,
        certainty=certainty,
        items=_items(link_map) if fault is None else (interpreter,),
        values={
            "interpreter": interpreter,
            "errno": fault[0] if fault else "",
            "loaders": ", ".join(loader.path for loader in facts.loaders) or "none",
            "bundle": bundle,
            "missing_at": _missing_at(facts, interpreter),
            "origin": _origin(interpreter),
            "release": _release(found),
            "lacks": "" if plugin else _lacks(facts, found),
        },
        runtime_message=_message(found, link_map, fault),
        trail=_trail(facts, interpreter) if interpreter else _other_libc(facts, found),
        blame=_blame(facts, found, problem, interpreter),
        condition=condition,
    )


def _items(link_map: LinkMap | None) -> tuple[str, ...]:
    symbols = link_map.missing_symbols if link_map else ()
    return tuple(symbol.symbol for symbol in symbols if symbol.binding is Binding.IMMEDIATE)


def _message(found: ObjectFacts, link_map: LinkMap | None, fault: tuple[str, str] | None) -> str:
    if fault is not None:
        return exec_failure(found.path, fault[0])
    symbols = (
        [one for one in link_map.missing_symbols if one.binding is Binding.IMMEDIATE] if link_map else []
    )
    if symbols and link_map:
        return symbol_missing(link_map, symbols[0])
    return _dlopen_message(found)


def _dlopen_message(found: ObjectFacts) -> str:
    """What dlopen(3) of a plugin for another libc says first; "" where that depends on its symbols and the
    image has no program that opens it."""
    if found.opened is not None:
        opened = found.opened.link_map
        for library in opened.missing:
            return library_missing(opened, library, is_program=False)
        for symbol in opened.missing_symbols:
            return symbol_missing(opened, symbol)
    for name in found.elf.needed:
        if name.startswith("ld-linux"):
            return f"Error loading shared library {name}: No such file or directory (needed by {found.path})"
        if name == "libc.so" or name.startswith("libc.musl-"):
            return f"{name}: cannot open shared object file: No such file or directory"
    return ""


def _missing_at(facts: ImageFacts, interpreter: str) -> str:
    resolution = facts.filesystem.resolve(interpreter) if interpreter else None
    return resolution.stopped_at or interpreter if resolution else ""


def _origin(interpreter: str) -> str:
    """Where a program with such an interpreter comes from, where the path says it."""
    if interpreter.startswith(("/nix/store/", "/gnu/store/")):
        return " The path is one of a Nix or Guix store: the program was built there."
    if "ld-lsb" in interpreter:
        return " The name is that of the Linux Standard Base, which current distributions do not ship."
    return ""


def _release(found: ObjectFacts) -> str:
    """A sentence with the newest glibc release that a program asks for; "" where it asks for one
    release only."""
    names = {one.name for need in found.elf.version_needs for one in need.versions}
    releases = sorted((name for name in names if name.startswith("GLIBC_2.")), key=version_key)
    if len(releases) < 2:  # the first release for this machine, which tells nothing
        return ""
    return f" {found.path} asks for symbols of glibc {releases[-1].removeprefix('GLIBC_')}."


def _lacks(facts: ImageFacts, found: ObjectFacts) -> str:
    """A sentence with the libraries, but for those of libc, that are nowhere in the image either."""
    wanted = {one for one in found.elf.needed if not _C_LIBRARY.fullmatch(one)}
    if not wanted:
        return ""
    for one in facts.objects:
        wanted -= {one.elf.soname or "", one.path.rpartition("/")[2]}
    absent = [one for one in found.elf.needed if one in wanted]
    return f" It also needs {phrase(absent, 6)}, which the image does not have." if absent else ""


def _trail(facts: ImageFacts, interpreter: str) -> tuple[TrailLine, ...]:
    """The links from the interpreter's path to where it ends."""
    resolution = facts.filesystem.resolve(interpreter)
    hops = tuple(TrailLine("link", hop.link, f"points to {hop.target}") for hop in resolution.hops)
    outcome = "found" if resolution.entry else "absent"
    return (*hops, TrailLine("kernel", resolution.stopped_at or interpreter, outcome))


def _other_libc(facts: ImageFacts, found: ObjectFacts) -> tuple[TrailLine, ...]:
    """What a plugin needs of a C library that the image does not have."""
    loaders = ", ".join(f"{loader.kind.value} ({loader.path})" for loader in facts.loaders)
    names = [name for name in found.elf.needed if _C_LIBRARY.fullmatch(name)]
    return tuple(
        TrailLine("needed", name, "is of another C library", f"this image has {loaders}") for name in names
    )


def _blame(
    facts: ImageFacts, found: ObjectFacts, problem: StartProblem, interpreter: str
) -> tuple[Blame, ...]:
    if problem is StartProblem.INTERPRETER_MISSING:
        lost = blame_absent(facts, [interpreter]) or blame_lost_link(facts, interpreter)
        if lost:
            return lost
    return blame_present(facts, found.path)


INTERPRETER = Detector("interpreter", interpreter_problems, {"problem": str}, VALUES)
