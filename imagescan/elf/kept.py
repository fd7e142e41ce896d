"""Which bytes of a large ELF file its facts are made of, told from its program headers.

The start of a file enters; ranges of the rest leave, or None where nothing can be left out. Follows the
gABI chapter "Program Header" and what linkers do (GNU ld, gold, lld and mold put the tables of the
dynamic section at the start of the first segment, patchelf into a new one): what turns out to lie
elsewhere is damage of the file, never a wrong answer.
"""

from __future__ import annotations

from imagescan.elf.dynamic import MAXIMUM_DYNAMIC_ENTRIES, PIECE_BYTES
from imagescan.elf.header import (
    EXECUTE,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
    read_header,
)
from imagescan.elf.notes import MAXIMUM_NOTE_SEGMENT
from imagescan.errors import MalformedBinary
from imagescan.layers.values import Body

SEGMENT_START = 64 << 20  # bytes kept of one segment; the largest tables seen have 30 MiB

_MAXIMUM_SIZES = {
    PT_DYNAMIC: 16 * MAXIMUM_DYNAMIC_ENTRIES,
    PT_INTERP: 4096,
    PT_NOTE: MAXIMUM_NOTE_SEGMENT,
    PT_GNU_PROPERTY: MAXIMUM_NOTE_SEGMENT,
}


def kept_ranges(start: Body) -> tuple[range, ...] | None:
    """The ranges that ``read_elf`` may ask for, ascending and apart.

    Code is left out of files that part it from data. Of everything else that is loaded the first
    ``SEGMENT_START`` bytes are kept.
    """
    try:
        header = read_header(start)
    except MalformedBinary:
        return None
    if header.segments_cut:
        return None
    parted = header.parts_code_from_data
    wanted = []
    for kind, flags, offset, _, _, file_size, _, _ in header.segments:
        if kind == PT_LOAD and not (parted and flags & EXECUTE):
            size = min(file_size, SEGMENT_START) + PIECE_BYTES
            wanted.append(range(offset, offset + size))
        elif kind in _MAXIMUM_SIZES:
            size = min(file_size, _MAXIMUM_SIZES[kind])
            wanted.append(range(offset, offset + size))
    return _merged(wanted)


def _merged(ranges: list[range]) -> tuple[range, ...]:
    merged: list[range] = []
    for one in sorted(filter(None, ranges), key=lambda one: one.start):
        if merged and one.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, one.stop))
        else:
            merged.append(one)
    return tuple(merged)
