"""Traps T56 and T57: libraries of the right machine with another ABI in e_flags.

The loaders are those of Debian's other machines, played by QEMU.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

import pytest

from imagescan.layers.values import ImagePath
from imagescan.loader.simulate import Simulation
from tests.loader.compile import library, zig
from tests.loader.scene import ModelDisagrees, hard_link
from tests.oracle.chroot import execute
from tests.oracle.model import environment, filesystem
from tests.oracle.roots import BARE_ROOTS, root
from tests.oracle.truth import EMULATOR
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle

GOOD, BAD = "/t/good/libv.so.1", "/t/bad/libv.so.1"
MACHINES = {
    "bookworm-armhf-bare": ("arm-linux-gnueabihf", 36),
    "trixie-riscv64-bare": ("riscv64-linux-gnu", 48),
    "bookworm-ppc64el-bare": ("powerpc64le-linux-gnu", 48),
    "bookworm-mips64el-bare": ("mips64el-linux-gnuabi64", 48),
    "trixie-arm64-bare": ("aarch64-linux-gnu", 48),
}
CASES = [
    ("bookworm-armhf-bare", 0x05000200, GOOD),  # soft float
    ("bookworm-armhf-bare", 0x05000000, BAD),  # does not say
    ("trixie-riscv64-bare", 0x1, GOOD),  # soft float, compressed
    ("trixie-riscv64-bare", 0x3, GOOD),  # single float
    ("trixie-riscv64-bare", 0x4, BAD),  # double float, not compressed
    ("bookworm-ppc64el-bare", 1, GOOD),  # ABI version 1
    ("bookworm-ppc64el-bare", 0, BAD),  # does not say
    ("bookworm-mips64el-bare", 0x80000407, GOOD),  # NaN of 2008
    ("trixie-arm64-bare", 1, BAD),  # no flag is looked at
]
USER = "const char *of_v(void); const char *use(void) { return of_v(); }"


@pytest.mark.parametrize(("name", "flags", "found"), CASES)
def test_t56_t57_a_library_of_another_float_abi_is_passed_over(name: str, flags: int, found: str) -> None:
    require_root()
    require_tool(BARE_ROOTS[name].platform.emulator, "qemu-user-static")
    target, offset = MACHINES[name]
    good = library(GOOD, soname="libv.so.1", compiler=zig(target))
    user = library("/t/m.so", needs=["libv.so.1"], soname="m.so", compiler=zig(target), source=USER)
    bad = bytearray(good)
    struct.pack_into("<I", bad, offset, flags)
    with tempfile.TemporaryDirectory(dir=root(name).parent) as directory:
        copy = Path(directory, "root")
        shutil.copytree(root(name), copy, symlinks=True, copy_function=hard_link)
        for path, content in ((GOOD, good), (BAD, bytes(bad)), ("/t/m.so", user)):
            outside = copy / path[1:]
            outside.parent.mkdir(parents=True, exist_ok=True)
            outside.write_bytes(content)
        variables = {"LD_LIBRARY_PATH": "/t/bad:/t/good", "LD_TRACE_LOADED_OBJECTS": "1"}
        ended = execute(copy, EMULATOR, [BARE_ROOTS[name].platform.glibc, "/t/m.so"], environment=variables)
        assert f"libv.so.1 => {found} (" in ended.out, ended
        model = Simulation(filesystem(copy), environment(variables)).link_map(ImagePath("/t/m.so"))
    said = [one.path for one in model.objects[1:] if one.requested == "libv.so.1"]
    if said != [found]:
        raise ModelDisagrees(f"{name} {flags:#x}: {said}, not {found}")
