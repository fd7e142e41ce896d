"""The chain against the kernel: the same files as an image and in a chroot, every one executed."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.facts import ImageFacts
from imagescan.filesystem.values import Credentials
from imagescan.rules.detectors.startup_steps import _refusal
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.startup.chain import follow
from imagescan.startup.lookup import Surroundings, look_path
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle


def nested(count: int) -> dict[str, ExampleFile]:
    """``/nCOUNT`` is interpreted by the next lower one, the last by the program."""
    files = {f"/n{i}": ExampleFile(f"#!/n{i - 1} x\n".encode(), mode=0o755) for i in range(2, count + 1)}
    return files | {"/n1": ExampleFile(b"#!/bin/ok\n", mode=0o755)}


def program() -> bytes:
    require_tool("gcc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ok.c"
        source.write_text("int main(void) { return 42; }\n")
        subprocess.run(["gcc", "-static", "-o", f"{folder}/ok", str(source)], check=True)
        subprocess.run(["strip", f"{folder}/ok"], check=True)
        return (Path(folder) / "ok").read_bytes()


def tree() -> dict[str, ExampleFile]:
    ok = program()
    script = b"#!/bin/ok\n"
    return {
        "/bin": ExampleFile(is_directory=True, mode=0o755),
        "/bin/ok": ExampleFile(ok, mode=0o755),
        "/s": ExampleFile(script, mode=0o755),
        "/nobody": ExampleFile(script, mode=0o644),
        "/nobody-elf": ExampleFile(ok, mode=0o644),
        "/owner": ExampleFile(script, mode=0o700),
        "/owner-elf": ExampleFile(ok, mode=0o700),
        "/group": ExampleFile(ok, mode=0o710, gid=1000),
        "/others-not": ExampleFile(ok, mode=0o770),
        "/not-for-owner": ExampleFile(ok, mode=0o077, uid=1000),
        "/unreadable": ExampleFile(ok, mode=0o711),
        "/empty": ExampleFile(b"", mode=0o755),
        "/text": ExampleFile(b"echo hello\n", mode=0o755),
        "/bom": ExampleFile(b"\xef\xbb\xbf#!/bin/ok\n", mode=0o755),
        "/no-name": ExampleFile(b"#!  \n", mode=0o755),
        "/no-name-no-end": ExampleFile(b"#!", mode=0o755),
        "/crlf": ExampleFile(b"#!/bin/ok\r\n", mode=0o755),
        "/crlf-argument": ExampleFile(b"#!/bin/ok -x\r\n", mode=0o755),
        "/gone": ExampleFile(b"#!/bin/gone\n", mode=0o755),
        "/through-file": ExampleFile(b"#!/bin/ok/x\n", mode=0o755),
        "/directory": ExampleFile(b"#!/bin\n", mode=0o755),
        "/plain-interpreter": ExampleFile(b"#!/nobody-elf\n", mode=0o755),
        "/text-interpreter": ExampleFile(b"#!/text\n", mode=0o755),
        "/owner-interpreter": ExampleFile(b"#!/owner-elf\n", mode=0o755),
        "/relative": ExampleFile(b"#!bin/ok\n", mode=0o755),
        "/itself": ExampleFile(b"#!/itself\n", mode=0o755),
        "/link": ExampleFile(link="s"),
        "/dangling": ExampleFile(link="/bin/gone"),
        "/loop": ExampleFile(link="loop"),
        "/private": ExampleFile(is_directory=True, mode=0o700),
        "/private/ok": ExampleFile(ok, mode=0o755),
        "/into-private": ExampleFile(b"#!/private/ok\n", mode=0o755),
        "/long": ExampleFile(b"#!/" + b"./" * 130 + b"bin/ok\n", mode=0o755),
        "/long-argument": ExampleFile(b"#!/bin/ok " + b"x" * 300 + b"\n", mode=0o755),
        **nested(7),
    }


@pytest.fixture(scope="module")
def files() -> dict[str, ExampleFile]:
    require_root()
    return tree()


@pytest.fixture(scope="module")
def chroot(files: dict[str, ExampleFile]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for path, file in files.items():
            place = folder / path[1:]
            if file.link is not None:
                place.symlink_to(file.link)
                continue
            if file.is_directory:
                place.mkdir()
            else:
                place.write_bytes(file.content)
            os.chown(place, file.uid, file.gid)
            place.chmod(file.mode)
        yield folder


@pytest.fixture(scope="module")
def facts(files: dict[str, ExampleFile]) -> ImageFacts:
    return example_facts(ExampleImage((ExampleLayer(files),)))


def ask_kernel(root: Path, path: str, uid: int) -> int:
    """The errno of executing a path in the chroot as a user, 0 when it starts."""

    def enter() -> None:
        os.chroot(root)
        os.chdir("/")
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)

    try:
        done = subprocess.run([path], preexec_fn=enter, check=False)
    except OSError as error:
        return error.errno or -1
    assert done.returncode == 42
    return 0


def predict(facts: ImageFacts, path: str, uid: int) -> int:
    who = Credentials(uid, (uid,)) if uid else Credentials()
    around = Surroundings(facts.filesystem, who, "/", None)
    for step in follow(look_path(around, path), around):
        if step.fault is not None:
            name = "EACCES" if step.fault.errno == "EISDIR" else step.fault.errno
            return getattr(errno, name)
        if _refusal(step, set()):
            return errno.ENOEXEC
    return 0


@pytest.mark.parametrize("uid", [0, 1000])
def test_every_file_starts_or_fails_as_the_kernel_says(
    facts: ImageFacts, files: dict[str, ExampleFile], chroot: Path, uid: int
) -> None:
    paths = [*files, "/absent", "/s/below", "/bin/../s"]
    expected = {path: errno.errorcode.get(ask_kernel(chroot, path, uid), "starts") for path in paths}
    predicted = {path: errno.errorcode.get(predict(facts, path, uid), "starts") for path in paths}
    assert predicted == expected
    assert {"starts", "ENOENT", "EACCES", "ENOEXEC", "ELOOP", "ENOTDIR"} <= set(expected.values())
