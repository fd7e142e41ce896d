"""apk's database of installed packages.

Bytes of ``lib/apk/db/installed`` enter, packages with their files leave. apk-tools' documentation
(apk-v2(5), "installed database") describes the format: one letter, a colon and a value a line;
``P`` starts a package's name, ``F`` opens a directory, ``R`` is a file in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagescan.packages.values import (
    MAXIMUM_PACKAGES,
    MAXIMUM_PATH,
    DamagedDatabase,
    InstalledPackage,
    Package,
    PackageManager,
)


def read_installed(data: bytes) -> Iterator[InstalledPackage]:
    """The installed packages, in the database's order.

    Raises:
        DamagedDatabase: a line or package that breaks the format, or too many packages.
    """
    paragraphs = data.decode("utf-8", "surrogateescape").split("\n\n")
    for count, paragraph in enumerate(paragraphs):
        if count >= MAXIMUM_PACKAGES:
            raise DamagedDatabase(f"more than {MAXIMUM_PACKAGES} packages")
        if paragraph.strip():
            yield _read_package(paragraph)


def _read_package(paragraph: str) -> InstalledPackage:
    fields: dict[str, str] = {}
    for line in paragraph.split("\n"):
        if line and line[1:2] != ":":
            raise DamagedDatabase(f"a line that is no field: {line[:60]!r}")
        fields.setdefault(line[:1], line[2:])
    if "P" not in fields or "V" not in fields:
        raise DamagedDatabase("a package without name or version")
    name = fields["P"]
    package = Package(name, fields["V"], fields.get("A", ""), fields.get("o", "") or name, PackageManager.APK)
    return InstalledPackage(package, _paths(paragraph))


def _paths(paragraph: str) -> Iterator[str]:
    directory = "/"
    for line in paragraph.split("\n"):
        if line.startswith("F:"):
            directory = f"/{line[2:]}/" if len(line) > 2 else "/"
        elif line.startswith("R:") and len(directory) < MAXIMUM_PATH:
            yield directory + line[2:]
