"""env's own splitting and options; the programs themselves are asked in ``test_real_wrappers``."""

from __future__ import annotations

import pytest

from imagescan.startup.env_program import read_env, split_string

VARIABLES = {"HOME": "/root", "TOOL": "m", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node --a 'b c'", ["node", "--a", "b c"]),
        ("A=1 node\\_y z\\tw # no", ["A=1", "node", "y", "z\tw"]),
        ('"a b"c "" d', ["a bc", "", "d"]),
        ("a\\cb", ["a"]),
        ("${TOOL} '${TOOL}' \"x${TOOL}\"", ["m", "${TOOL}", "xm"]),
        ("${EMPTY} ${ABSENT}x", ["x"]),
        ("'a\\'b'", ["a'b"]),
        ("  ", []),
        ("$TOOL", None),
        ("'open", None),
        ("a\\q", None),
        ("a\\", None),
    ],
)
def test_a_string_is_split_as_env_splits_it(text: str, words: list[str] | None) -> None:
    assert split_string(text, VARIABLES) == words


@pytest.mark.parametrize(
    ("argument", "words", "unsplit"),
    [
        ("python3", ("python3", "/s"), False),
        ("python3 -u", ("python3 -u", "/s"), True),
        ("-S python3 -u", ("python3", "-u", "/s"), False),
        ("-vS python3 -u", ("python3", "-u", "/s"), False),
        ("--split-string=node --a 'b c'", ("node", "--a", "b c", "/s"), False),
        ("-S -u HOME perl", ("perl", "/s"), False),
    ],
)
def test_env_finds_the_program_of_a_shebang_line(
    argument: str, words: tuple[str, ...], unsplit: bool
) -> None:
    call = read_env((argument, "/s"), VARIABLES)
    assert (call.words, call.unsplit) == (words, unsplit)


def test_env_changes_the_environment() -> None:
    assert dict(read_env(("-i", "A=1", "m"), VARIABLES).variables) == {"A": "1"}
    assert "HOME" not in read_env(("-u", "HOME", "m"), VARIABLES).variables
    assert read_env(("-S", "PATH=/opt/bin node"), VARIABLES).variables["PATH"] == "/opt/bin"
    assert read_env(("-C", "/srv", "m"), VARIABLES).directory == "/srv"


@pytest.mark.parametrize("words", [("-x", "m"), ("--nosuch", "m"), ("--un", "A"), ("-S", "'open")])
def test_what_env_does_not_take_is_told(words: tuple[str, ...]) -> None:
    call = read_env(words, VARIABLES)
    assert call.refused == ("" if words[0] == "--un" else words[0])
    assert call.words == ()


def test_busybox_has_no_split_string() -> None:
    assert read_env(("-S m", "/s"), VARIABLES, busybox=True).refused == "-S m"


def test_strings_that_split_into_themselves_end() -> None:
    assert read_env(("-S", "-S " * 5000), {}).words == ()
