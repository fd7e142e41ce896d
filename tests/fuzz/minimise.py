"""Make a tree smaller for as long as something stays true of it: what remains is the cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.fuzz.elf_writer import Elf, VersionNeed
from tests.fuzz.tree import PROGRAM, Entry, Tree


def minimise(tree: Tree, still: Callable[[Tree], bool]) -> Tree:
    """The smallest tree that greedy removal reaches and of which ``still`` holds."""
    smaller: Tree | None = tree
    while smaller is not None:
        tree = smaller
        smaller = next((one for one in _smaller(tree) if still(one)), None)
    return tree


def _smaller(tree: Tree) -> Iterator[Tree]:
    targets = {entry.target for entry in tree.entries if entry.kind == "hardlink"}
    for position, entry in enumerate(tree.entries):
        rest = tree.entries[:position] + tree.entries[position + 1 :]
        if entry.path != PROGRAM and entry.path not in targets:
            yield replace(tree, entries=rest, stale=tuple(one for one in tree.stale if one != entry.path))
    for name in tree.variables:
        yield replace(tree, variables={key: text for key, text in tree.variables.items() if key != name})
    for name, text in tree.variables.items():
        for separator in ":; ":
            for shorter in _without_each(text.split(separator)):
                yield replace(tree, variables={**tree.variables, name: separator.join(shorter)})
    for field, value in (("uid", 0), ("directory", "/"), ("cached", False), ("stale", ())):
        if getattr(tree, field) != value:
            changed = {field: value} | ({"stale": ()} if field == "cached" else {})
            yield replace(tree, **changed)  # type: ignore[arg-type]
    for position, entry in enumerate(tree.entries):
        for smaller in _smaller_entries(entry):
            yield replace(tree, entries=(*tree.entries[:position], smaller, *tree.entries[position + 1 :]))


def _smaller_entries(entry: Entry) -> Iterator[Entry]:
    if entry.mode not in (0o755, 0o644) and entry.kind != "link":
        yield replace(entry, mode=0o755)
    if entry.elf:
        for elf in _smaller_elf(entry.elf):
            yield replace(entry, elf=elf)


def _smaller_elf(elf: Elf) -> Iterator[Elf]:
    for field in fields(Elf):
        value: Any = getattr(elf, field.name)
        if field.name in ("interpreter", "gnu_hash", "flags_1") or value == field.default:
            continue
        if isinstance(value, tuple):
            for shorter in _without_each(value):
                yield replace(elf, **{field.name: tuple(shorter)})
        else:
            yield replace(elf, **{field.name: field.default})
        if isinstance(value, str) and ":" in value:
            for shorter in _without_each(value.split(":")):
                yield replace(elf, **{field.name: ":".join(shorter)})
    for position, need in enumerate(elf.needs):
        for shorter in _without_each(need.versions):
            if shorter:
                changed = VersionNeed(need.file, tuple(shorter))
                yield replace(elf, needs=(*elf.needs[:position], changed, *elf.needs[position + 1 :]))


def _without_each(values: Any) -> Iterator[list[Any]]:
    for position in range(len(values)):
        yield [*values[:position], *values[position + 1 :]]
