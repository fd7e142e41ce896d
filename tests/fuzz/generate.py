"""Make trees out of numbers: the same seed gives the same tree, everywhere and always.

What is likely is what decides searches; what stops a loader at once is rare, because nothing behind
it is seen.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from tests.fuzz.elf_writer import (
    DF_1_NODEFLIB,
    DF_1_PIE,
    GLIBC_INTERPRETER,
    MUSL_INTERPRETER,
    Definition,
    Elf,
    Reference,
    VersionNeed,
    other_class,
)
from tests.fuzz.tree import PROGRAM, Entry, Tree

_T = TypeVar("_T")

NAMES = ("liba.so", "libb.so.1", "libb.so.01", "libc1.so", "libd.so.2", "libe.so.3")
DIRECTORIES = ("/a", "/a/sub", "/b", "/app", "/app/lib", "/opt/x", "/usr/local/lib", "/usr/lib")
MULTIARCH = {False: "/usr/lib/x86_64-linux-gnu", True: "/usr/lib/x86_64-linux-musl"}
DIRECTORY_LINKS = (("/link", "/a"), ("/b/up", ".."), ("/app/deep", "../a/sub"), ("/loop", "loop"))
HARDWARE = (
    "glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v9",
    "tls", "x86_64", "tls/x86_64",
)  # fmt: skip
SYMBOLS = ("f1", "f2", "f3", "f4")
VERSIONS = ("V1", "V2", "V3")
ODD_ELEMENTS = (
    "", "", ".", "..", "a", "a/", "lib", "//a", "/a//", "/nowhere", "/loop", "/file", "/app/program",
    "$ORIGIN/../b", "${ORIGIN}/lib", "$ORIGINx", "$FOO", "/$FOO/a", "$", "$LIB", "/usr/$LIB", "${LIB}",
    "/a/$PLATFORM", "$ORIGIN/../a/${PLATFORM}", "${ORIGIN", "$ORIGIN$LIB", "/link", "/link/sub", "/b/up/a",
    "/app/deep", "${FOO}", "file", "../file", "loop",
)  # fmt: skip
ODD_NAMES = {
    False: (
        "libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", GLIBC_INTERPRETER, "linux-vdso.so.1", "libnone.so",
        "/lib/x86_64-linux-gnu/libm.so.6", "", "$LIB", "lib$FOO.so", "libb.so.001", "libb.so.2",
    ),
    True: (
        "libc.so", "libc.so.6", "libm.so.6", "libdl.dll", "libc", "libpthread.", MUSL_INTERPRETER,
        "libnone.so", "ld-musl-x86_64.so.1", "/lib/libc.musl-x86_64.so.1", "",
        "/lib/x86_64-linux-musl/libc.so",
    ),
}  # fmt: skip
PREFIXES = (
    "./", "a/", "../a/", "lib/", "$ORIGIN/", "$ORIGIN/../b/", "${ORIGIN}/lib/", "/usr/$LIB/", "$FOO/",
    "$ORIGINx/", "/a/$PLATFORM/", "/link/", "//a/", "/b/up/a/", "/file/", "/loop/", "$LIB/", "/nowhere/",
)  # fmt: skip
HARMLESS = ("other class", "other machine", "dangling", "unreadable") * 2
STOPPING = (
    "empty", "text", "short", "directory", "looping", "os abi", "abi version", "executable", "relocatable",
    "pie", "no dynamic", "big-endian", "segmentless",
)  # fmt: skip


def generate(seed: int, suite: str, *, musl: bool) -> Tree:
    """One tree for one loader."""
    return _Generator(Random(f"{seed} {suite} {musl}"), suite, musl).tree()


class _Generator:
    def __init__(self, random: Random, suite: str, musl: bool) -> None:
        self.random = random
        self.suite = suite
        self.musl = musl
        self.names = self.some(NAMES, 2, 5)
        self.directories = self.some((*DIRECTORIES, MULTIARCH[musl]), 2, 5)
        self.symbols = self.chance(0.6)
        self.filtered = False
        self.odd = self.chance(0.5)
        self.entries: dict[str, Entry] = {}

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, values: Sequence[_T]) -> _T:
        return self.random.choice(values)

    def some(self, values: Sequence[_T], least: int, most: int) -> list[_T]:
        return self.random.sample(values, min(len(values), self.random.randint(least, most)))

    def tree(self) -> Tree:
        self.put(Entry("/file", "file", 0o644, data="00"))
        for path, target in DIRECTORY_LINKS:
            if self.chance(0.4):
                self.put(Entry(path, "link", target=target))
        for _ in range(self.random.randint(2, 9)):
            self.put(Entry(self.place(), "elf", elf=self.library()))
        if self.chance(0.2):
            self.hardware()
        if self.chance(0.35):
            self.aliases()
        uid = 1000 if self.chance(0.15) else 0
        if self.chance(0.3) or uid:
            self.bad_candidates(uid)
        self.put(Entry(PROGRAM, "elf", elf=self.program()), replace=True)
        cached = not self.musl and self.chance(0.4)
        if cached:
            self.configuration()
        if self.chance(0.08) and not self.musl:
            text = self.one(("{} {}", "{}:{}\n", "# {}\n{}", "\t{}#{}", "{}\n\n{}"))
            content = text.format(self.preload(), self.preload())
            self.put(Entry("/etc/ld.so.preload", "file", 0o644, data=content.encode().hex()))
        if self.musl and self.chance(0.5):
            self.path_file()
        if uid and self.chance(0.3):
            self.close_directory()
        stale = self.stale() if cached and self.chance(0.5) else ()
        return Tree(
            self.suite,
            self.musl,
            self.ordered(),
            self.variables(),
            self.working_directory(),
            uid,
            cached,
            stale,
        )

    def close_directory(self) -> None:
        """Make a directory with libraries hard to get into for another user."""
        closable = [path for path in self.directories if path.startswith(("/a", "/b", "/opt"))]
        path = self.one([one for one in closable if not one.startswith("/app")] or ["/b"])
        self.entries.pop(path, None)
        self.entries[path] = Entry(path, "directory", self.one((0o700, 0o744, 0o711)))

    def put(self, entry: Entry, *, replace: bool = False) -> None:
        if replace or entry.path not in self.entries:
            self.entries[entry.path] = entry

    def ordered(self) -> tuple[Entry, ...]:
        """Directories first (parents before children); hard links last."""
        order = {"directory": 0, "hardlink": 2}
        return tuple(sorted(self.entries.values(), key=lambda entry: (order.get(entry.kind, 1), entry.path)))

    def place(self) -> str:
        return f"{self.one(self.directories)}/{self.one(self.names)}"

    def program(self) -> Elf:
        interpreter = MUSL_INTERPRETER if self.musl else GLIBC_INTERPRETER
        return self.object(interpreter=interpreter, soname=None, flags_1=DF_1_PIE, least=1)

    def library(self) -> Elf:
        soname = None if self.chance(0.2) else self.one(self.names)
        return self.object(interpreter="", soname=soname, flags_1=0, least=0)

    def object(self, *, interpreter: str, soname: str | None, flags_1: int, least: int) -> Elf:
        needed = tuple(self.needed() for _ in range(self.random.randint(least, 3)))
        style = self.random.random()
        rpath = self.run_path() if style < 0.3 or style > 0.92 else None
        runpath = self.run_path() if 0.3 <= style < 0.6 or style > 0.92 else None
        versions = tuple(self.some(VERSIONS, 1, 3)) if self.symbols and self.chance(0.35) else ()
        needs = self.version_needs(needed)
        definitions = self.definitions(versions)
        rare = self.random.random()
        if interpreter or self.filtered:
            # Filters of a program confuse glibc (2.31 asserts, later ones lose what is loaded), and two
            # objects that filter each other keep it busy for ever.
            rare = 1.0
        self.filtered = self.filtered or rare < 0.05
        return Elf(
            interpreter=interpreter,
            needed=needed,
            soname=soname,
            rpath=rpath,
            runpath=runpath,
            filters=(self.needed(),) if rare < 0.02 else (),
            auxiliaries=(self.needed(),) if 0.02 <= rare < 0.05 else (),
            flags_1=flags_1 | (DF_1_NODEFLIB if self.chance(0.06) else 0),
            bind_now=self.chance(0.15),
            versions=versions,
            needs=needs,
            definitions=definitions,
            references=self.references(needs, definitions),
            gnu_hash=self.chance(0.5),
            relr="libc.so.6" in needed and self.chance(0.3),
        )

    def needed(self) -> str:
        kind = self.random.random()
        name = self.one(self.names)
        if kind < 0.80 or not self.odd:
            return name
        if kind < 0.88:
            odd = self.one(ODD_NAMES[self.musl])
            # From 2.36 on an assertion fails where something needs the vDSO, depending on the order.
            return name if odd == "linux-vdso.so.1" and self.suite != "bullseye" else odd
        if kind < 0.93:
            return f"{self.one(self.directories)}/{name}"
        return self.one(PREFIXES) + name

    def run_path(self) -> str:
        elements = [self.element() for _ in range(self.random.choice((1, 1, 2, 3, 4)))]
        return ":".join(elements)

    def element(self) -> str:
        kind = self.random.random()
        if kind < 0.6:
            return self.one(self.directories)
        if kind < 0.75:
            return self.one(("$ORIGIN", "$ORIGIN/lib", "${ORIGIN}/../a", "$ORIGIN/../usr/local/lib"))
        return self.one(ODD_ELEMENTS) if self.odd else self.one(DIRECTORIES)

    def version_needs(self, needed: Sequence[str]) -> tuple[VersionNeed, ...]:
        if not self.symbols or set(needed) <= {"linux-vdso.so.1"} or not self.chance(0.45):
            return ()
        needed = [name for name in needed if name != "linux-vdso.so.1"]
        files = list(dict.fromkeys(needed if self.chance(0.97) else [self.one(self.names)]))
        needs: list[VersionNeed] = []
        for file in self.some(files, 1, 2):
            if file == "libc.so.6":
                names = self.some(("GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_9.9", "GLIBC_ABI_DT_RELR"), 1, 2)
            else:
                names = self.some(VERSIONS, 1, 2)
            needs.append(VersionNeed(file, tuple((name, self.chance(0.15)) for name in names)))
        return tuple(needs)

    def definitions(self, versions: Sequence[str]) -> tuple[Definition, ...]:
        if self.musl and self.chance(0.03):
            return (Definition("__libc_start_main"), Definition("stdin"))
        if not self.symbols:
            return ()
        made = []
        for name in self.some(SYMBOLS, 0, 4):
            # An indirect function is an error of its own under glibc when its file is relocated later.
            indirect = "ifunc" if self.musl else "function"
            kind = self.one(("function",) * 8 + ("weak", "weak", indirect, "unique", "invisible"))
            if versions and self.chance(0.75):
                chosen = self.some(versions, 1, 2)
                made += [
                    Definition(name, version, place > 0 or self.chance(0.3), kind)
                    for place, version in enumerate(chosen)
                ]
            else:
                made.append(Definition(name, "", bool(versions) and self.chance(0.1), kind))
        return tuple(made)

    def references(
        self, needs: Sequence[VersionNeed], defined: Sequence[Definition]
    ) -> tuple[Reference, ...]:
        if not self.symbols:
            return ()
        made = []
        # A file with an undefined and a defined symbol of one name is no file that a linker makes
        # without versions; musl finds the first of the two.
        mine = {one.name for one in defined} if self.musl else set()
        for name in self.some([one for one in SYMBOLS if one not in mine], 0, 2):
            version = library = ""
            if needs and self.chance(0.7):
                need = self.one(needs)
                library, version = need.file, self.one(need.versions)[0]
            made.append(Reference(name, version, library, self.chance(0.15), self.chance(0.5)))
        if self.musl and self.chance(0.1):
            made.append(
                Reference(self.one(("open64", "fcntl64", "readdir64_r", "__open64", "read", "printf")))
            )
        return tuple(made)

    def hardware(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            path = f"{self.one(self.directories)}/{self.one(HARDWARE)}/{self.one(self.names)}"
            if self.chance(0.2):
                self.put(Entry(path, "elf", elf=Elf(soname=self.one(self.names), machine=183)))
            else:
                self.put(Entry(path, "elf", elf=self.library()))

    def aliases(self) -> None:
        """Symbolic and hard links to files, some of them under other names."""
        files = [path for path, entry in self.entries.items() if entry.kind == "elf"]
        for _ in range(self.random.randint(1, 3)):
            target = self.one(files)
            if self.chance(0.5):
                self.put(Entry(self.place(), "hardlink", target=target))
            else:
                self.put(Entry(self.place(), "link", target=self.one((target, target.rpartition("/")[2]))))

    def bad_candidates(self, uid: int) -> None:
        for _ in range(self.random.randint(1, 2)):
            kind = self.one(STOPPING) if self.chance(0.3) else self.one(HARMLESS)
            path = self.place()
            if any(entry.target == path for entry in self.entries.values()):
                continue
            self.put(self.bad(kind, path), replace=True)

    def bad(self, kind: str, path: str) -> Entry:
        simple = Elf(soname=self.one(self.names), definitions=self.definitions(()))
        made = {
            "other class": lambda: Entry(path, "file", data=other_class().hex()),
            "other machine": lambda: self.changed(path, simple, machine=183),
            "dangling": lambda: Entry(
                path, "link", target=self.one(("/nowhere", "gone", "/file/x", "/loop/x"))
            ),
            "unreadable": lambda: Entry(path, "elf", self.one((0, 0o700, 0o711, 0o040, 0o004)), elf=simple),
            "empty": lambda: Entry(path, "file"),
            "text": lambda: Entry(path, "file", data=(b"GROUP ( libc.so.6 )" * 9).hex()),
            "short": lambda: Entry(path, "file", data=b"\x7fELF\x02\x01\x01".ljust(40, b"\0").hex()),
            "directory": lambda: Entry(path, "directory"),
            "looping": lambda: Entry(path, "link", target=path.rpartition("/")[2]),
            "os abi": lambda: self.changed(path, simple, os_abi=self.one((3, 9, 97))),
            "abi version": lambda: self.changed(
                path, simple, os_abi=self.one((0, 3)), abi_version=self.one((1, 5))
            ),
            "executable": lambda: self.changed(path, simple, type=2),
            "relocatable": lambda: self.changed(path, simple, type=1),
            "pie": lambda: self.changed(path, simple, flags_1=DF_1_PIE),
            "no dynamic": lambda: self.changed(path, simple, dynamic=False),
            "big-endian": lambda: Entry(path, "file", data=b"\x7fELF\x02\x02\x01".ljust(80, b"\0").hex()),
            "segmentless": lambda: Entry(path, "file", data=_without_segments().hex()),
        }
        return made[kind]()

    @staticmethod
    def changed(path: str, elf: Elf, **fields: object) -> Entry:
        return Entry(path, "elf", elf=replace(elf, **fields))  # type: ignore[arg-type]

    def configuration(self) -> None:
        directories = self.some([one for one in self.directories if one != "/app"] or ["/b"], 1, 3)
        if self.chance(0.5):
            directories.append("/usr/local/lib")
        text = "\n".join(directories) + "\n"
        self.put(Entry("/etc/ld.so.conf.d/fuzz.conf", "file", 0o644, data=text.encode().hex()))

    def path_file(self) -> None:
        directories = [self.one((*self.directories, "a", "", "/lib", "/loop", "$ORIGIN")) for _ in range(3)]
        text = self.one(("\n", ":", "\n\n")).join(directories) + self.one(("", "\n", "\0/a", "\r\n"))
        kind = self.random.random()
        path = "/etc/ld-musl-x86_64.path"
        if kind < 0.05:
            self.put(Entry(path, "directory"))
        elif kind < 0.1:
            self.put(Entry(path, "link", target=self.one(("nowhere", "/file/x", "/loop", "../a"))))
        elif kind < 0.2:
            self.put(
                Entry(
                    path, "file", self.one((0o644, 0)), data=text.encode().hex() if self.chance(0.5) else ""
                )
            )
        else:
            self.put(Entry(path, "file", 0o644, data=text.encode().hex()))

    def stale(self) -> tuple[str, ...]:
        shared = {entry.target for entry in self.entries.values() if entry.kind == "hardlink"}
        paths = [
            path
            for path, entry in self.entries.items()
            if entry.kind in ("elf", "link", "hardlink") and path != PROGRAM and path not in shared
            and path.rpartition("/")[2].startswith("lib")
        ]  # fmt: skip
        return tuple(self.some(paths, 1, 2)) if paths else ()

    def variables(self) -> dict[str, str]:
        made = {}
        if self.chance(0.35):
            separators = ":" if self.musl or self.chance(0.8) else ";"
            made["LD_LIBRARY_PATH"] = separators.join(
                self.element() for _ in range(self.random.randint(1, 3))
            )
            if self.chance(0.2):
                made["LD_LIBRARY_PATH"] += self.one((":", ";", "::/b", ";/a"))
        elif self.chance(0.05):
            made["LD_LIBRARY_PATH"] = ""
        if self.chance(0.15):
            made["LD_PRELOAD"] = self.one((" ", ":", "  ")).join(
                self.preload() for _ in range(self.random.randint(1, 2))
            )
        if self.chance(0.1):
            made["LD_BIND_NOW"] = self.one(("1", "1", "", "0"))
        return made

    def preload(self) -> str:
        if self.chance(0.4):
            return self.place()
        return self.needed() if self.chance(0.3) else self.one(self.names)

    def working_directory(self) -> str:
        links = (
            ["/link"]
            if "/link" in self.entries and any(path.startswith("/a/") for path in self.entries)
            else []
        )
        existing = [
            path for path in ("/a", "/app") if any(one.startswith(path + "/") for one in self.entries)
        ]
        return self.one(["/", *existing, *links]) if self.chance(0.5) else "/"


def _without_segments() -> bytes:
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0) + bytes(64)
