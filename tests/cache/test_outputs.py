"""A question asked again in the same words is answered from what was written before, and only then."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagescan.cache import outputs
from imagescan.cli.options import FORMATS
from samples.oci import Symlink
from tests.cache.images import layout

NEVER_IMPORTED = (
    "re",
    "json",
    "dataclasses",
    "argparse",
    "pathlib",
    "imagescan.errors",
    "imagescan.cli.main",
)


class Processes:
    """``imagescan`` as a user starts it, in one directory with one cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cache = directory / "cache"
        self.environment = {
            "IMAGESCAN_CACHE_DIR": str(self.cache),
            "HOME": str(directory),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def __call__(self, *words: str, **environment: str) -> tuple[int, bytes, bytes]:
        command = [sys.executable, "-m", "imagescan", *words, "--platform", "linux/amd64"]
        base = {
            "IMAGESCAN_CACHE_DIR": str(self.cache),
            "HOME": str(self.directory),
            "PATH": os.environ["PATH"],
        }
        root = str(Path(__file__).parents[2])
        done = subprocess.run(
            command, cwd=self.directory, env={**base, "PYTHONPATH": root, **environment}, capture_output=True
        )
        return done.returncode, done.stdout, done.stderr

    def at_terminal(self, columns: int, *words: str, errors_too: bool = False) -> tuple[int, bytes]:
        """Exit code and what a terminal of this width is sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "imagescan", *words, "--platform", "linux/amd64"],
            cwd=self.directory,
            env={**self.environment, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs if errors_too else subprocess.DEVNULL,
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how Linux says that nobody has the other end open
            while data := os.read(ours, 100_000):
                shown += data
        os.close(ours)
        return process.wait(), shown

    @property
    def kept(self) -> int:
        directory = self.cache / "outputs"
        return len(list(directory.iterdir())) if directory.exists() else 0

    def spoil(self) -> None:
        """Make every kept output tell that it was used."""
        for file in (self.cache / "outputs").iterdir():
            data = file.read_bytes()
            start = len(outputs._MAGIC) + outputs._DIGEST_BYTES
            day, code, _, errors, *evidence = outputs._texts(data[start:])
            pairs = tuple(zip(evidence[::2], evidence[1::2], strict=True))
            file.write_bytes(outputs.pack_output(pairs, day, int(code), "FROM THE CACHE\n", errors))


@pytest.fixture
def imagescan(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    return layout(tmp_path / "image")


SPOILED = b"FROM THE CACHE\n"


@pytest.mark.parametrize("format", FORMATS)
def test_the_second_process_writes_what_the_first_and_one_without_cache_do(
    imagescan: Processes, image: str, format: str
) -> None:
    cold = imagescan(image, "-o", format, "--no-cache")
    assert imagescan(image, "-o", format) == imagescan(image, "-o", format) == cold
    assert cold[0] == 1
    imagescan.spoil()
    assert imagescan(image, "-o", format) == (1, SPOILED, b"")


def test_remarks_on_standard_error_are_written_again(imagescan: Processes, image: str) -> None:
    waivers = "waivers:\n- rule: loader/no-such-thing-here\n  reason: x\n".replace(
        "no-such-thing-here", "preload-broken"
    )
    (imagescan.directory / ".imagescan.yaml").write_text(waivers)
    first = imagescan(image, "-o", "json")
    assert b"remark" in first[2]
    assert imagescan(image, "-o", "json") == first
    assert imagescan.kept == 1


def test_the_answer_comes_before_anything_is_imported(imagescan: Processes, image: str) -> None:
    imagescan(image)
    command = [sys.executable, "-X", "importtime", "-m", "imagescan", image, "--platform", "linux/amd64"]
    done = subprocess.run(
        command,
        cwd=imagescan.directory,
        env=imagescan.environment,
        capture_output=True,
        text=True,
    )
    imported = {line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "imagescan.cache.outputs" in imported
    assert not imported & set(NEVER_IMPORTED)


@pytest.mark.parametrize(
    "words",
    [("--fail-on", "never"), ("-o", "json"), ("-q",), ("--env", "A=b"), ("--platform", "linux/amd64")],
)
def test_other_words_are_another_question(imagescan: Processes, image: str, words: tuple[str, ...]) -> None:
    imagescan(image)
    imagescan.spoil()
    assert imagescan(image, *words) == imagescan(image, *words, "--no-cache")


@pytest.mark.parametrize(
    "environment",
    [{"IMAGESCAN_FAIL_ON": "never"}, {"COLUMNS": "60"}, {"FORCE_COLOR": "1"}, {"IMAGESCAN_CPU": "x86-64-v2"}],
)
def test_another_environment_is_another_question(
    imagescan: Processes, image: str, environment: dict[str, str]
) -> None:
    imagescan(image)
    imagescan.spoil()
    assert imagescan(image, **environment) == imagescan(image, IMAGESCAN_NO_CACHE="1", **environment)


def test_another_directory_is_another_question(imagescan: Processes, image: str, tmp_path: Path) -> None:
    first = imagescan("image")
    imagescan.spoil()
    (tmp_path / "elsewhere").mkdir()
    layout(tmp_path / "elsewhere" / "image", {"etc": Symlink("x")})
    imagescan.directory = tmp_path / "elsewhere"
    assert imagescan("image")[1] not in (first[1], SPOILED)


@pytest.mark.parametrize("file", ["index.json", "oci-layout", "config", "manifest"])
def test_a_changed_file_of_the_layout_is_looked_at_again(imagescan: Processes, image: str, file: str) -> None:
    imagescan(image)
    imagescan.spoil()
    path = imagescan.directory / "image" / file
    if not path.exists():
        index = json.loads((path.parent / "index.json").read_bytes())
        blobs = path.parent / "blobs" / "sha256"
        path = blobs / index["manifests"][0]["digest"].partition(":")[2]
        if file == "config":
            path = blobs / json.loads(path.read_bytes())["config"]["digest"].partition(":")[2]
    path.write_bytes(path.read_bytes().replace(b":", b": ", 1))
    assert imagescan(image) == imagescan(image, "--no-cache")
    assert imagescan(image)[1] != SPOILED


def test_a_tag_that_moves_is_followed(imagescan: Processes, image: str) -> None:
    tagged = f"{image}:latest"
    first = imagescan(tagged)
    imagescan.spoil()
    assert imagescan(tagged)[1] == SPOILED
    shutil.rmtree(imagescan.directory / "image")
    layout(imagescan.directory / "image", {"etc": Symlink("x")})
    assert imagescan(tagged) == imagescan(tagged, "--no-cache") != first


def test_a_directory_with_the_tag_in_its_name_takes_the_tag_s_place(imagescan: Processes, image: str) -> None:
    tagged = f"{image}:latest"
    imagescan(tagged)
    imagescan.spoil()
    layout(imagescan.directory / "image:latest", {"etc": Symlink("x")})
    assert imagescan(tagged) == imagescan(tagged, "--no-cache")


def test_a_configuration_file_that_appears_changes_or_goes_is_heeded(
    imagescan: Processes, image: str
) -> None:
    file = imagescan.directory / ".imagescan.yaml"
    for text in ("fail-on: never\n", "fail-on: error\n", None):
        imagescan(image)
        imagescan.spoil()
        file.unlink(missing_ok=True) if text is None else file.write_text(text)
        assert imagescan(image) == imagescan(image, "--no-cache")


def test_a_changed_baseline_is_heeded(imagescan: Processes, image: str) -> None:
    baseline = imagescan.directory / "baseline.json"
    baseline.write_bytes(imagescan(image, "-o", "json", "--fail-on", "never")[1])
    words = (image, "--baseline", "baseline.json")
    assert imagescan(*words)[0] == imagescan(*words)[0] == 0
    report = json.loads(baseline.read_bytes())
    baseline.write_text(json.dumps({**report, "findings": []}))
    assert imagescan(*words)[0] == 1


def test_a_waiver_that_expires_holds_for_the_day_only(imagescan: Processes, image: str) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    waiver = f"waivers:\n- rule: '*'\n  reason: x\n  expires: {tomorrow}\n"
    (imagescan.directory / ".imagescan.yaml").write_text(waiver)
    assert imagescan(image)[0] == 0
    (file,) = (imagescan.cache / "outputs").iterdir()
    start = len(outputs._MAGIC) + outputs._DIGEST_BYTES
    day, code, text, errors, *evidence = outputs._texts(file.read_bytes()[start:])
    assert day == outputs.today()
    pairs = tuple(zip(evidence[::2], evidence[1::2], strict=True))
    file.write_bytes(outputs.pack_output(pairs, "2020-01-01", int(code), "OLD", errors))
    assert imagescan(image)[1].decode() == text


@pytest.mark.parametrize(
    "words", [("-v",), ("-o", "json=report.json"), ("--rules", "rules"), ("--no-cache",)]
)
def test_what_depends_on_more_is_not_kept(imagescan: Processes, image: str, words: tuple[str, ...]) -> None:
    (imagescan.directory / "rules").mkdir()
    imagescan(image, *words)
    assert imagescan.kept == 0


def test_an_image_that_could_not_be_read_is_tried_again(imagescan: Processes, image: str) -> None:
    (imagescan.directory / "image" / "index.json").rename(imagescan.directory / "away")
    for _ in range(2):
        assert imagescan(image)[0] == 2
    assert imagescan.kept == 0


def test_damage_to_what_was_kept_is_no_answer(imagescan: Processes, image: str) -> None:
    first = imagescan(image)
    (file,) = (imagescan.cache / "outputs").iterdir()
    data = file.read_bytes()
    for damaged in (b"", data[:40], data[:-1], data[:60] + b"\xff" + data[61:], bytes(len(data))):
        file.write_bytes(damaged)
        assert imagescan(image) == first
        assert file.read_bytes() == data


def test_a_person_at_a_terminal_is_answered_for_that_terminal(imagescan: Processes, image: str) -> None:
    imagescan(image)
    imagescan.spoil()
    code, narrow = imagescan.at_terminal(60, image)
    assert code == 1
    assert SPOILED.strip() not in narrow
    assert b"\x1b[" in narrow
    assert imagescan.at_terminal(60, image, "--no-cache") == (1, narrow)
    assert imagescan.at_terminal(60, image) == (1, narrow)
    imagescan.spoil()
    assert SPOILED.strip() in imagescan.at_terminal(60, image)[1]
    assert SPOILED.strip() not in imagescan.at_terminal(61, image)[1]


def test_progress_is_no_part_of_what_is_written_again(imagescan: Processes, image: str) -> None:
    first = imagescan.at_terminal(60, image, errors_too=True)
    again = imagescan.at_terminal(60, image, errors_too=True)
    assert b"\r\x1b[K" in first[1]
    assert b"\r\x1b[K" not in again[1]
    assert first[1].rpartition(b"\r\x1b[K")[2] == again[1]


def test_hostile_text_is_escaped_the_same_way(imagescan: Processes, tmp_path: Path) -> None:
    image = layout(tmp_path / "image", config={"Entrypoint": ["/no\x1b[2J\udc80such"]})
    cold = imagescan(image, "--no-cache")
    assert imagescan(image) == imagescan(image) == cold
    assert b"\x1b" not in cold[1]
