"""Traps T56 and T57: libraries of the right machine with another ABI in e_flags.

The loaders are those of whole foreign roots, played by QEMU.
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
from tests.oracle.roots import ROOTS, root
from tests.oracle.truth import EMULATOR
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle

GOOD, BAD = "/t/good/libv.so.1", "/t/bad/libv.so.1"
MACHINES = {
    "bookworm-armhf": ("arm-linux-gnueabihf", 36),
    "trixie-riscv64": ("riscv64-linux-gnu", 48),
    "bookworm-ppc64el": ("powerpc64le-linux-gnu", 48),
    "bookworm-mips64el": ("mips64el-linux-gnuabi64", 48),
    "trixie-arm64": ("aarch64-linux-gnu", 48),
}
CASES = [
    ("bookworm-armhf", 0x05000200, GOOD),  # soft float
    ("bookworm-armhf", 0x05000000, BAD),  # does not say
    ("trixie-riscv64", 0x1, GOOD),  # soft float, compressed
    ("trixie-riscv64", 0x3, GOOD),  # single float
    ("trixie-riscv64", 0x4, BAD),  # double float, not compressed
    ("bookworm-ppc64el", 1, GOOD),  # ABI version 1
    ("bookworm-ppc64el", 0, BAD),  # does not say
    ("bookworm-mips64el", 0x80000407, GOOD),  # NaN of 2008
    ("trixie-arm64", 1, BAD),  # no flag is looked at
]
USER = "const char *of_v(void); const char *use(void) { return of_v(); }"


@pytest.mark.parametrize(("name", "flags", "found"), CASES)
def test_t56_t57_a_library_of_another_float_abi_is_passed_over(name: str, flags: int, found: str) -> None:
    require_root()
    require_tool(ROOTS[name].platform.emulator, "qemu-user-static")
    target, offset = MACHINES[name]
    good = library(GOOD, soname="libv.so.1", compiler=zig(target))
    user = library("/t/m.so", needs=["libv.so.1"], soname="m.so", compiler=zig(target), source=USER)
    bad = bytearray(good)
    struct.pack_into("<I", bad, offset, flags)
    with tempfile.TemporaryDirectory(dir=root(name).parent) as directory:
        copy = Path(directory, "root")
        copy.mkdir()
        for path in ("lib", "lib64", "usr/lib", "usr/lib64"):
            source = root(name) / path
            if source.is_symlink():
                (copy / path).symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(
                    source,
                    copy / path,
                    symlinks=True,
                    copy_function=hard_link,
                    ignore=lambda _, names: [one for one in names if one in ("gconv", "perl", "perl5")],
                )
        (copy / "proc").mkdir()
        hard_link(str(root(name)) + EMULATOR, str(copy) + EMULATOR)
        for path, content in ((GOOD, good), (BAD, bytes(bad)), ("/t/m.so", user)):
            outside = copy / path[1:]
            outside.parent.mkdir(parents=True, exist_ok=True)
            outside.write_bytes(content)
        variables = {"LD_LIBRARY_PATH": "/t/bad:/t/good", "LD_TRACE_LOADED_OBJECTS": "1"}
        ended = execute(copy, EMULATOR, [ROOTS[name].platform.glibc, "/t/m.so"], environment=variables)
        assert f"libv.so.1 => {found} (" in ended.out, ended
        model = Simulation(filesystem(copy), environment(variables)).link_map(ImagePath("/t/m.so"))
    said = [one.path for one in model.objects[1:] if one.requested == "libv.so.1"]
    if said != [found]:
        raise ModelDisagrees(f"{name} {flags:#x}: {said}, not {found}")
