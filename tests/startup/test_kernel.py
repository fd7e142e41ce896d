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
from imagescan.startup.execution import Launch, execute
from imagescan.startup.lookup import Surroundings
from tests.requirements import require_root
from tests.startup.trees import tree, unpack

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def files() -> dict[str, ExampleFile]:
    require_root()
    return tree()


@pytest.fixture(scope="module")
def chroot(files: dict[str, ExampleFile]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        unpack(files, Path(name))
        yield Path(name)


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
    for step in execute(Launch((path,), around)).steps:
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
