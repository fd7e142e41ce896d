"""One generated case: the files of a layer over a suite's small base, and the start of one program.

In and out: values, and their JSON, which is what a find is kept and replayed as. The same list of
entries becomes the tar that imagescan reads and the files that the real loader sees.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from tests.fuzz.elf_writer import Definition, Elf, Reference, VersionNeed, write

PROGRAM = "/app/program"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: ``kind`` is file, elf, directory, link or hardlink. A file's content is ``data``
    (hexadecimal) or ``elf``; ``target`` is a link's text, or the path that a hard link shares."""

    path: str
    kind: str
    mode: int = 0o755
    target: str = ""
    data: str = ""
    elf: Elf | None = None

    def content(self) -> bytes:
        """The bytes of a file."""
        return write(self.elf) if self.elf else bytes.fromhex(self.data)


@dataclass(frozen=True, slots=True)
class Tree:
    """``suite`` and ``musl`` choose the loader; ``cached`` has the suite's ldconfig write a cache
    before ``stale`` paths are removed; directories come before what is in them."""

    suite: str
    musl: bool
    entries: tuple[Entry, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    uid: int = 0
    cached: bool = False
    stale: tuple[str, ...] = ()

    def remaining(self) -> tuple[Entry, ...]:
        """The entries that are there when the program starts."""
        return tuple(entry for entry in self.entries if entry.path not in self.stale)

    def elf(self, path: str) -> Elf | None:
        """The description of one entry's ELF file."""
        return next((entry.elf for entry in self.entries if entry.path == path), None)


def tar(entries: Iterable[Entry], cache: bytes | None = None) -> bytes:
    """A layer of these entries, with a loader cache when there is one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path.lstrip("/"))
            member.mode = entry.mode
            content = b""
            if entry.kind == "directory":
                member.type = tarfile.DIRTYPE
            elif entry.kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
            elif entry.kind == "hardlink":
                member.type, member.linkname = tarfile.LNKTYPE, entry.target.lstrip("/")
            else:
                content = entry.content()
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if cache is not None:
            member = tarfile.TarInfo("etc/ld.so.cache")
            member.size = len(cache)
            archive.addfile(member, io.BytesIO(cache))
    return stream.getvalue()


def to_json(tree: Tree) -> str:
    """The tree as text; what has its default value is left out."""
    return json.dumps(_plain(tree), indent=1)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        values = {one.name: getattr(value, one.name) for one in fields(value)}
        defaults = {one.name: one.default for one in fields(value)}
        return {name: _plain(item) for name, item in values.items() if item != defaults[name]}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def from_json(text: str) -> Tree:
    """The tree that ``to_json`` wrote."""
    members = json.loads(text)
    members["entries"] = tuple(_entry(one) for one in members.get("entries", ()))
    members["stale"] = tuple(members.get("stale", ()))
    return Tree(**members)


def _entry(members: dict[str, Any]) -> Entry:
    if "elf" in members:
        members = members | {"elf": _elf(members["elf"])}
    return Entry(**members)


def _elf(members: dict[str, Any]) -> Elf:
    made = {key: tuple(value) if isinstance(value, list) else value for key, value in members.items()}
    made["needs"] = tuple(
        VersionNeed(one["file"], tuple((name, weak) for name, weak in one["versions"]))
        for one in members.get("needs", ())
    )
    made["definitions"] = tuple(Definition(**one) for one in members.get("definitions", ()))
    made["references"] = tuple(Reference(**one) for one in members.get("references", ()))
    return Elf(**made)
