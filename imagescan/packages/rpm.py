"""rpm's database in its three formats: SQLite, ndb and Berkeley DB hash.

The bytes of ``rpmdb.sqlite`` (with its write-ahead log), ``Packages.db`` or ``Packages`` enter, the
packages of its headers leave. Everything happens in memory. Formats: sqlite.org "Database File
Format" and "WAL-mode File Format"; rpm's ``lib/backend/ndb/rpmpkg.c``; Berkeley DB's
``dbinc/db_page.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagescan.packages.rpm_header import read_header
from imagescan.packages.values import MAXIMUM_DATABASE, MAXIMUM_PACKAGES, DamagedDatabase, InstalledPackage

if TYPE_CHECKING:
    import sqlite3

MAXIMUM_HEADER = 64 << 20  # bytes of one package's header; rpm itself stops at 256 MiB
MAXIMUM_SQLITE_STEPS = 2_000  # thousands of virtual machine instructions for the one query

_SQLITE_MAGIC = b"SQLite format 3\0"
_NDB_MAGIC, _NDB_SLOT, _NDB_BLOB = b"RpmP", b"Slot", b"BlbS"
_NDB_PAGE, _NDB_BLOCK, _NDB_SLOT_SIZE = 4096, 16, 16
_BDB_HASH_MAGIC = 0x061561
_BDB_HASH_PAGES = (2, 13)  # P_HASH_UNSORTED, P_HASH
_BDB_OVERFLOW = 7
_BDB_INLINE, _BDB_OFF_PAGE = 1, 3
_BDB_PAGE_HEADER = 26


def read_packages(data: bytes, log: bytes = b"") -> Iterator[InstalledPackage]:
    """The installed packages of one database, whichever format it has; ``log`` is the write-ahead
    log beside an SQLite database.

    Raises:
        DamagedDatabase: no such format, or one that is broken.
    """
    if data.startswith(_SQLITE_MAGIC):
        headers = _sqlite_headers(_with_log(data, log))
    elif data.startswith(_NDB_MAGIC):
        headers = _ndb_headers(data)
    elif len(data) >= 512:
        headers = _hash_headers(data)
    else:
        raise DamagedDatabase("not a known format of rpm's database")
    for count, header in enumerate(headers):
        if count >= MAXIMUM_PACKAGES:
            raise DamagedDatabase(f"more than {MAXIMUM_PACKAGES} packages")
        yield read_header(header)


def _with_log(data: bytes, log: bytes) -> bytearray:
    """The database with every committed page of its write-ahead log put in, and marked as having none.

    A frame of an earlier generation of the log has other salts.
    """
    image = bytearray(data)
    if len(log) > 32 and log[:3] == b"\x37\x7f\x06":
        page_size, salts = struct.unpack_from(">I", log, 8)[0], log[16:24]
        if not 512 <= page_size <= 65536:
            raise DamagedDatabase("a write-ahead log with an impossible page size")
        pages: dict[int, bytes] = {}
        for start in range(32, len(log) - 24 - page_size + 1, 24 + page_size):
            number, committed = struct.unpack_from(">II", log, start)
            if log[start + 8 : start + 16] != salts or number == 0:
                break
            pages[number] = log[start + 24 : start + 24 + page_size]
            if committed:
                _put_pages(image, pages, committed, page_size)
                pages = {}
    if len(image) < 100:
        raise DamagedDatabase("an SQLite database without a whole header")
    image[18:20] = b"\1\1"  # a deserialized database cannot have a log
    return image


def _put_pages(image: bytearray, pages: dict[int, bytes], count: int, page_size: int) -> None:
    if count * page_size > MAXIMUM_DATABASE or max(pages) > count:
        raise DamagedDatabase("a write-ahead log of more pages than a database may have")
    image.extend(bytes(max(0, count * page_size - len(image))))
    del image[count * page_size :]
    for number, page in pages.items():
        image[(number - 1) * page_size : number * page_size] = page


def _sqlite_headers(image: bytearray) -> Iterator[bytes]:
    """The blobs of the table Packages. The schema is the image's, so nothing but reading plain
    columns is allowed: no views with functions or recursion, and only so much work."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(bytes(image))
        _confine(connection)
        for (blob,) in connection.execute("SELECT blob FROM Packages"):
            if isinstance(blob, bytes):
                yield blob
    except sqlite3.Error as error:
        raise DamagedDatabase(f"SQLite says: {error}") from None
    finally:
        connection.close()


def _confine(connection: sqlite3.Connection) -> None:
    import sqlite3

    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAXIMUM_HEADER)
    steps = iter(range(MAXIMUM_SQLITE_STEPS))
    connection.set_progress_handler(lambda: next(steps, None) is None, 1000)

    def authorize(action: int, table: str | None, *_: str | None) -> int:
        reads = action == sqlite3.SQLITE_READ and table in ("Packages", "sqlite_master")
        return sqlite3.SQLITE_OK if reads or action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _ndb_headers(data: bytes) -> Iterator[bytes]:
    """Slots point to blobs, in blocks of 16 bytes; a slot of package 0 is free."""
    if len(data) < 16:
        raise DamagedDatabase("an ndb database without a whole header")
    (pages,) = struct.unpack_from("<I", data, 12)
    end = min(pages * _NDB_PAGE, len(data) - _NDB_SLOT_SIZE + 1)
    for place in range(2 * _NDB_SLOT_SIZE, end, _NDB_SLOT_SIZE):
        magic, package, block, _ = struct.unpack_from("<4sIII", data, place)
        if magic != _NDB_SLOT:
            raise DamagedDatabase("an ndb slot without its mark")
        if package == 0:
            continue
        start = block * _NDB_BLOCK
        if start + 16 > len(data) or data[start : start + 4] != _NDB_BLOB:
            raise DamagedDatabase("an ndb slot that points to no blob")
        (length,) = struct.unpack_from("<I", data, start + 12)
        if length > MAXIMUM_HEADER or start + 16 + length > len(data):
            raise DamagedDatabase("an ndb blob that reaches past the end")
        yield data[start + 16 : start + 16 + length]


def _hash_headers(data: bytes) -> Iterator[bytes]:
    """Keys and values alternate on hash pages; the value of key 0 counts, it is no header."""
    order = next(
        (order for order in "<>" if struct.unpack_from(order + "I", data, 12)[0] == _BDB_HASH_MAGIC), None
    )
    if order is None:
        raise DamagedDatabase("not a known format of rpm's database")
    (page_size,) = struct.unpack_from(order + "I", data, 20)
    if not 512 <= page_size <= 65536:
        raise DamagedDatabase("a Berkeley DB with an impossible page size")
    work = len(data)  # every overflow page belongs to one value, so together they are no more
    for start in range(page_size, len(data) - page_size + 1, page_size):
        if data[start + 25] not in _BDB_HASH_PAGES:
            continue
        (entries,) = struct.unpack_from(order + "H", data, start + 20)
        if _BDB_PAGE_HEADER + 2 * entries > page_size:
            raise DamagedDatabase("a Berkeley DB page with more entries than it holds")
        offsets = struct.unpack_from(f"{order}{entries}H", data, start + _BDB_PAGE_HEADER)
        for key, value in zip(offsets[::2], offsets[1::2], strict=False):
            header = _hash_value(data, order, page_size, (start, key, value))
            work -= len(header)
            if work < 0:
                raise DamagedDatabase("Berkeley DB values that share pages")
            if len(header) >= 16:
                yield header


def _hash_value(data: bytes, order: str, page_size: int, place: tuple[int, int, int]) -> bytes:
    """A value on its page, or on a chain of overflow pages. Values lie right below their keys."""
    start, key, value = place
    if not _BDB_PAGE_HEADER <= value < page_size:
        raise DamagedDatabase("a Berkeley DB entry outside its page")
    if data[start + value] == _BDB_INLINE:
        return data[start + value + 1 : start + max(key, value)]
    if data[start + value] != _BDB_OFF_PAGE or value + 12 > page_size:
        return b""
    page, length = struct.unpack_from(order + "II", data, start + value + 4)
    if length > MAXIMUM_HEADER:
        raise DamagedDatabase("a Berkeley DB value that is too long")
    parts: list[bytes] = []
    missing = length
    while missing > 0:
        place_of_page = page * page_size
        if page == 0 or place_of_page + page_size > len(data) or data[place_of_page + 25] != _BDB_OVERFLOW:
            raise DamagedDatabase("a Berkeley DB value whose pages are broken off")
        page, used = (
            struct.unpack_from(order + "I", data, place_of_page + 16)[0],
            struct.unpack_from(order + "H", data, place_of_page + 22)[0],
        )
        if used == 0 or _BDB_PAGE_HEADER + used > page_size:
            raise DamagedDatabase("a Berkeley DB overflow page that holds nothing")
        content = place_of_page + _BDB_PAGE_HEADER
        parts.append(data[content : content + used])
        missing -= used
    return b"".join(parts)[:length]
