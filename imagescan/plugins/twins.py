"""Programs that are the same host for every plugin: the dozens of commands of a Java or an MPI.

A program enters; what of it matters to the files that it opens leaves, as a value that can be compared.
What happens in ``dlopen`` follows from the program's facts, the directory that it lies in ($ORIGIN), the
rights that its file gives, and what its symbols answer. Its path is only told of, where its DT_RPATH is
searched, and no loader knows its inode; so programs of equal value meet equally many obstacles.
"""

from __future__ import annotations

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import SymbolTable
from imagescan.filesystem.values import FileEntry
from imagescan.loader.symbol_lookup import DefinedSymbols

MAXIMUM_SYMBOL_BYTES = 8192  # of a program that is compared; the larger ones are not worth it


def host_value(entry: FileEntry, elf: ElfFacts) -> object | None:
    """What all programs have in common in which the same happens to plugins; None for one that is like no
    other."""
    symbols = _symbols_value(elf.symbols) if elf.symbols is not None else ()
    if symbols is None:
        return None
    # The kernel maps the program: its segments are no matter for its loader.
    facts = replace(elf, symbols=None, packed_segments=b"", build_id="", file_size=0)
    rights = entry.mode, entry.uid, entry.gid, entry.capability
    return entry.path.rpartition("/")[0], rights, facts, symbols


def _symbols_value(table: SymbolTable) -> object | None:
    """What look-ups in a program find. Where its hash table does not lead to each of its definitions, it is
    like no other."""
    if table.length > MAXIMUM_SYMBOL_BYTES:
        return None
    definitions = tuple(table.definitions())
    found = DefinedSymbols(table)
    if len(found.names) < len(definitions) or not all(found.defines(name) for name in found.names):
        return None
    return frozenset(definitions), table.has_versions, table.hash_kind, table.static_tls
