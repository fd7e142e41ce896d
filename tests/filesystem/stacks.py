"""Random stacks of layers, and what a careful but naive unpacker makes of them.

A change is ``(action, path, detail)``. The model keeps a tree of plain dictionaries and applies
one change after the other; it knows nothing of layers once they are applied.
"""

from __future__ import annotations

import random

from imagescan.filesystem.merge import merge
from tests.layers.tars import KeepEverything, directory, file, header, index, layer, symlink

NAMES = ("a", "b", "c", "d")
TARGETS = ("a", "b", "/a", "/b/c", "../a", "..", "c/d", "/", ".", "a/b/", "../../..", "missing", "/a/./b//c")


def merged(*layers: list[bytes]):
    """The view of layers given as lists of tar parts."""
    return merge([index(layer(*parts), inspector=KeepEverything()) for parts in layers])


def random_layer(rng: random.Random, number: int) -> list[tuple[str, str, str]]:
    """One layer's changes: every parent named, each path once, children after their parents."""
    kinds: dict[str, str] = {"": "directory"}
    changes: list[tuple[str, str, str]] = []
    for _ in range(rng.randrange(1, 14)):
        parent = rng.choice([path for path, kind in kinds.items() if kind == "directory"])
        if parent.count("/") > 3:
            continue
        name = rng.choice(NAMES)
        path = f"{parent}/{name}" if parent else name
        action = rng.choice(
            ("directory",) * 4 + ("file",) * 3 + ("symlink",) * 2 + ("fifo", "whiteout", "opaque")
        )
        if action == "opaque":
            if ("opaque", parent, "") not in changes:
                changes.append(("opaque", parent, ""))
        elif action == "whiteout":
            if ("whiteout", path, "") not in changes:
                changes.append(("whiteout", path, ""))
        elif path not in kinds:
            kinds[path] = action
            detail = {"symlink": rng.choice(TARGETS), "file": f"{number}:{path}"}.get(action, "")
            changes.append((action, path, detail))
    return changes


def tar_parts(changes: list[tuple[str, str, str]]) -> list[bytes]:
    """The changes as members of a tar."""
    return [_part(*change) for change in changes]


def _part(action: str, path: str, detail: str) -> bytes:
    name = path.encode()
    parent, _, base = path.rpartition("/")
    if action == "directory":
        return directory(name, mode=0o755)
    if action == "symlink":
        return symlink(name, detail.encode())
    if action == "fifo":
        return header(name, type=b"6")
    if action == "whiteout":
        return file(f"{parent}/.wh.{base}".lstrip("/").encode())
    if action == "opaque":
        return file(f"{path}/.wh..wh..opq".lstrip("/").encode())
    return file(name, detail.encode())


Tree = dict[str, "Tree | tuple[str, str]"]


def apply(tree: Tree, changes: list[tuple[str, str, str]]) -> None:
    """Unpack one layer onto the tree: removals hold for what was below, so they come first."""
    for action, path, _ in changes:
        if action == "whiteout":
            parent, name = _parent(tree, path)
            if parent is not None:
                parent.pop(name, None)
        elif action == "opaque":
            found = _at(tree, path)
            if isinstance(found, dict):
                found.clear()
    for action, path, detail in changes:
        if action in ("whiteout", "opaque"):
            continue
        parent, name = _parent(tree, path)
        assert parent is not None
        if action != "directory":
            parent[name] = (action, detail)
        elif not isinstance(parent.get(name), dict):
            parent[name] = {}


def _at(tree: Tree, path: str):
    found = tree
    for name in path.split("/") if path else ():
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def _parent(tree: Tree, path: str):
    parent, _, name = path.rpartition("/")
    found = _at(tree, parent)
    return (found if isinstance(found, dict) else None), name


def listing(tree: Tree, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Every path with its kind and detail."""
    found = {}
    for name, value in tree.items():
        path = f"{prefix}/{name}"
        if isinstance(value, dict):
            found[path] = ("directory", "")
            found.update(listing(value, path))
        else:
            found[path] = value
    return found


def listing_of_view(view) -> dict[str, tuple[str, str]]:
    """The same of a merged view."""
    found = {}
    for entry in view.walk():
        kind = entry.kind.name.lower()
        detail = entry.target if kind == "symlink" else entry.content.decode() if kind == "file" else ""
        found[entry.path] = (kind, detail)
    return found
