"""The members that nearly all of a tar consists of, read in a row: a chunk enters, rows leave.

A file, directory or symlink is plain when its ustar header needs no other (POSIX ustar, GNU tar and
Go's archive/tar write the same fields for it) and has ASCII only, its parent is known by the very name
that is written there. Before any other member ``PlainMembers.read`` stops and leaves it to ``tar`` and
``builder``, which know all forms and all errors: here nothing is ever found wrong. It stops also where
content is wanted that reaches beyond the chunk. Most of a walk's time is spent here, hence one long loop
over local names.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from zlib import adler32

from imagescan.layers.body import ChunkBody
from imagescan.layers.builder import IndexBuilder
from imagescan.layers.growing import GrowingDirectory
from imagescan.layers.header import BLOCK_BYTES, decode_attributes, until_nul
from imagescan.layers.members import WantedFile
from imagescan.layers.paths import decode
from imagescan.layers.values import HEAD_BYTES, Body, ContentInspector

# Owner and mode, size and what ends it, checksum and what ends it, type, first byte of the prefix.
_FIELDS = struct.Struct("100x 24s 11s s 12x 6s 2s B 188x B")
_NAME_BYTES = 100
_LINK = slice(157, 257)
_FILE, _SYMLINK, _DIRECTORY = b"025"
_DOT, _SLASH = b"./"
_ROUND_UP = BLOCK_BYTES - 1
_ENDS_OF_SIZE = (b"\0", b" ")
_END_OF_SUM = b"\0 "
# adler32's low half is 1 + the sum of all bytes (of 512 ASCII bytes: exactly); the checksum counts its
# own field as eight spaces.
_CORRECTION = 8 * ord(" ") - sum(_END_OF_SUM) - 1
_MAXIMUM_REMEMBERED = 4096  # distinct modes and owners


class PlainMembers:
    """Reads plain members into a builder, and gives ``look_into`` the content that an inspector wants."""

    __slots__ = ("_builder", "_interest", "_look_into", "_numbers", "_wants")

    def __init__(
        self,
        builder: IndexBuilder,
        inspector: ContentInspector,
        look_into: Callable[[WantedFile, Body], None],
    ) -> None:
        self._builder = builder
        self._wants, self._interest = inspector.wants, inspector.INTEREST
        self._look_into = look_into
        self._numbers: dict[bytes, int] = {}  # of attributes, by the bytes of mode, user and group

    def read(self, chunk: bytes, position: int) -> tuple[int, WantedFile | None]:
        """Take the plain members that begin at ``position``, up to a file whose content is wanted and ends
        behind the chunk.

        Returns where that content begins, or else the next header, which may be behind the chunk's end.

        Raises:
            CorruptLayer: a mode or an owner that is no number.
            LimitExceeded: too many entries or too long names.
        """
        rows, directories = self._builder.rows, self._builder.directories
        row, name_bytes, last, wanted = len(rows.kinds), 0, len(chunk), None
        add_kind, add_number, add_size = rows.kinds.append, rows.attributes.append, rows.sizes.append
        unpack, number_of = _FIELDS.unpack_from, self._numbers.get
        starts, endings, folders = self._interest
        prefix, directory, is_of_interest = b"", None, False
        while (after := position + BLOCK_BYTES) <= last:
            block = chunk[position:after]
            owner, digits, digits_end, total, total_end, kind, more = unpack(block)
            if more or total_end != _END_OF_SUM or digits_end not in _ENDS_OF_SIZE:
                break
            if not (block.isascii() and total.isdigit() and digits.isdigit()):
                break
            try:
                size, expected = int(digits, 8), int(total, 8)
            except ValueError:
                break  # not octal: whose business that is will say so
            if (adler32(block) & 0xFFFF) + _CORRECTION - sum(total) != expected:
                break
            number = number_of(owner)
            if number is None:
                number = self._learn(owner)
            end = block.find(0, 0, _NAME_BYTES)
            if kind != _FILE:
                if not self._add_other(kind, block, end, number):
                    break
                row, position = len(rows.kinds), after
                continue
            cut = block.rfind(b"/", 0, end) + 1
            if directory is None or block[:cut] != prefix:
                prefix = block[:cut]
                directory = self._directory(prefix)
                if directory is None:
                    break
                names, add_row = directory.names, directory.rows.append
                is_of_interest = directory.path.startswith(folders)
            if block[cut] in b"\0." or end < 0 or (size and after + 2 > last):
                break
            if directory.subdirectories and _join(directory, block[cut:end]) in directories:
                break
            if is_of_interest or chunk[after : after + 2] in starts or block[end - 2 : end] in endings:
                if after + HEAD_BYTES > last:
                    break
                head = chunk[after : after + min(size, HEAD_BYTES)]
                wanted = self._wanted(_join(directory, block[cut:end]), row, size, head)
            names += block[cut - 1 : end]
            add_row(row)
            add_kind(0)
            add_number(number)
            add_size(size)
            row, name_bytes = row + 1, name_bytes + end - cut
            if wanted is not None:
                if after + size > last:
                    position = after
                    break
                self._look_into(wanted, ChunkBody(chunk, after, size))
                wanted = None
            position = after + (size + _ROUND_UP & -BLOCK_BYTES)
        rows.name_bytes += name_bytes
        rows.check_limits()
        return position, wanted

    def _learn(self, owner: bytes) -> int:
        """The position of these attributes in the table of all distinct ones."""
        number = self._builder.rows.attributes_number(decode_attributes(owner))
        if len(self._numbers) < _MAXIMUM_REMEMBERED:
            self._numbers[owner] = number
        return number

    def _directory(self, prefix: bytes) -> GrowingDirectory | None:
        """The directory that is known by this beginning of a name, up to its last slash."""
        path = prefix[2:] if prefix[:2] == b"./" else prefix
        if path[:-1]:
            return self._builder.directories.get(path[:-1])
        return None if path or not prefix else self._builder.directories[b""]

    def _wanted(self, path: bytes, row: int, size: int, head: bytes) -> WantedFile | None:
        text = decode(path)
        return WantedFile(text, row, size) if self._wants(text, size, head) else None

    def _add_other(self, kind: int, block: bytes, end: int, number: int) -> bool:
        """Take a directory or symlink; false where there is more to it, or it is something else."""
        if block[end - 1] == _SLASH and kind == _DIRECTORY:
            end -= 1
        cut = block.rfind(b"/", 0, end) + 1
        directory = self._directory(block[:cut])
        if directory is None or end <= cut or block[cut] == _DOT:
            return False
        name = block[cut:end]
        path = _join(directory, name)
        if kind == _DIRECTORY:
            self._builder.add_directory(path, directory, name, number)
            return True
        target = until_nul(block[_LINK])
        if kind != _SYMLINK or not target or path in self._builder.directories:
            return False
        self._builder.rows.name_bytes += len(name)
        directory.add(name, self._builder.add_target(target, number))
        return True


def _join(directory: GrowingDirectory, name: bytes) -> bytes:
    return directory.path + b"/" + name if directory.path else name
