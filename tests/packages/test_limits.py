"""Every limit of the room: what is beyond it is told, and nothing grows past it."""

from __future__ import annotations

import pytest

from imagescan import content
from imagescan.errors import LimitExceeded
from imagescan.packages import apk, dpkg, paths, rpm, rpm_header, values
from imagescan.packages.ownership import read_ownership
from imagescan.packages.values import DamagedDatabase, DatabaseFile
from tests.packages.scene import filesystem, ndb_database
from tests.packages.test_apk import INSTALLED
from tests.packages.test_dpkg import STATUS


@pytest.mark.parametrize(
    ("module", "path", "data"),
    [(dpkg, "/var/lib/dpkg/status", STATUS), (apk, "/lib/apk/db/installed", INSTALLED)],
)
def test_too_many_packages(monkeypatch: pytest.MonkeyPatch, module: object, path: str, data: bytes) -> None:
    monkeypatch.setattr(module, "MAXIMUM_PACKAGES", 1)
    found = read_ownership(filesystem({path: data}))
    assert "more than 1 packages" in found.unread[0].reason
    assert len(found.packages) == 1


@pytest.mark.parametrize("limit", ["MAXIMUM_PATHS", "MAXIMUM_PATH_CHARACTERS"])
def test_too_many_files(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(paths, limit, 1)
    found = read_ownership(filesystem({"/lib/apk/db/installed": INSTALLED}))
    assert "more files" in found.unread[0].reason


def test_too_many_rpm_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm, "MAXIMUM_PACKAGES", 0)
    with pytest.raises(DamagedDatabase, match="more than 0 packages"):
        list(rpm.read_packages(ndb_database([b"x" * 20])))


def test_a_header_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm, "MAXIMUM_HEADER", 10)
    with pytest.raises(DamagedDatabase, match="reaches past"):
        list(rpm.read_packages(ndb_database([b"x" * 20])))


def test_a_header_with_too_many_entries() -> None:
    blob = (rpm_header.MAXIMUM_ENTRIES + 1).to_bytes(4, "big") + bytes(4)
    with pytest.raises(DamagedDatabase, match="reaches past its end"):
        rpm_header.read_header(blob + bytes(16 * (rpm_header.MAXIMUM_ENTRIES + 1)))


def test_a_database_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAXIMUM_DATABASE", 10)
    with pytest.raises(LimitExceeded):
        DatabaseFile.pack(b"x" * 11)


@pytest.mark.parametrize("limit", ["MAXIMUM_DATABASE", "MAXIMUM_DATABASES"])
def test_databases_that_are_too_large_together_are_left_unread(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(content, limit, 1)
    tree = filesystem({"/var/lib/dpkg/status": STATUS, "/lib/apk/db/installed": INSTALLED})
    assert len(read_ownership(tree).packages) < 4
