"""The README is true: its options, exit codes, commands and the finding that it shows."""

import re
import subprocess
import sys
from pathlib import Path

from imagescan.cli.options import COMMANDS, OPTIONS
from imagescan.gate import ExitCode
from samples import build
from tests.requirements import require

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_option_and_its_variable_stand_in_the_readme() -> None:
    for option in OPTIONS:
        row = next(line for line in README.splitlines() if f"`{option.variable}`" in line)
        assert f"--{option.name}" in row
        assert option.help in row


def test_every_exit_code_and_command_stands_in_the_readme() -> None:
    for code in ExitCode:
        assert f"\n| {code.value} | " in README
    for command in COMMANDS:
        assert command == "scan" or f"\nimagescan {command} " in README


def test_every_file_that_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_target_that_the_readme_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)|`make (\w+)`", README, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE)


def test_the_finding_that_the_readme_shows_is_what_is_found(tmp_path: Path) -> None:
    layout = build.build("library-removed", tmp_path)
    multiarch = Path("/usr/lib/x86_64-linux-gnu/libc.so.6")
    require(multiarch.exists(), "the README's example has the paths of Debian on x86-64")
    done = subprocess.run(
        [sys.executable, "-m", "imagescan", f"oci:{layout}"],
        capture_output=True,
        text=True,
        env={"COLUMNS": "100", "PYTHONPATH": str(ROOT)},
    )
    _, _, finding = done.stdout.partition("\n\n")
    assert finding.startswith("error  ")
    assert finding.rstrip() in README
