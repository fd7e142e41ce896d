"""The real process: start-up, interruption, closed pipes, odd locales."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import imagescan
from tests.requirements import require

SCRIPT = Path(sys.executable).with_name("imagescan")
COMMAND = [sys.executable, "-m", "imagescan"]
HEAVY = {
    "argparse",
    "rich",
    "yaml",
    "oras",
    "docker",
    "lief",
    "requests",
    "imagescan.scan",
    "imagescan.rules",
}


def imported(*words: str) -> set[str]:
    code = f"import os, sys; os._exit = sys.exit; sys.argv[1:] = {list(words)!r}\n"
    code += "try:\n from imagescan.__main__ import main; main()\n"
    code += "except SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_version_imports_nothing_heavy() -> None:
    assert not imported("--version") & HEAVY


def test_help_imports_only_what_reads_words() -> None:
    assert imported("--help") & HEAVY == {"argparse"}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def test_version_takes_at_most_two_and_a_half_times_as_long_as_python_itself() -> None:
    require(SCRIPT.exists(), "the imagescan script is not installed: run make test")
    # The fastest of many runs that take turns: what else the machine does, slows both alike.
    runs = [(seconds([str(SCRIPT), "--version"]), seconds([sys.executable, "-c", "pass"])) for _ in range(40)]
    version, python = (min(times) for times in zip(*runs, strict=True))
    assert version <= 2.5 * python


def test_version_is_the_packages() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"imagescan {imagescan.__version__}\n"


def test_help_names_every_exit_code() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "exit codes: 0 passed; 1 findings at or above --fail-on; 2 not judged" in done.stdout


@pytest.mark.parametrize("words", [["--version"], ["rules", "list"]])
def test_a_reader_that_went_away_is_no_traceback(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["dir:/nonexistent"]])
def test_closed_streams_are_no_traceback(words: list[str]) -> None:
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *COMMAND, *words])
    assert closed.returncode == (2 if "dir:/nonexistent" in words else 0)


def test_a_full_disk_is_one_line_and_exit_code_2() -> None:
    require(Path("/dev/full").exists(), "this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "rules", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "imagescan: error: cannot write to standard output: No space left on device\n",
    )


def test_control_c_is_one_line_and_130(tmp_path: Path) -> None:
    fifo = tmp_path / ".imagescan.yaml"
    os.mkfifo(fifo)  # the process waits here for its configuration
    with subprocess.Popen(
        [*COMMAND, "x"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    ) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, "imagescan: interrupted\n")


def test_a_plain_ascii_locale_shows_escapes_instead_of_failing() -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([*COMMAND, "oci:/nonexistent-é"], capture_output=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b"imagescan: error: ")
    assert done.stderr.count(b"\n") == 1
