"""What is fixed per architecture: interpreter names, cache flags, hwcaps, platform strings.

One row per platform of ``loader.md`` sections 3.1, 4.7, 4.8 and 4.9. Sources: glibc
``shlib-versions``, ``sysdeps/generic/ldconfig.h`` and ``dl-hwcap``/``dl-hwcaps_subdirs``; musl
``arch/*/reloc.h``; the kernel's ELF_PLATFORM.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts, Machine

_ARM_HARD_FLOAT = 0x400
_MIPS_NAN2008 = 0x400


@dataclass(frozen=True, slots=True)
class LoaderPlatform:
    """One ABI that a dynamic loader is built for.

    ``glibc_interpreter`` and ``musl_interpreter`` are the standard PT_INTERP strings,
    ``cache_flags`` what ld.so.cache marks its entries with, ``hwcaps`` all glibc-hwcaps names
    best first, ``platform_token`` what ``$PLATFORM`` expands to ("" drops the element),
    ``legacy_hwcaps`` the bits of the older scheme that every CPU has (sysdeps/x86/dl-hwcap.h).
    """

    architecture: str  # as an OCI platform names it
    glibc_interpreter: str
    musl_interpreter: str
    cache_flags: frozenset[int]
    hwcaps: tuple[str, ...] = ()
    platform_token: str = ""
    legacy_hwcaps: int = 1 << 63  # of the words in a cache before glibc 2.37; this bit is "tls"


_X86_LEVELS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
_PLATFORMS = {
    "x86_64": LoaderPlatform(
        "amd64", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", frozenset((0x0303,)),
        _X86_LEVELS, "x86_64", 1 << 63 | 1 << 1,
    ),
    "x32": LoaderPlatform(
        "amd64", "/libx32/ld-linux-x32.so.2", "/lib/ld-musl-x32.so.1", frozenset((0x0803,)), (), "x86_64"
    ),
    "i386": LoaderPlatform(
        "386", "/lib/ld-linux.so.2", "/lib/ld-musl-i386.so.1", frozenset((0x0003, 0x0001)), (), "i686"
    ),
    "aarch64": LoaderPlatform(
        "arm64", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1", frozenset((0x0A03,)),
        (), "aarch64",
    ),
    "armhf": LoaderPlatform(
        "arm", "/lib/ld-linux-armhf.so.3", "/lib/ld-musl-armhf.so.1", frozenset((0x0903, 0x0003)), (), "v7l"
    ),
    "arm": LoaderPlatform(
        "arm", "/lib/ld-linux.so.3", "/lib/ld-musl-arm.so.1", frozenset((0x0B03, 0x0003)), (), "v7l"
    ),
    "ppc64le": LoaderPlatform(
        "ppc64le", "/lib64/ld64.so.2", "/lib/ld-musl-powerpc64le.so.1", frozenset((0x0503,)),
        ("power10", "power9"), "power8",
    ),
    "s390x": LoaderPlatform(
        "s390x", "/lib/ld64.so.1", "/lib/ld-musl-s390x.so.1", frozenset((0x0403,)),
        ("z17", "z16", "z15", "z14", "z13"), "z13",
    ),
    "riscv64": LoaderPlatform(
        "riscv64", "/lib/ld-linux-riscv64-lp64d.so.1", "/lib/ld-musl-riscv64.so.1", frozenset((0x1003,))
    ),
    "loong64": LoaderPlatform(
        "loong64", "/lib64/ld-linux-loongarch-lp64d.so.1", "/lib/ld-musl-loongarch64.so.1",
        frozenset((0x1203,)), (), "loongarch",
    ),
    "mips64le": LoaderPlatform(
        "mips64le", "/lib64/ld.so.1", "/lib/ld-musl-mips64el.so.1", frozenset((0x0703,))
    ),
    "mips64le-nan2008": LoaderPlatform(
        "mips64le", "/lib64/ld-linux-mipsn8.so.1", "/lib/ld-musl-mips64el.so.1", frozenset((0x0E03,))
    ),
}  # fmt: skip

_BY_HEADER: dict[tuple[int, int], str] = {
    (Machine.X86_64, 64): "x86_64",
    (Machine.X86_64, 32): "x32",
    (Machine.I386, 32): "i386",
    (Machine.AARCH64, 64): "aarch64",
    (Machine.PPC64, 64): "ppc64le",
    (Machine.S390, 64): "s390x",
    (Machine.RISCV, 64): "riscv64",
    (Machine.LOONGARCH, 64): "loong64",
}


def platform_of(elf: ElfFacts) -> LoaderPlatform | None:
    """The ABI that a file is built for, or None for one that no loader here serves."""
    if elf.machine == Machine.ARM:
        return _PLATFORMS["armhf" if elf.flags & _ARM_HARD_FLOAT else "arm"]
    if elf.machine == Machine.MIPS and elf.elf_class == 64:
        return _PLATFORMS["mips64le-nan2008" if elf.flags & _MIPS_NAN2008 else "mips64le"]
    name = _BY_HEADER.get((elf.machine, elf.elf_class))
    return _PLATFORMS[name] if name else None


def cpu_levels(level: str) -> tuple[str, ...] | None:
    """The glibc-hwcaps names that a CPU of the given level enables, best first: the level and
    those below it. Empty for an architecture's baseline (``x86-64-v1``, ``baseline``), None for
    a name that no architecture knows."""
    if level in ("baseline", "x86-64-v1", "x86-64"):
        return ()
    for platform in _PLATFORMS.values():
        if level in platform.hwcaps:
            return platform.hwcaps[platform.hwcaps.index(level) :]
    return None


def known_cpu_levels() -> tuple[str, ...]:
    """Every level that ``cpu_levels`` knows."""
    names = [name for platform in _PLATFORMS.values() for name in platform.hwcaps]
    return ("baseline", *sorted(set(names)))
