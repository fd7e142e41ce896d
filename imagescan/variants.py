"""What a path says of the platform that its file is for: variants shipped beside each other.

A path enters, a ``Variant`` leaves. The words are those that package managers and loaders of native
code use: OCI and Go names, GNU triplets, ``os.arch`` of Java, ``process.arch`` of Node.js, .NET
runtime identifiers, Android ABIs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from imagescan.dataclasses import dataclass, field

OTHER = "other"  # an architecture that no image is for

_SYSTEMS = {
    "linux": "linux",
    "darwin": "darwin mac macos macosx osx ios iossimulator",
    "windows": "windows win win32 win-x64 mingw mingw32 mingw64 msvc",
    "android": "android",
    "freebsd": "freebsd",
    "other": "openbsd netbsd dragonflybsd sunos solaris illumos aix hpux zos haiku",
}
_ARCHITECTURES = {
    "amd64": "amd64 x86_64 x86-64 x64 intel64",
    "386": "386 i386 i486 i586 i686 x86 x86_32 ia32",
    "arm64": "arm64 aarch64 aarch_64 arm64v8 armv8 arm64-v8a arm64e",
    "arm": "arm armv5 armv6 armv6l armv7 armv7l armv7a armhf armel arm32 arm_32 armv7hf",
    "ppc64le": "ppc64le ppc64el powerpc64le ppcle_64",
    "s390x": "s390x s390_64",
    "riscv64": "riscv64 riscv64gc",
    "loong64": "loong64 loongarch64 loongarch_64",
    "mips64le": "mips64le mips64el mipsel64",
    OTHER: "ppc ppc64 ppc_64 ppc_32 powerpc sparc sparcv9 sparc_64 mips mips64 mipsel mipsle itanium_64 ia64",
}
_LIBCS = {"musl": "musl", "glibc": "gnu glibc gnueabi gnueabihf"}
_JOINED = {
    "linuxmusl": ("linux", "", "musl"), "linux-musl": ("linux", "", "musl"), "alpine": ("linux", "", "musl"),
    "musleabi": ("", "", "musl"), "musleabihf": ("", "", "musl"),
    "linux32": ("linux", "386", ""), "linux64": ("linux", "amd64", ""),
    "windows32": ("windows", "386", ""), "windows64": ("windows", "amd64", ""),
    "win64": ("windows", "amd64", ""), "osx64": ("darwin", "amd64", ""),
    "armeabi": ("android", "arm", ""), "armeabi-v7a": ("android", "arm", ""),
    "arm64-v8a": ("android", "arm64", ""),
}  # fmt: skip
_JOINTS = "-_.+"  # prebuilds/darwin-x64+arm64


@dataclass(frozen=True, slots=True)
class Variant:
    """What a path says; a field is "" where it says nothing.

    ``system`` is linux, darwin, windows, android, freebsd or other; ``architecture`` an OCI
    architecture or ``other``; ``libc`` is glibc or musl. ``family`` is the path without those words:
    equal for all variants of one thing, and the path itself where it says nothing.
    """

    system: str
    architecture: str
    libc: str
    family: str

    @property
    def says_something(self) -> bool:
        """Whether the path names any platform."""
        return bool(self.system or self.architecture or self.libc)


_Meaning = tuple[str, str, str]


def _builtin_words() -> Mapping[str, _Meaning]:
    words: dict[str, _Meaning] = {}
    for name, text in _SYSTEMS.items():
        words |= dict.fromkeys(text.split(), (name, "", ""))
    for name, text in _ARCHITECTURES.items():
        words |= dict.fromkeys(text.split(), ("", name, ""))
    for name, text in _LIBCS.items():
        words |= dict.fromkeys(text.split(), ("", "", name))
    return MappingProxyType({**words, **_JOINED})


def _any_of(words: Iterable[str]) -> str:
    """A pattern for any of these words that looks at each character once: names may be long."""
    tails: dict[str, list[str]] = {}
    ends = False
    for word in words:
        if word:
            tails.setdefault(word[0], []).append(word[1:])
        else:
            ends = True
    if not tails:
        return ""
    branches = "|".join(re.escape(first) + _any_of(rest) for first, rest in sorted(tails.items()))
    return f"(?:{branches}){'?' if ends else ''}"


@dataclass(frozen=True)
class Vocabulary:
    """Words (lower case) with the system, architecture and C library that each names."""

    words: Mapping[str, tuple[str, str, str]] = field(default_factory=_builtin_words)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![A-Za-z0-9]){_any_of(self.words)}(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII)

    def joined(self, more: Mapping[str, tuple[str, str, str]]) -> Vocabulary:
        """This with more words, which win."""
        return Vocabulary(MappingProxyType({**self.words, **more})) if more else self

    def read(self, path: str) -> Variant:
        """What a path says. The last word of a kind counts, but android before linux."""
        system = architecture = libc = ""
        for match in self._pattern.finditer(path):
            meaning = self.words[match[0].lower()]
            system = system if system == "android" else meaning[0] or system
            architecture = meaning[1] or architecture
            libc = meaning[2] or libc
        return Variant(system, architecture, libc, self._family(path))

    def _family(self, path: str) -> str:
        first, *rest = self._pattern.split(path)
        if not rest:
            return path
        *middle, last = rest
        pieces = (first.rstrip(_JOINTS), *(one.strip(_JOINTS) for one in middle), last.lstrip(_JOINTS))
        kept = (one for place, one in enumerate(pieces) if one or place in (0, len(rest)))
        return re.sub(r"\*(?:/\*)+", "*", "*".join(kept))


BUILTIN = Vocabulary()


def read_variant(path: str) -> Variant:
    """What a path says in the words that everybody uses."""
    return BUILTIN.read(path)
