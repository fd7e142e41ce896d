"""What a test needs from the machine. On a user's machine a missing tool skips the test with a
loud reason; with ``CI=true`` it fails, so that CI never passes by leaving things out.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def in_ci() -> bool:
    """Whether nothing may be skipped."""
    return os.environ.get("CI") == "true"


def require(condition: bool, reason: str) -> None:
    """Go on only when ``condition`` holds; ``reason`` says what is missing and how to get it."""
    if not condition:
        _missing(reason)


def require_tool(name: str, package: str = "") -> Path:
    """The path of a command; ``package`` is the Debian package that has it, when named otherwise."""
    path = shutil.which(name)
    if path is None:
        _missing(f"the command {name} is not installed (Debian: apt-get install {package or name})")
    return Path(path)


def require_root() -> None:
    """Go on only as root (chroot, mount, an engine's socket)."""
    require(os.geteuid() == 0, "needs root: run the tests with sudo")


def _missing(reason: str) -> NoReturn:
    if in_ci():
        pytest.fail(f"CI must not skip: {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")
