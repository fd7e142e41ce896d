"""What the real dynamic loaders say about every ELF file of a root file system.

In: a root directory. Out: one ``Truth`` per ELF file. glibc is asked in its trace mode
(``LD_TRACE_LOADED_OBJECTS``), programs by executing them and everything else through the loader that
the root has (executing ``ld.so --list`` would stop at the first missing library); ``LD_VERBOSE`` adds
which object answers each version requirement, ``LD_DEBUG=libs,files`` who asked first and which part
of the search found it, ``LD_WARN`` the symbols. musl is asked with ``--list``. The needed entries of
each object are read with pyelftools, so nothing here depends on what is being tested.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from tests.oracle.chroot import Ended, execute

VDSO = ("linux-vdso.so.1", "linux-vdso64.so.1", "linux-gate.so.1")
SHIPPED = ("/opt/wheels", "/opt/node_modules")  # what PyPI and npm have for either libc
EMULATOR = "/qemu"  # inside a root of another machine


SEARCHES = {
    "RPATH from file": "rpath",
    "RUNPATH from file": "runpath",
    "LD_LIBRARY_PATH": "ld_library_path",
    "system search path": "default",
}
EARLIER = "a run path or LD_LIBRARY_PATH"  # a default directory, searched before the cache


@dataclass(frozen=True, slots=True)
class Platform:
    """A machine: pyelftools' name of it, its glibc loader, and the static QEMU that plays it ("": none
    needed, this machine is one)."""

    machine: str
    glibc: str
    emulator: str = ""
    musl: str = ""


AMD64 = Platform("EM_X86_64", "/lib64/ld-linux-x86-64.so.2", musl="/lib/ld-musl-x86_64.so.1")
I386 = Platform("EM_386", "/lib/ld-linux.so.2")  # kernels of amd64 run it too
ARM64 = Platform("EM_AARCH64", "/lib/ld-linux-aarch64.so.1", "qemu-aarch64-static")
S390X = Platform("EM_S390", "/lib/ld64.so.1", "qemu-s390x-static")
ARMHF = Platform("EM_ARM", "/lib/ld-linux-armhf.so.3", "qemu-arm-static")
PPC64EL = Platform("EM_PPC64", "/lib64/ld64.so.2", "qemu-ppc64le-static")
RISCV64 = Platform("EM_RISCV", "/lib/ld-linux-riscv64-lp64d.so.1", "qemu-riscv64-static")
MIPS64EL = Platform("EM_MIPS", "/lib64/ld.so.1", "qemu-mips64el-static")


@dataclass(frozen=True, slots=True)
class Request:
    """The first request for one name: by whom, answered with which path, found how ("" unknown), and
    every candidate tried. glibc does not try a directory again that it once found absent."""

    name: str
    requester: str
    path: str
    how: str
    tried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """One needed entry of one object and the path that answers it (None: nothing does)."""

    requester: str
    needed: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Symbol:
    """An undefined symbol, its version ("" for none) and the object that needs it."""

    name: str
    version: str
    needed_by: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What a real loader says about one file.

    ``objects`` are (name, path or None) in the order listed, without the file itself, the loader
    and the vDSO. ``refusal`` is the loader's or kernel's message when it lists nothing.
    ``missing_versions`` are (needed by, library, version).
    """

    file: str
    loader: str
    refusal: str = ""
    objects: tuple[tuple[str, str | None], ...] = ()
    edges: tuple[Edge, ...] = ()
    requests: tuple[Request, ...] = ()
    missing_versions: frozenset[tuple[str, str, str]] = frozenset()
    immediate: frozenset[Symbol] = frozenset()
    all_symbols: frozenset[Symbol] = frozenset()


@dataclass(frozen=True, slots=True)
class Described:
    """What pyelftools reads from one file's dynamic section."""

    interpreter: str
    needed: tuple[str, ...]
    soname: str
    dynamic: bool
    kind: str  # e_type
    machine: str
    is_pie: bool


def elf_files(root: Path) -> Iterator[str]:
    """The path inside the root of every regular file with the ELF magic, sorted."""
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield "/" + str(path.relative_to(root))


def inside(root: Path, path: str) -> Path:
    """Where a path inside the root lies outside, every symlink taken as the root's own."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    found: list[str] = []
    hops = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            found = found[:-1]
            continue
        here = root.joinpath(*found, part)
        if here.is_symlink() and (hops := hops + 1) < 40:
            target = str(here.readlink())
            found = [] if target.startswith("/") else found
            parts = [piece for piece in target.split("/") if piece not in ("", ".")] + parts
        else:
            found.append(part)
    return root.joinpath(*found)


def canonical(root: Path, path: str) -> str:
    """The path inside the root that a path inside the root leads to."""
    return "/" + str(inside(root, path).relative_to(root))


@cache
def describe(path: Path) -> Described | None:
    """The dynamic section of one file as pyelftools reads it; None when it cannot."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            segments = {segment.header.p_type: segment for segment in elf.iter_segments()}
            interpreter = segments["PT_INTERP"].get_interp_name() if "PT_INTERP" in segments else ""
            dynamic = segments.get("PT_DYNAMIC")
            tags = list(dynamic.iter_tags()) if dynamic else []
            needed = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
            sonames = [tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"]
            return Described(
                interpreter,
                needed,
                sonames[-1] if sonames else "",
                dynamic is not None,
                elf.header.e_type,
                elf.header.e_machine,
                any(tag.entry.d_tag == "DT_FLAGS_1" and tag.entry.d_val & 0x08000000 for tag in tags),
            )
    except (ELFError, OSError, AssertionError, KeyError, UnicodeDecodeError):
        return None


def is_asked(described: Described | None, platform: Platform = AMD64) -> bool:
    """Whether a loader of that machine can be asked about such a file at all."""
    return (
        described is not None
        and described.dynamic
        and described.kind in ("ET_DYN", "ET_EXEC")
        and described.machine == platform.machine
        and bool(described.interpreter or described.needed or not described.is_pie)  # not static
    )


def serving_loader(file: str, described: Described) -> str:
    """The loader that a file asks for, or that its libc belongs to when it asks for none."""
    if described.interpreter:
        return "musl" if "ld-musl" in described.interpreter else "glibc"
    musl = any(name == "libc.so" or name.startswith("libc.musl-") for name in described.needed)
    return "musl" if musl or file.endswith("-linux-musl/libc.so") else "glibc"


def other_loader(file: str, described: Described) -> str:
    """The loader of the other libc, for what is shipped to be opened by programs that nobody ships
    with it (wheels, addons); "" for anything else, and for a musl of its own."""
    if described.interpreter or not file.startswith(SHIPPED):
        return ""
    return "glibc" if serving_loader(file, described) == "musl" else "musl"


def ask(root: Path, file: str, described: Described, platform: Platform = AMD64, loader: str = "") -> Truth:
    """Everything that a real loader says about one file; the one that serves it unless told otherwise."""
    if (loader or serving_loader(file, described)) == "musl":
        return ask_musl(root, file, platform)
    return ask_glibc(root, file, described, platform)


def ask_glibc(root: Path, file: str, described: Described, platform: Platform) -> Truth:
    """Trace a program by executing it, anything else through the root's own loader."""
    everything = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "yes"}
    eager = everything | {"LD_BIND_NOW": "1", "LD_VERBOSE": "1", "LD_DEBUG": "libs,files"}
    mode = inside(root, file).stat().st_mode
    direct = described.interpreter and mode & 0o111 and not mode & 0o6000  # secure mode lists nothing
    command = [file] if direct else [platform.glibc, file]
    if platform.emulator:
        command.insert(0, EMULATOR)

    def trace(environment: Mapping[str, str]) -> Ended:
        return execute(root, command[0], command[1:], environment=environment)

    full, lazy = trace(eager), trace(everything)
    listed = _listed(full.out)
    if full.exec_error or not listed:
        message = full.exec_error or next(iter(_messages(full.err)), "")
        nothing_needed = "statically linked" in full.out
        if not nothing_needed:
            return Truth(file, "glibc", refusal=message or f"no answer (code {full.code})")
    objects = tuple((name, path) for name, path in listed if not _own(name, path))
    versions = tuple(_versions(full.out))
    answers = {name: path for name, path in listed if path}
    aliases = {(by, library): path for by, library, _, path in versions if path}
    return Truth(
        file,
        "glibc",
        objects=objects,
        edges=tuple(_edges(root, file, objects, answers, aliases, "glibc")),
        requests=tuple(_requests(full.err, file)),
        missing_versions=frozenset((by, library, name) for by, library, name, path in versions if not path),
        immediate=frozenset(_undefined(lazy.out + lazy.err)),
        all_symbols=frozenset(_undefined(full.out + full.err)),
    )


def ask_musl(root: Path, file: str, platform: Platform) -> Truth:
    """Ask musl with ``--list``, which also relocates: all symbols are immediate."""
    ended = execute(root, platform.musl, ["--list", file])
    listed = _listed(ended.out)
    absent = re.findall(r"^Error loading shared library (.+?): .*\(needed by", ended.err, re.M)
    objects = tuple((name, path) for name, path in listed if not _own(name, path))
    objects += tuple((name, None) for name in dict.fromkeys(absent))
    symbols = frozenset(
        Symbol(name, "", by)
        for by, name in re.findall(r"^Error relocating (.+): (\S+): symbol not found", ended.err, re.M)
    )
    refusal = "" if listed else ended.err.strip() or ended.exec_error
    answers = {name: path for name, path in listed if path}
    edges = tuple(_edges(root, file, objects, answers, {}, "musl"))
    return Truth(file, "musl", refusal, objects=objects, edges=edges, immediate=symbols, all_symbols=symbols)


def _listed(out: str) -> list[tuple[str, str | None]]:
    """``(name, path)`` of each line of a trace; the path is None for ``not found``."""
    found: list[tuple[str, str | None]] = []
    for line in out.split("\n\tVersion information:")[0].splitlines():
        if match := re.fullmatch(r"\t(.+) => (.+) \(0x[0-9a-f]+\)", line):
            found.append((match[1], match[2]))
        elif match := re.fullmatch(r"\t(.+) => not found", line):
            found.append((match[1], None))
        elif match := re.fullmatch(r"\t(.+) \(0x[0-9a-f]+\)", line):
            found.append((match[1], match[1]))
    return found


def _own(name: str, path: str | None) -> bool:
    return name in VDSO or (path or "").startswith(("/lib64/ld", "/lib/ld"))


def _edges(
    root: Path,
    file: str,
    objects: tuple[tuple[str, str | None], ...],
    answers: Mapping[str, str],
    aliases: Mapping[tuple[str, str], str],
    loader: str,
) -> Iterator[Edge]:
    """Every needed entry of every object listed. A name has one answer in a process; a name that is
    not listed is an alias, which the version lines or the soname of a listed object tell."""
    loaded = [file, *(path for _, path in objects if path)]
    sonames: dict[str, str] = {}
    for path in loaded[1:] if loader == "musl" else loaded:  # glibc's first object has a soname too
        description = describe(inside(root, path))
        sonames.setdefault(description.soname if description else "", path)
    for requester in loaded:
        description = describe(inside(root, requester))
        for needed in description.needed if description else ():
            answer = answers.get(needed) or aliases.get((requester, needed)) or sonames.get(needed)
            yield Edge(requester, needed, answer)


def _versions(out: str) -> Iterator[tuple[str, str, str, str | None]]:
    """(needed by, library, version, path of the provider or None) of the LD_VERBOSE part."""
    needed_by = ""
    for line in out.partition("\n\tVersion information:")[2].splitlines():
        if match := re.fullmatch(r"\t(\S.*):", line):
            needed_by = match[1]
        elif match := re.fullmatch(r"\t\t(.+) \((.+?)\)(?: \[WEAK\])? => (.+)", line):
            yield needed_by, match[1], match[2], None if match[3] == "not found" else match[3]


def _requests(err: str, file: str) -> Iterator[Request]:
    """The LD_DEBUG lines: who asked for a name that was not loaded yet, and what found it.

    glibc calls a directory of a run path that is also a default one a system search path, and says
    so before it names the cache, which it does before it searches the default ones.
    """
    name = requester = how = path = ""
    cached = False
    tried: list[str] = []
    for line in err.splitlines():
        text = line.partition(":\t")[2].strip()
        if match := re.fullmatch(r"file=(.+) \[0\];  needed by (.+) \[0\](?: \(relocation.*)?", text):
            name, requester, cached, tried = match[1], match[2], False, []
            how, path = ("path", name) if "/" in name else ("", "")
        elif match := re.match(r"search path=.*\((.+?)(?: /.*)?\)$", text):
            how = SEARCHES.get(match[1], match[1])
            if how == "default" and not cached:
                how = EARLIER
        elif text.startswith("search cache="):
            how, cached = "cache", True
        elif text.startswith("trying file="):
            path = text.removeprefix("trying file=")
            tried.append(path)
        elif name and text == f"file={name} [0];  generating link map":
            yield Request(name, requester, path, how, tuple(tried))
            name = ""


def _undefined(text: str) -> Iterator[Symbol]:
    for match in re.finditer(r"^undefined symbol: (\S+?)(?:, version (\S+))?\s+\((.+)\)$", text, re.M):
        yield Symbol(match[1], match[2] or "", match[3])


def _messages(err: str) -> list[str]:
    """Lines of standard error that are no debugging output."""
    return [line for line in err.splitlines() if not re.match(r"\s*\d+:\t", line)]
