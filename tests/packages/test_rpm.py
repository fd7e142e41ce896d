"""Owners by rpm's database in its three formats; rpm and Berkeley DB write the real ones."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescan.packages import rpm
from imagescan.packages.ownership import read_ownership
from imagescan.packages.rpm import read_packages
from imagescan.packages.values import DamagedDatabase
from tests.packages.scene import filesystem, hash_database, headers, ndb_database, rpm_database
from tests.requirements import require_tool

pytestmark = pytest.mark.oracle

EXPECTED = {"demo 2:1.2.3-4.el9 (rpm)": 1, "demo-libs 2:1.2.3-4.el9 (rpm)": 1503}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("rpm")
    return rpm_database(tmp_path_factory.mktemp("rpm"))


@pytest.fixture(scope="module")
def formats(database: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("hash")
    blobs = headers(database)
    return {
        "rpmdb.sqlite": (database / "rpmdb.sqlite").read_bytes(),
        "Packages": hash_database(blobs, directory).read_bytes(),
        "Packages.db": ndb_database(blobs),
    }


def packages(data: bytes, log: bytes = b"") -> dict[str, int]:
    return {str(one.package): len(tuple(one.paths)) for one in read_packages(data, log)}


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages", "Packages.db"])
def test_each_format_gives_the_packages_that_rpm_installed(formats: dict[str, bytes], name: str) -> None:
    assert packages(formats[name]) == EXPECTED


def test_a_hash_database_of_other_pages(database: Path, tmp_path: Path) -> None:
    for page_size in (512, 65536):
        file = hash_database(headers(database), tmp_path / str(page_size), page_size)
        assert packages(file.read_bytes()) == EXPECTED


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/var/lib/rpm", "rpmdb.sqlite"),
        ("/usr/lib/sysimage/rpm", "rpmdb.sqlite"),
        ("/usr/lib/sysimage/rpm", "Packages.db"),
        ("/var/lib/rpm", "Packages"),
    ],
)
def test_a_file_is_its_packages(formats: dict[str, bytes], directory: str, name: str) -> None:
    found = read_ownership(filesystem({f"{directory}/{name}": formats[name]}))
    owner = found.owner("/usr/lib64/libdemo.so.1.2")
    assert owner is not None
    assert (owner.name, owner.version, owner.architecture, owner.source) == (
        "demo-libs",
        "2:1.2.3-4.el9",
        "x86_64",
        "demo",
    )
    assert found.unread == ()


def test_a_database_reached_by_a_link_is_read_once(formats: dict[str, bytes]) -> None:
    tree = {"/var/lib/rpm": "../../usr/lib/sysimage/rpm"}
    place = "/usr/lib/sysimage/rpm/rpmdb.sqlite"
    found = read_ownership(filesystem({**tree, place: formats["rpmdb.sqlite"]}))
    assert len(found.packages) == 2


def test_what_is_only_in_the_write_ahead_log_counts(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "rpmdb.sqlite"
    file.write_bytes((database / "rpmdb.sqlite").read_bytes())
    first, _ = headers(database)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("DELETE FROM Packages WHERE blob = ?", (first,))
        connection.commit()
        data, log = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    connection.close()
    assert len(packages(data)) == 2
    assert len(packages(data, log)) == 1
    assert len(packages(data, log[:-100])) in (1, 2)


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT 1 FROM n)"
        " SELECT * FROM n",
        "CREATE VIEW Packages AS SELECT randomblob(1000000000) AS blob",
        "CREATE VIEW Packages AS SELECT load_extension('x') AS blob",
        "CREATE TABLE Other (blob); CREATE VIEW Packages AS SELECT blob FROM Other",
        "CREATE TABLE Something (x)",
    ],
)
def test_a_hostile_schema_is_refused(tmp_path: Path, schema: str) -> None:
    file = tmp_path / "rpmdb.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(schema)
    connection.close()
    with pytest.raises(DamagedDatabase, match="SQLite says"):
        packages(file.read_bytes())


def test_a_query_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rpmdb.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [("text",)] * 5000)
    connection.close()
    monkeypatch.setattr(rpm, "MAXIMUM_SQLITE_STEPS", 2)
    with pytest.raises(DamagedDatabase, match="interrupted"):
        packages(file.read_bytes())


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages", "Packages.db"])
def test_damage_anywhere_is_damage_and_nothing_else(formats: dict[str, bytes], name: str) -> None:
    whole = formats[name]

    @settings(max_examples=120, deadline=None)
    @given(st.integers(0, 4096), st.binary(min_size=1, max_size=40), st.integers(0, len(whole)))
    def check(place: int, noise: bytes, length: int) -> None:
        for data in (whole[:place] + noise + whole[place + len(noise) :], whole[:length]):
            with suppress(DamagedDatabase):
                packages(data)

    check()


def test_a_chain_of_pages_that_many_values_share_is_refused() -> None:
    page = bytearray(4096)
    page[25] = 13
    page[20:22] = (1000).to_bytes(2, "little")
    for entry in range(0, 1000, 2):
        page[26 + 2 * entry : 30 + 2 * entry] = (3000).to_bytes(2, "little") + (4000).to_bytes(2, "little")
    page[4000:4012] = b"\3\0\0\0" + (2).to_bytes(4, "little") + (4070).to_bytes(4, "little")
    meta = bytearray(4096)
    meta[12:16], meta[20:24] = (0x061561).to_bytes(4, "little"), (4096).to_bytes(4, "little")
    overflow = bytearray(4096)
    overflow[25], overflow[22:24] = 7, (4070).to_bytes(2, "little")
    with pytest.raises(DamagedDatabase):
        packages(bytes(meta + page + overflow))


def test_something_else_under_the_name_is_told() -> None:
    found = read_ownership(filesystem({"/var/lib/rpm/Packages": b"\x01" * 600}))
    assert "not a known format" in found.unread[0].reason
