"""Wheels' tags against the library that pip itself reads them with."""

from __future__ import annotations

from itertools import product

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags

from imagescan.bundles.bundle import HostProgram
from imagescan.bundles.wheels import Interpreter, tag_fits
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LoaderKind

PLATFORMS = {
    LoaderKind.GLIBC: [
        "manylinux_2_28_{}",
        "manylinux_2_17_{}",
        "manylinux2014_{}",
        "manylinux1_{}",
        "linux_{}",
    ],
    LoaderKind.MUSL: ["musllinux_1_2_{}", "musllinux_1_1_{}", "linux_{}"],
}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}
PYTHONS = ["cp38", "cp39", "cp310", "cp311", "cp312", "py2", "py3", "py2.py3", "py310"]
ABIS = ["none", "abi3", "cp38", "cp39", "cp310", "cp311", "cp312"]


def pip_takes(version: tuple[int, int], platforms: list[str]) -> set[Tag]:
    known = set(cpython_tags(version, platforms=platforms))
    return known | set(
        compatible_tags(version, interpreter=f"cp{version[0]}{version[1]}", platforms=platforms)
    )


@pytest.mark.parametrize("version", [(3, 9), (3, 11)])
@pytest.mark.parametrize("libc", [LoaderKind.GLIBC, LoaderKind.MUSL])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_a_tag_fits_where_pip_would_take_the_wheel(
    version: tuple[int, int], libc: LoaderKind, architecture: str
) -> None:
    asked = Interpreter(HostProgram(ImagePath("/usr/bin/python3"), architecture, libc), version)
    own = [name.format(MACHINES[architecture]) for name in PLATFORMS[libc]]
    takes = pip_takes(version, own)
    every = sorted(
        {
            name.format(machine)
            for names in PLATFORMS.values()
            for name in names
            for machine in MACHINES.values()
        }
    )
    others = ["macosx_11_0_arm64", "win_amd64"]
    for python, abi, platform in product(PYTHONS, ABIS, [*every, *others]):
        if (abi.startswith("cp") and abi != python) or (abi == "abi3" and python.startswith("py")):
            continue  # no wheel is tagged so
        tag = f"{python}-{abi}-{platform}"
        expected = any(Tag(one, abi, platform) in takes for one in python.split("."))
        assert tag_fits(tag, asked) == expected, tag


def test_tags_of_other_interpreters_are_left_alone() -> None:
    asked = Interpreter(HostProgram(ImagePath("/usr/bin/python3"), "amd64", LoaderKind.GLIBC), (3, 11))
    assert tag_fits("pp39-pypy39_pp73-manylinux_2_17_x86_64", asked)
    assert tag_fits("not a tag", asked)
