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


def without_parents(rng: random.Random, changes: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The same layer as a builder writes it that leaves out some directories with children."""
    inner = {path.rpartition("/")[0] for _, path, _ in changes}
    inner |= {path for action, path, _ in changes if action == "opaque"}
    return [
        change
        for change in changes
        if change[0] != "directory" or change[1] not in inner or rng.random() < 0.3
    ]


def unpack(tree: Tree, changes: list[tuple[str, str, str]]) -> bool:
    """Apply a layer as containerd does: parents are found through symlinks, or made.

    False for layers on which unpackers do not agree, or where the order of the tar decides: a
    symlink that leads to no directory, a parent that this layer itself hides, or two names of
    the layer that lead to one place.
    """
    touched = {path for action, path, _ in changes if action in ("whiteout", "symlink")}
    named = {path for action, path, _ in changes if action == "directory"}
    opaque = {path for action, path, _ in changes if action == "opaque"}
    places = []
    for action, path, detail in changes:
        holder = path if action == "opaque" else path.rpartition("/")[0]
        place = _through_links(tree, holder, touched, named, opaque)
        if place is None:
            return False
        places.append(
            (
                action,
                place if action == "opaque" else f"{place}/{path.rpartition('/')[2]}".lstrip("/"),
                detail,
            )
        )
    removals = ("whiteout", "opaque")
    if places != changes and _collide(places):
        return False
    apply(tree, [change for change in places if change[0] in removals])
    for change in places:
        _make(tree, change[1] if change[0] == "opaque" else change[1].rpartition("/")[0])
        if change[0] not in removals:
            apply(tree, [change])
    return True


def _collide(places: list[tuple[str, str, str]]) -> bool:
    """Whether something that is no directory, or a removal, is where another change is or leads."""
    for number, (action, place, _) in enumerate(places):
        if action == "opaque" and not place:
            return True
        if action in ("directory", "opaque"):
            continue
        for other, (_, path, _) in enumerate(places):
            if other != number and (path == place or path.startswith(f"{place}/")):
                return True
    return False


def _through_links(tree: Tree, path: str, touched: set[str], named: set[str], opaque: set[str]) -> str | None:
    """Where a directory of a layer is on the tree below it."""
    place: list[str] = []
    walked: list[str] = []
    for name in path.split("/") if path else ():
        walked.append(name)
        source = "/".join(walked)
        below = _at(tree, "/".join([*place, name]))
        if source in named or not isinstance(below, tuple) or below[0] != "symlink":
            if isinstance(below, tuple) and source not in named:
                return None
            place.append(name)
            continue
        if source in touched or {"/".join(walked[:depth]) for depth in range(len(walked))} & opaque:
            return None
        followed = _follow(tree, place, below[1], 40)
        if followed is None:
            return None
        place = followed
    return "/".join(place)


def _follow(tree: Tree, place: list[str], target: str, links: int) -> list[str] | None:
    at = [] if target.startswith("/") else list(place)
    for name in target.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            at = at[:-1]
            continue
        found = _at(tree, "/".join([*at, name]))
        if isinstance(found, tuple) and found[0] == "symlink" and links:
            followed = _follow(tree, at, found[1], links - 1)
            if followed is None:
                return None
            at = followed
        elif isinstance(found, dict):
            at.append(name)
        else:
            return None
    return at


def _make(tree: Tree, path: str) -> None:
    for name in path.split("/") if path else ():
        found = tree.get(name)
        if not isinstance(found, dict):
            found = tree[name] = {}
        tree = found
