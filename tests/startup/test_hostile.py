"""What a hostile config or name can cost: nothing here may take longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from imagescan.facts import ImageFacts
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.rules.judge import judge
from imagescan.startup.dormant import variant_family, without_words
from imagescan.startup.shell_form import command_line, first_command, hands_over_arguments, is_login_shell

MANY = 200_000
SHELL = ExampleFile(b'#!/bin/sh\nexec "$@"\n', mode=0o755)
STATIC = ExampleFile(b"", mode=0o755)


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 5


def facts(**config: object) -> ImageFacts:
    files = {
        "/start": SHELL,
        "/tini": SHELL,
        "/bin/sh": SHELL,
        "/self": ExampleFile(b"#!/self\n", mode=0o755),
    }
    return example_facts(ExampleImage((ExampleLayer(files),), **config))  # type: ignore[arg-type]


def test_a_path_of_very_many_directories() -> None:
    found = facts(entrypoint=("x",), env=("PATH=" + "/a:" * MANY,))
    assert len(found.startup.steps[0].tried) <= 1000
    judge(found, builtin_rules())


def test_inits_that_start_inits() -> None:
    found = facts(entrypoint=("/tini", "--") * MANY)
    assert len(found.startup.steps) < 100


def test_an_environment_of_very_many_lines() -> None:
    judge(facts(env=tuple(f"A{number}=x" for number in range(MANY)), cmd=("/start",)), builtin_rules())


def test_a_user_that_is_a_very_long_number() -> None:
    assert facts(user="9" * MANY).user.fault


def test_command_lines_made_to_be_slow() -> None:
    for line in ("A=1 " * MANY, "exec " * MANY, "||" + " " * MANY, "-" * MANY, "|| exit " * MANY):
        first_command(line)
    assert command_line(("sh", *("-o",) * MANY)) is None
    is_login_shell(("sh", "-" + "k" * MANY))
    hands_over_arguments(" " * MANY + "\n" + "exec " * MANY)


def test_names_made_to_be_slow() -> None:
    for name in ("-" * MANY, "-_." * MANY, "*" * MANY, "x86-" * 1000, "musl-" * 1000):
        variant_family(f"/{name}/x")
        without_words(f"/{name}/{name}.node")
