"""Plain words are read as argparse reads them, and everything else is left to it."""

from __future__ import annotations

from itertools import product

import pytest

from imagescan.cli.arguments import parse
from imagescan.cli.options import OPTIONS, Kind, Option
from imagescan.cli.plain_words import read_plainly

WORDS = (
    *(
        "image",
        "x y",
        "",
        "-",
        "--",
        "-1",
        "tree",
        "-h",
        "-V",
        "--nope",
        "--env",
        "A=b",
        "--env=A=b",
        "--env=",
    ),
    *("-o", "json", "-ojson", "-o=json", "--output=json", "-q", "-qv", "--quiet", "--quiet=1", "--cmd="),
)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_plain_words_are_read_as_argparse_reads_them(length: int) -> None:
    found = {words: read_plainly(words) for words in product(WORDS, repeat=length)}
    plain = {words: values for words, values in found.items() if values is not None}
    assert len(plain) >= 2**length
    for words, values in list(plain.items())[:: 1 if length < 3 else 10]:
        assert vars(values) == vars(parse(words)), words


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_plain(option: Option) -> None:
    name, is_switch = f"--{option.name}", option.kind is Kind.SWITCH
    once = [name] if is_switch else [f"{name}=v", name, "w"]
    short = [f"-{option.short}", *once[2:]] if option.short else []
    words = [*once, "image", *once, *short, "other"]
    plain = read_plainly(words)
    assert plain is not None
    assert vars(plain) == vars(parse(words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-q"],
        ["tree", "image"],
        ["image", "tree"],
        ["image", "-h"],
        ["image", "--no-such"],
        ["image", "-o"],
    ],
)
def test_what_is_no_plain_scan_is_left_to_argparse(words: list[str]) -> None:
    assert read_plainly(words) is None
