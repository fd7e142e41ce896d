"""What is asked of the directories of files once is what is asked of each file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagescan.layers.values import ImagePath
from imagescan.plugins.dormant import _failing_beside_usable, sleeps_by_path, without_words
from imagescan.plugins.families import FAMILIES

WORDS = st.sampled_from(
    [
        "linux",
        "x64",
        "-",
        ".",
        "_",
        "musl",
        "gnu",
        "glibc",
        "115",
        "abi",
        "napi",
        "node-v",
        "a",
        "tests",
        "*",
        "9",
        ".node",
        ".so",
        "win32",
        "arm64",
        "v8",
        "eabihf",
        "darwin",
        "Release",
    ]
)
NAMES = st.lists(WORDS, min_size=1, max_size=5).map("".join)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: ImagePath("/" + "/".join(parts)))


@given(st.dictionaries(PATHS, st.booleans(), max_size=12))
def test_variants_that_fail_are_those_whose_path_without_words_is_that_of_one_that_does_not(
    fails: dict[ImagePath, bool],
) -> None:
    working = {without_words(path) for path, failed in fails.items() if not failed}
    expected = {path for path in fails if fails[path] and without_words(path) in working - {path}}
    expected = {path for path in expected if without_words(path) != path}
    assert _failing_beside_usable(fails, fails.__getitem__) == expected


@given(PATHS)
def test_a_path_sleeps_by_its_end_its_start_or_a_directory_in_it(path: ImagePath) -> None:
    names = path.split("/")[1:-1]
    asleep = "tests" in names
    assert sleeps_by_path(path) is asleep
    assert sleeps_by_path(f"/usr/lib/debug{path}") and sleeps_by_path(f"{path}.debug")


@given(st.lists(NAMES, unique=True))
def test_programs_are_named_together_as_one_by_one(names: list[str]) -> None:
    known = ["python3.11", "java", "node", "perl5.36.0", "qemu-system-s390x", "xpython", "lua5.4x", "R"]
    every = [*names, *known]
    for family in FAMILIES:
        assert family.named("\n".join(every)) == [name for name in every if family.names(f"/bin/{name}")]
