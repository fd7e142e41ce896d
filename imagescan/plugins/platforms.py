"""Which ELF files the kernel of an image's platform executes.

``ElfFacts`` and ``Platform`` enter, a yes or no leaves. ``loader.md`` sections 2.2 and 3.1.
"""

from __future__ import annotations

from imagescan.elf.facts import ElfFacts, Machine
from imagescan.loader.platforms import platform_of
from imagescan.reference import Platform

# Kernels of the left also run programs of the right (ia32 emulation, AArch32 EL0).
_ALSO_RUNS = {"amd64": {"386"}, "arm64": {"arm"}}
_KNOWN = frozenset({"amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "loong64", "mips64le"})
_RUN_BY = {one: {one} | _ALSO_RUNS.get(one, set()) for one in _KNOWN}
_BIG_ENDIAN = frozenset({"s390x"})
_NAMES = {
    Machine.I386: "i386",
    Machine.MIPS: "MIPS",
    Machine.PPC64: "64-bit PowerPC",
    Machine.S390: "s390x",
    Machine.ARM: "32-bit ARM",
    Machine.SPARCV9: "SPARC V9",
    Machine.X86_64: "x86-64",
    Machine.AARCH64: "64-bit ARM",
    Machine.RISCV: "RISC-V",
    Machine.LOONGARCH: "LoongArch",
}


def architecture_of(elf: ElfFacts) -> str | None:
    """The OCI architecture that a file is built for, or None for a machine that no image has."""
    platform = platform_of(elf)
    if platform is None or elf.little_endian == (platform.architecture in _BIG_ENDIAN):
        return None
    return platform.architecture


def runs_on(elf: ElfFacts, platform: Platform) -> bool:
    """Whether a kernel of this platform accepts the file's machine, class and byte order.

    True where the platform is not one that this tool knows: no evidence, no verdict.
    """
    wanted = platform.architecture
    if wanted not in _KNOWN:
        return True
    return architecture_of(elf) in _RUN_BY[wanted]


def machine_name(elf: ElfFacts) -> str:
    """The machine as people call it, such as ``64-bit ARM``."""
    name = _NAMES.get(elf.machine)  # type: ignore[call-overload]
    return str(name) if name else f"machine {elf.machine}"
