"""The image as a pod starts it: how the words are read, and what is scanned and reported then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagescan.cli.settings import settle
from imagescan.errors import UsageError
from imagescan.options import ScanOptions
from imagescan.overrides import overridden, with_variables
from imagescan.reference import Platform
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.sources.values import ImageConfig
from samples.oci import File, ImageBuilder, write_layout
from tests.cli.scanner import imagescan
from tests.reports.examples import SOUND

CONFIG = ImageConfig(
    Platform("linux", "amd64"), entrypoint=("/start",), cmd=("serve",), env=("A=1", "PATH=/bin"), user="app"
)


def options_of(*words: str, environment: Mapping[str, str] | None = None) -> ScanOptions:
    outcome = imagescan("sound", *words, environment=environment)
    assert outcome.stderr == ""
    return outcome.options[0]


def command(config: ImageConfig) -> tuple[str, ...]:
    return (*(config.entrypoint or ()), *(config.cmd or ()))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("/start", "serve")),
        (("--entrypoint", "/app"), ("/app",)),
        (("--cmd", "check --all"), ("/start", "check", "--all")),
        (("--entrypoint", "/app -v", "--cmd", '["a b"]'), ("/app", "-v", "a b")),
        (("--entrypoint", ""), ()),
        (("--cmd", "[]"), ("/start",)),
    ],
)
def test_an_entrypoint_drops_cmd_and_a_command_replaces_it(
    words: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert command(overridden(CONFIG, options_of(*words))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["/app", "a b", ""]', ("/app", "a b", "")),
        (""" /app 'a b' c\\ d "$HOME" """, ("/app", "a b", "c d", "$HOME")),
        ("[ -f x", None),
        ('["a", 1]', None),
        ('"open', None),
        ("[" * 100_000, None),
    ],
)
def test_a_command_is_a_json_list_or_shell_words(text: str, expected: tuple[str, ...] | None) -> None:
    if expected is None:
        for where, given, environment in (
            ("--entrypoint", {"entrypoint": text}, {}),
            ("IMAGESCAN_ENTRYPOINT", {}, {"IMAGESCAN_ENTRYPOINT": text}),
        ):
            with pytest.raises(UsageError, match=where):
                settle(given, environment, Path("/nonexistent"))
    else:
        assert settle({"entrypoint": text}, {}, Path("/nonexistent")).entrypoint == expected


def test_variables_are_set_emptied_and_removed() -> None:
    lines = ("A=1", "B=2", "C=3", "B=4")
    assert with_variables(lines, ("B=x=y", "C", "D=")) == ("A=1", "B=x=y", "D=")
    assert with_variables(lines, ("A=2", "A")) == ("B=2", "C=3", "B=4")


def test_a_variable_without_a_value_never_takes_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "of the host")
    options = options_of("--env", "A", environment={"A": "of the host"})
    assert overridden(CONFIG, options).env == ("PATH=/bin",)


def test_user_and_directory_replace_what_the_image_says() -> None:
    config = overridden(CONFIG, options_of("--user", "1000:2000", "--workdir", "/srv"))
    assert (config.user, config.working_dir) == ("1000:2000", "/srv")


def test_every_override_has_a_twin_in_the_environment_and_in_the_file(tmp_path: Path) -> None:
    environment = {
        "IMAGESCAN_ENTRYPOINT": "/app -v",
        "IMAGESCAN_CMD": '["x"]',
        "IMAGESCAN_ENV": "A=1 'B=x y'",
        "IMAGESCAN_USER": "7",
        "IMAGESCAN_WORKDIR": "/w",
    }
    (tmp_path / ".imagescan.yaml").write_text(
        "entrypoint: [/app, -v]\ncmd: x\nenv: {A: 1, B: x y}\nuser: 7\nworkdir: /w\n"
    )
    from_environment = settle({}, environment, Path("/nonexistent"))
    from_file = settle({}, {}, tmp_path)
    assert from_environment == from_file
    assert from_file.entrypoint == ("/app", "-v")
    assert (from_file.cmd, from_file.env) == (("x",), ("A=1", "B=x y"))


@pytest.mark.parametrize("text", ["env: [{a: b}]\n", "entrypoint: {a: b}\n", "env: [=x]\n", "cmd: '\"'\n"])
def test_a_wrong_override_in_the_file_is_named_by_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / ".imagescan.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"\.imagescan\.yaml:1:"):
        settle({}, {}, tmp_path)


def test_a_variable_without_a_name_is_refused() -> None:
    outcome = imagescan("sound", "--env", "=x")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "--env: no name in '=x'" in outcome.stderr


@pytest.fixture
def layout(tmp_path: Path) -> str:
    program = File(write_elf(ElfStandIn(type="static")), mode=0o700)
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"], "Cmd": ["--serve"]})
    image.layer({"app": program, "tool": program})
    return f"oci:{write_layout(tmp_path / 'layout', {'latest': image})}"


def test_what_is_overridden_is_judged_and_shown(
    layout: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagescan.cli.main import run_process

    monkeypatch.setenv("COLUMNS", "200")
    arguments = [layout, "--platform", "linux/amd64"]
    assert run_process(arguments) == 0
    assert run_process([*arguments, "--user", "1000"]) == 1
    text = capsys.readouterr().out
    assert "as if started with --user 1000" in text
    assert 'exec: "/app": permission denied' in text
    assert run_process([*arguments, "--entrypoint", "/tool -x", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["startup_command"] == ["/tool", "-x"]
    assert document["overrides"] == [{"name": "entrypoint", "value": "/tool -x"}]


def test_a_report_without_overrides_says_so() -> None:
    assert SOUND.overrides == ()
    assert "as if started" not in imagescan("sound").stdout
