"""What a hostile config or name can cost: nothing here may take longer than a moment.

What has no bound takes minutes; the limit is CPU time, and wide, so that a busy machine fails nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from imagescan.facts import ImageFacts
from imagescan.plugins.dormant import variant_family, without_words
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.rules.judge import judge
from imagescan.startup.shells import ShellKind, read_call

MANY = 200_000
A_MOMENT = 20  # seconds of CPU time
SHELL = ExampleFile(b'#!/bin/sh\nexec "$@"\n', mode=0o755)
STATIC = ExampleFile(b"", mode=0o755)


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < A_MOMENT


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
        assert facts(cmd=("/bin/sh", "-c", line)).startup.steps
    assert read_call(ShellKind.DASH, ("sh", *("-o",) * MANY)) is None
    read_call(ShellKind.DASH, ("sh", "-" + "k" * MANY))


SLOW_SCRIPTS = {
    "very many commands": "true\n" * 12_000,
    "functions that call each other": "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(99))
    + "f0\n",
    "a function that calls itself": "f() { f; f; }\nf\n",
    "a value that doubles": "x=aaaaaaaaaaaaaaaa\n" + 'x="$x$x"\n' * 5000,
    "arguments that double": "set -- a b\n" + 'set -- "$@" "$@"\n' * 3000,
    "a pattern made to be slow": "x=" + "a" * 4000 + '\necho "${x%%*a*a*a*a*b}"\n',
    "commands inside each other": "if x; then " * 5000,
    "brackets inside each other": "( " * 20_000,
    "expansions inside each other": 'echo "' + "${x:-" * 10_000,
    "substitutions inside each other": 'echo "' + '$("' * 10_000,
    "a long word": "a" * 60_000 + "\n",
    "escapes": "\\a" * 30_000 + "\n",
    "questions": "command -v x && " * 3000 + "true\n",
    "tests": "[ -f /x ] || " * 3000 + "true\n",
    "eval of itself": 'x=\'eval "$x$x"\'\neval "$x"\n',
    "sourcing itself": ". /slow\n" * 1000,
    "launches": "".join(f"/start {i}\n" for i in range(3000)),
}


@pytest.mark.parametrize("name", SLOW_SCRIPTS)
def test_scripts_made_to_be_slow(name: str) -> None:
    files = {
        "/slow": ExampleFile(f"#!/bin/sh\n{SLOW_SCRIPTS[name]}".encode(), mode=0o755),
        "/start": SHELL,
        "/bin/sh": ExampleFile(write_elf(ElfStandIn(type="static")), mode=0o755),
        "/bin/dash": ExampleFile(link="sh"),
    }
    image = ExampleImage(
        (ExampleLayer(files),), entrypoint=("/slow",), cmd=("/slow",), env=("PATH=" + "/a:" * 1000,)
    )
    found = example_facts(image)
    assert len(found.startup.steps) < 100
    judge(found, builtin_rules())


def test_an_environment_of_very_many_lines_and_a_script() -> None:
    files = {
        "/start": ExampleFile(b"#!/bin/sh\n" + b"true\n" * 5000 + b"exec /start2\n", mode=0o755),
        "/bin/sh": ExampleFile(write_elf(ElfStandIn(type="static")), mode=0o755),
    }
    env = tuple(f"A{number}=x" for number in range(MANY // 4))
    assert example_facts(ExampleImage((ExampleLayer(files),), entrypoint=("/start",), env=env)).startup.steps


def test_names_made_to_be_slow() -> None:
    for name in ("-" * MANY, "-_." * MANY, "*" * MANY, "x86-" * 1000, "musl-" * 1000):
        variant_family(f"/{name}/x")
        without_words(f"/{name}/{name}.node")
