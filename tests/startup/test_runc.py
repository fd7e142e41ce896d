"""The words of the runtime: every file of the tree started by runc, as root and as a user."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from imagescan.filesystem.values import RootFilesystem
from imagescan.reference import Platform
from imagescan.rules.detectors.startup_steps import _refusal
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.rules.messages import exec_failure
from imagescan.sources.values import ImageConfig
from imagescan.startup.chain import startup_chain, surroundings
from imagescan.startup.credentials import configured_user
from tests.requirements import require_root, require_tool
from tests.startup.trees import tree, unpack

pytestmark = pytest.mark.oracle

CONFIG = ImageConfig(Platform("linux", "amd64"), env=("PATH=/bin",))
NAMES = ["ok", "nobody", "absent", "owner-elf", "private", "./ok", "bin/ok"]
PATHS = ["/bin", "/none:/:/bin", "", "bin"]


@pytest.fixture(scope="module")
def files() -> dict[str, ExampleFile]:
    require_root()
    require_tool("runc")
    return tree()


@pytest.fixture(scope="module")
def bundle(files: dict[str, ExampleFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "rootfs").mkdir()
    unpack(files, folder / "rootfs")
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def filesystem(files: dict[str, ExampleFile]) -> RootFilesystem:
    return example_facts(ExampleImage((ExampleLayer(files),))).filesystem


def ask_runc(bundle: Path, image: ImageConfig) -> str:
    """runc's message without its frame; "" when the program starts."""
    config = json.loads((bundle / "config.json").read_text())
    uid = int(image.user or 0)
    process = config["process"]
    process["terminal"] = False
    process["args"] = list(image.entrypoint or ())
    process["env"] = list(image.env)
    process["cwd"] = image.working_dir or "/"
    process["user"] = {"uid": uid, "gid": 0}
    capabilities = ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"] if uid == 0 else []
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)
    (bundle / "config.json").write_text(json.dumps(config))
    command = ["runc", "--log-format", "json", "run", f"imagescan-startup-{os.getpid()}"]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    if done.returncode == 42:
        return ""
    line = done.stderr.strip().splitlines()[-1]
    message = json.loads(line)["msg"] if line.startswith("{") else line
    return message.rpartition("unable to start container process: ")[2].removeprefix(
        "error during container init: "
    )


def predict(filesystem: RootFilesystem, config: ImageConfig) -> str:
    around = surroundings(config, filesystem, configured_user(config.user, filesystem))
    chain = startup_chain(config, around)
    for step in chain.steps:
        if step.fault is not None:
            return step.fault.message
        if _refusal(step, set()):
            return exec_failure(chain.steps[0].opened, "ENOEXEC")
    return ""


def old_words(message: str) -> str:
    """The message in the words of runc built with Go before 1.20: there LookPath called a directory
    "permission denied" and left the user's own permission to execve. Debian 12 still has one."""
    message = message.replace("is a directory", "permission denied")
    return re.sub(r'^exec: "(.*)": permission denied$', r"exec \1: permission denied", message)


def compare(bundle: Path, filesystem: RootFilesystem, config: ImageConfig) -> None:
    expected, predicted = ask_runc(bundle, config), predict(filesystem, config)
    assert old_words(predicted) == old_words(expected)


@pytest.mark.parametrize("user", ["", "1000"])
def test_runc_says_the_same_of_every_path(
    files: dict[str, ExampleFile], filesystem: RootFilesystem, bundle: Path, user: str
) -> None:
    for path in [*files, "/absent", "/s/below", "/private/ok", "/bin/../s"]:
        compare(bundle, filesystem, replace(CONFIG, entrypoint=(path,), user=user))


DIRECTORIES = ["/s", "/s/below", "/nobody", "/new/one", "/private", "/loop", "/dangling", "/dangling/below"]


@pytest.mark.parametrize("user", ["", "1000"])
@pytest.mark.parametrize("directory", DIRECTORIES)
def test_runc_says_the_same_of_every_working_directory(
    filesystem: RootFilesystem, bundle: Path, directory: str, user: str
) -> None:
    config = replace(CONFIG, entrypoint=("/bin/ok",), working_dir=directory, user=user)
    compare(bundle, filesystem, config)
    shutil.rmtree(bundle / "rootfs/new", ignore_errors=True)  # runc made it


@pytest.mark.parametrize("search_path", PATHS)
def test_runc_finds_the_same_in_path(filesystem: RootFilesystem, bundle: Path, search_path: str) -> None:
    for name in NAMES:
        for directory in ("/", "/bin"):
            config = replace(CONFIG, entrypoint=(name,), env=(f"PATH={search_path}",), working_dir=directory)
            compare(bundle, filesystem, config)
