"""What is asked of every case; each family's module imports these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.case import Case, outcome, plain
from tests.cases.images import Image, write
from tests.cases.table import documented, family_of, row
from tests.oracle.chroot import Ended, execute
from tests.requirements import require_root
from tests.samples.unpack import unpack

_ERRNO = {
    "ENOENT": "no such file or directory",
    "EACCES": "permission denied",
    "ENOEXEC": "exec format error",
    "ELIBBAD": "accessing a corrupted shared library",
    "ELOOP": "too many levels of symbolic links",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


def test_the_scan_says_what_the_user_saw(case: Case, workplace: Path) -> None:
    result = outcome(case, workplace)
    assert not result.faults, "\n".join(result.faults)


def test_the_documentation_has_this_familys_row(request: pytest.FixtureRequest, workplace: Path) -> None:
    family = family_of(request.module)
    assert row(family, workplace) in documented(), "run make cases and commit docs/exactness.md"


@pytest.mark.oracle
def test_truth(case: Case, tmp_path: Path) -> None:
    """The kernel and the real loader, given the same image, say what the case says."""
    require_root()
    assert case.run is not None
    if case.broken_images:
        ended = _start(case, case.broken_images[0], tmp_path / "broken")
        assert _said(case, ended), ended
    if case.sound_images:
        ended = _start(case, case.sound_images[0], tmp_path / "sound")
        assert (ended.exec_error, ended.code) == ("", case.run.code), ended


def _start(case: Case, image: Image, directory: Path) -> Ended:
    assert case.run is not None
    root = unpack(write(directory / "layout", image), directory / "root")
    (root / "proc").mkdir(exist_ok=True)
    program, *arguments = case.run.command
    variables = dict(one.split("=", 1) for one in image.config.get("Env", []))
    where = image.config.get("WorkingDir", "/")
    return execute(root, program, arguments, environment=variables, directory=where, uid=case.run.uid)


def _said(case: Case, ended: Ended) -> bool:
    assert case.run is not None
    wanted = case.run.says or case.finds[0].says
    if ended.exec_error:
        return wanted.endswith(f": {_ERRNO[ended.exec_error]}")
    return wanted in plain(ended.err + ended.out).splitlines()
