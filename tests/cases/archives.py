"""JARs and wheels of compiled parts, laid out as the real ones are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from samples.oci import File
from tests.cases.parts import Part


class Archive(Part):
    """A zip; its members are compiled when the archive is asked for."""

    def __init__(self, members: Mapping[str, Part | str | bytes]) -> None:
        self.members = members

    def entry(self) -> File:
        return File(self.content())

    def content(self) -> bytes:
        """The archive's bytes; equal members give equal bytes."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, member in self.members.items():
                data = member.content() if isinstance(member, Archive) else _data(member)
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return stream.getvalue()


def _data(member: Part | str | bytes) -> bytes:
    if isinstance(member, Part):
        return member.made().read_bytes()
    return member.encode() if isinstance(member, str) else member


def jar(members: Mapping[str, Part | str | bytes]) -> Archive:
    """A JAR with a manifest."""
    return Archive({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\n\r\n", **members})
