"""HEALTHCHECK in its forms (config.md; Docker's image specification: Test)."""

from __future__ import annotations

import pytest

from imagescan.filesystem.values import RootFilesystem
from imagescan.reference import Platform
from imagescan.sources.values import ImageConfig
from imagescan.startup.chain import healthcheck_chain, surroundings
from imagescan.startup.credentials import configured_user
from imagescan.startup.values import StartupChain
from tests.startup.images import facts_of

IMAGE = """
base: debian
files:
  /usr/bin/bash: {static: {}}
  /usr/bin/check: {static: {}}
  /usr/bin/probe.sh: {script: "#!/bin/sh\\nset -e\\ncurl -f localhost\\ncheck\\n"}
"""


@pytest.fixture(scope="module")
def filesystem() -> RootFilesystem:
    return facts_of(IMAGE).filesystem


def chain(
    filesystem: RootFilesystem, *test: str, shell: tuple[str, ...] | None = None
) -> StartupChain | None:
    config = ImageConfig(Platform("linux", "amd64"), healthcheck=test, shell=shell)
    return healthcheck_chain(config, surroundings(config, filesystem, configured_user("", filesystem)))


@pytest.mark.parametrize("test", [(), ("NONE",), ("CMD",), ("CMD-SHELL",), ("OTHER", "x")])
def test_nothing_is_checked(filesystem: RootFilesystem, test: tuple[str, ...]) -> None:
    assert chain(filesystem, *test) is None


def paths(found: StartupChain | None) -> tuple[str, ...]:
    assert found is not None
    return found.paths


def message(found: StartupChain | None) -> str:
    assert found is not None and found.failing is not None and found.failing.fault is not None
    return found.failing.fault.message


def test_the_exec_form_starts_its_first_word(filesystem: RootFilesystem) -> None:
    assert paths(chain(filesystem, "CMD", "check", "-x")) == ("/usr/bin/check",)
    assert message(chain(filesystem, "CMD", "curl")) == 'exec: "curl": executable file not found in $PATH'


def test_the_shell_form_is_read_by_the_shell(filesystem: RootFilesystem) -> None:
    found = chain(filesystem, "CMD-SHELL", "check --port 80 || exit 1")
    assert paths(found) == ("/usr/bin/dash", "/usr/bin/check")
    assert message(chain(filesystem, "CMD-SHELL", "curl -f x || exit 1")) == "/bin/sh: 1: curl: not found"


def test_the_shell_instruction_says_which_shell(filesystem: RootFilesystem) -> None:
    bash = ("/bin/bash", "-o", "pipefail", "-c")
    assert paths(chain(filesystem, "CMD-SHELL", "check", shell=bash))[0] == "/usr/bin/bash"
    absent = chain(filesystem, "CMD-SHELL", "check", shell=("/bin/zsh", "-c"))
    assert message(absent) == 'exec: "/bin/zsh": stat /bin/zsh: no such file or directory'
    missing = chain(filesystem, "CMD-SHELL", "curl x", shell=bash)
    assert message(missing) == "/bin/bash: line 1: curl: command not found"


def test_what_a_health_check_script_needs_is_asked_too(filesystem: RootFilesystem) -> None:
    assert message(chain(filesystem, "CMD", "probe.sh")) == "/usr/bin/probe.sh: 3: curl: not found"


def test_a_failure_that_is_caught_is_not_certain(filesystem: RootFilesystem) -> None:
    found = chain(filesystem, "CMD-SHELL", "curl -f x || true")
    assert found is not None and found.failing is not None and not found.failing.certain
