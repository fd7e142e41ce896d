from pathlib import Path

import pytest

from imagescan.cli.options import OPTIONS
from imagescan.cli.settings import Output, settle
from imagescan.errors import UsageError
from tests.cli.scanner import imagescan


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / ".imagescan.yaml").write_text("fail-on: note\nplatform: linux/arm64\nquiet: true\n")
    return tmp_path


def test_an_option_beats_the_environment_which_beats_the_file_which_beats_the_default(
    directory: Path,
) -> None:
    environment = {"IMAGESCAN_FAIL_ON": "warning"}
    assert settle({}, {}, Path("/nonexistent")).fail_on == "error"
    assert settle({}, {}, directory).fail_on == "note"
    assert settle({}, environment, directory).fail_on == "warning"
    assert settle({"fail_on": "never"}, environment, directory).fail_on == "never"
    assert settle({}, environment, directory).platform == "linux/arm64"


def test_each_option_has_an_environment_twin() -> None:
    assert {option.variable for option in OPTIONS} >= {
        "IMAGESCAN_PLATFORM",
        "IMAGESCAN_OUTPUT",
        "IMAGESCAN_FAIL_ON",
        "IMAGESCAN_ALLOW_INCOMPLETE",
        "IMAGESCAN_CONFIG",
        "IMAGESCAN_QUIET",
        "IMAGESCAN_VERBOSE",
        "IMAGESCAN_NO_PROGRESS",
        "IMAGESCAN_RULES",
        "IMAGESCAN_INSECURE",
        "IMAGESCAN_CPU",
    }


def test_lists_in_the_environment_are_separated_by_commas() -> None:
    environment = {"IMAGESCAN_OUTPUT": "table,json=out.json"}
    outputs = settle({}, environment, Path("/")).outputs
    assert outputs == (Output("table"), Output("json", Path("/out.json")))


def test_a_switch_in_the_environment_can_unset_what_the_file_sets(directory: Path) -> None:
    assert settle({}, {}, directory).quiet
    assert not settle({}, {"IMAGESCAN_QUIET": "0"}, directory).quiet


def test_verbose_on_the_command_line_overrides_quiet_in_the_file(directory: Path) -> None:
    settings = settle({"verbose": True}, {}, directory)
    assert (settings.quiet, settings.verbose) == (False, True)
    with pytest.raises(UsageError, match="exclude each other"):
        settle({"verbose": True, "quiet": True}, {}, directory)


def test_rules_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "scan.yaml").write_text("rules: [own]\noutput: json\n")
    settings = settle({"config": "ci/scan.yaml"}, {}, tmp_path)
    assert settings.rules == (tmp_path / "ci" / "own",)
    assert settings.outputs == (Output("json"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail-on: error\nplatfrom: x\n", r":2:1: unknown setting 'platfrom' \(did you mean platform\?\)"),
        ("fail-on: eror\n", r":1:10: no such fail-on: 'eror' \(did you mean error\?\)"),
        ("quiet: maybe\n", r":1:8: neither true nor false: 'maybe'"),
        ("quiet: true\nquiet: false\n", r":2:1: quiet stands twice"),
        ("- quiet\n", r":1:1: not a mapping of settings"),
        ("rules: {a: b}\n", r":1:8: rules is a list of words"),
        ("platform: [a]\n", r":1:11: platform is one word"),
        ("a: [b\n", r":2:1: not YAML"),
        ("config: other.yaml\n", r"unknown setting 'config'"),
        ("\x00", r"not YAML"),
        ("[" * 100_000, r"not YAML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / ".imagescan.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        settle({}, {}, tmp_path)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / ".imagescan.yaml").write_text("# nothing\n")
    assert settle({}, {}, tmp_path) == settle({}, {}, Path("/nonexistent"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--platfrom", "x"], "unknown option --platfrom (did you mean --platform?)"),
        (["--fail_on=note"], "unknown option --fail_on (did you mean --fail-on?)"),
        (["-o", "jsn"], "--output: no such format: 'jsn' (did you mean json?)"),
        (["-o", "json="], "--output json=: no file named after the ="),
        (["-o", "json=/nonexistent/x"], "/nonexistent: no such directory (make it first)"),
        (["-o", "json", "-o", "table"], "two formats cannot both go to standard output"),
        (["--fail-on", "critical"], "say one of error, warning, note, never"),
        (["--platform"], "expected one argument"),
        (["--config", "missing.yaml"], "cannot read the configuration: No such file or directory"),
    ],
)
def test_wrong_usage_is_one_line_with_advice_and_exit_code_2(words: list[str], message: str) -> None:
    done = imagescan("sound", *words)
    assert done.code == 2
    assert message in done.stderr
    assert done.stderr.startswith("imagescan: error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_no_image_is_wrong_usage() -> None:
    done = imagescan()
    assert done.code == 2
    assert "required: IMAGE" in done.stderr


def test_a_wrong_word_in_the_environment_names_the_variable() -> None:
    done = imagescan("sound", environment={"IMAGESCAN_QUIET": "perhaps"})
    assert done.code == 2
    assert "IMAGESCAN_QUIET: neither true nor false: 'perhaps' (say 1 or 0)" in done.stderr
