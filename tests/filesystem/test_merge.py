"""Layers on top of each other: what each says wins, hides, or lets through."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imagescan.errors import CorruptLayer
from imagescan.filesystem.values import LayerAction
from imagescan.layers.values import EntryKind
from tests.filesystem.stacks import (
    apply,
    listing,
    listing_of_view,
    merged,
    random_layer,
    tar_parts,
    unpack,
    without_parents,
)
from tests.layers.tars import directory, file, hard_link, pax, symlink


def listed(view) -> list[str]:
    return [entry.path for entry in view.walk()]


def entry(view, path):
    return view.resolve(path, follow=False).entry


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_view_is_what_unpacking_one_layer_after_the_other_makes(seed, count):
    rng = random.Random(seed)
    stack = [random_layer(rng, number) for number in range(count)]
    tree = {}
    for changes in stack:
        apply(tree, changes)
    view = merged(*map(tar_parts, stack))
    assert listing_of_view(view) == listing(tree)
    for path in listing(tree):
        assert entry(view, path).path == path
        assert view.events(path)[-1].entry == entry(view, path)
    assert [item.path for item in view.contents()] == sorted(
        p for p, v in listing(tree).items() if v[0] == "file"
    )
    fresh = merged(*map(tar_parts, stack))
    found = [*fresh.contents()]
    assert found == [entry(view, item.path) for item in found] == [entry(fresh, item.path) for item in found]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["lib.so", "a.so.1", "b", "x.s", "o.so"]), unique=True), max_size=4))
def test_names_that_are_looked_for_together_are_found_as_one_by_one(directories):
    names = ["lib.so", "a.so.1", "b", "x.so", ".so", "o", "s/o.so", ""]
    parts = [
        file(f"{'abcd'[at]}/{name}".encode(), b"x") for at, inner in enumerate(directories) for name in inner
    ]
    together, single = merged(parts, parts[::2]), merged(parts, parts[::2])
    together.look_for_libraries(names)
    assert [together.paths_ever(name) for name in names] == [single.paths_ever(name) for name in names]


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_layers_that_leave_out_parents_are_unpacked_as_by_containerd(seed, count):
    rng = random.Random(seed)
    stack = [random_layer(rng, number) for number in range(count)]
    stack = [stack[0]] + [without_parents(rng, changes) for changes in stack[1:]]
    tree = {}
    assume(all(unpack(tree, changes) for changes in stack))
    assert listing_of_view(merged(*map(tar_parts, stack))) == listing(tree)
    fresh, view = merged(*map(tar_parts, stack)), merged(*map(tar_parts, stack))
    files = [item for item in view.walk() if item.content is not None]
    assert [*fresh.contents()] == sorted(files, key=lambda item: item.path)


def test_no_layer_at_all_is_an_empty_root():
    view = merged()
    assert listed(view) == []
    assert view.resolve("/").entry.kind is EntryKind.DIRECTORY
    assert view.layer_count == 0


def test_the_entry_says_which_layer_brought_it():
    view = merged([directory(b"d"), file(b"d/a")], [file(b"d/b")], [directory(b"d", mode=0o700)])
    assert (entry(view, "/d/a").layer, entry(view, "/d/b").layer) == (0, 1)
    assert (entry(view, "/d").layer, entry(view, "/d").mode) == (2, 0o700)


def test_a_parent_that_no_entry_names_keeps_what_is_below():
    view = merged([directory(b"d", mode=0o1777, uid=5)], [file(b"d/a")])
    assert (entry(view, "/d").mode, entry(view, "/d").uid, entry(view, "/d").layer) == (0o1777, 5, 0)
    assert listed(view) == ["/d", "/d/a"]


def test_the_root_keeps_its_attributes_too():
    view = merged([directory(b"./", mode=0o711)], [file(b"a")])
    assert view.resolve("/").entry.mode == 0o711


def test_a_parent_that_no_layer_names_is_a_plain_directory():
    view = merged([file(b"d/a")], [file(b"d/b")])
    assert (entry(view, "/d").mode, entry(view, "/d").uid, entry(view, "/d").layer) == (0o755, 0, 0)


class TestParentsBehindLowerSymlinks:
    """containerd follows a lower symlink to a directory when an entry's parent is not named."""

    BASE = (
        directory(b"usr"),
        directory(b"usr/lib", mode=0o711),
        file(b"usr/lib/old"),
        symlink(b"lib", b"usr/lib"),
    )

    def test_names_go_where_the_link_points(self):
        view = merged([*self.BASE], [file(b"lib/new", b"x"), file(b"lib/sub/deep")])
        assert entry(view, "/lib").kind is EntryKind.SYMLINK
        assert listed(view) == [
            "/lib",
            "/usr",
            "/usr/lib",
            "/usr/lib/new",
            "/usr/lib/old",
            "/usr/lib/sub",
            "/usr/lib/sub/deep",
        ]
        assert view.resolve("/lib/new").entry == entry(view, "/usr/lib/new")
        assert entry(view, "/usr/lib/new").layer == 1
        assert entry(view, "/usr/lib").mode == 0o711
        assert [item.path for item in view.contents()] == [
            "/usr/lib/new",
            "/usr/lib/old",
            "/usr/lib/sub/deep",
        ]

    def test_a_directory_that_is_named_takes_the_place_of_the_link(self):
        view = merged([*self.BASE], [directory(b"lib"), file(b"lib/new")])
        assert listed(view) == ["/lib", "/lib/new", "/usr", "/usr/lib", "/usr/lib/old"]

    def test_whiteouts_behind_the_link_hold_where_it_points(self):
        view = merged([*self.BASE], [file(b"lib/.wh.old")])
        assert listed(view) == ["/lib", "/usr", "/usr/lib"]
        assert [event.action for event in view.events("/usr/lib/old")] == ["added", "removed"]

    def test_opaque_behind_the_link_holds_where_it_points(self):
        view = merged([*self.BASE], [file(b"lib/.wh..wh..opq"), file(b"lib/new")])
        assert listed(view) == ["/lib", "/usr", "/usr/lib", "/usr/lib/new"]

    def test_layers_above_see_the_file_where_it_went(self):
        view = merged([*self.BASE], [file(b"lib/new")], [file(b"usr/lib/.wh.new")], [file(b"lib/new", b"3")])
        assert entry(view, "/usr/lib/new").layer == 3
        assert [event.action for event in view.events("/usr/lib/new")] == ["added", "removed", "added"]

    def test_what_hides_the_target_hides_what_was_put_there(self):
        view = merged([*self.BASE], [file(b"lib/new")], [file(b"usr/.wh.lib")])
        assert listed(view) == ["/lib", "/usr"]
        view = merged([*self.BASE], [file(b"lib/new")], [file(b"usr/lib/.wh..wh..opq")])
        assert listed(view) == ["/lib", "/usr", "/usr/lib"]

    def test_a_link_that_is_removed_in_the_same_layer_is_not_followed(self):
        view = merged([*self.BASE], [file(b".wh.lib"), file(b"lib/new")])
        assert listed(view) == ["/lib", "/lib/new", "/usr", "/usr/lib", "/usr/lib/old"]

    def test_links_in_a_row_and_to_the_root(self):
        base = [*self.BASE, symlink(b"a", b"b"), symlink(b"b", b"/lib"), symlink(b"r", b"/")]
        view = merged(base, [file(b"a/x"), file(b"r/top"), file(b"usr/lib/y"), file(b"r/usr/z")])
        assert {"/usr/lib/x", "/top", "/usr/lib/y", "/usr/z"} <= set(listed(view))
        assert view.children("/") == ("a", "b", "lib", "r", "top", "usr")

    def test_a_link_below_a_link(self):
        base = [*self.BASE, directory(b"usr/lib/real"), symlink(b"usr/lib/inner", b"real")]
        view = merged(base, [file(b"lib/inner/x")])
        assert entry(view, "/usr/lib/real/x").layer == 1
        assert entry(view, "/usr/lib/inner").kind is EntryKind.SYMLINK

    @pytest.mark.parametrize("target", [b"missing", b"usr/lib/old", b"link"])
    def test_a_link_to_no_directory_is_hidden_by_one(self, target):
        view = merged([*self.BASE, symlink(b"link", target)], [file(b"link/x")])
        assert entry(view, "/link").kind is EntryKind.DIRECTORY
        assert entry(view, "/link/x").layer == 1


class TestHardLinksAcrossLayers:
    def test_are_one_inode(self):
        capability = pax(("SCHILY.xattr.security.capability", "cap"))
        view = merged(
            [directory(b"d"), capability, file(b"d/a", b"x", mode=0o755)],
            [hard_link(b"b", b"d/a")],
            [hard_link(b"c", b"b")],
        )
        a, b, c = (entry(view, path) for path in ("/d/a", "/b", "/c"))
        assert a.inode == b.inode == c.inode
        assert (c.content, c.capability, c.mode, c.layer) == (b"x", b"cap", 0o755, 2)
        assert [item.path for item in view.contents()] == ["/b", "/c", "/d/a"]

    def test_keep_what_is_later_removed_or_replaced(self):
        view = merged([file(b"a", b"old")], [hard_link(b"b", b"a")], [file(b"a", b"new")])
        assert entry(view, "/b").content == b"old"
        assert entry(view, "/a").inode != entry(view, "/b").inode
        view = merged([file(b"a", b"old")], [hard_link(b"b", b"a"), file(b".wh.a")])
        assert entry(view, "/b").content == b"old"
        assert listed(view) == ["/b"]

    def test_to_a_symlink_are_symlinks(self):
        view = merged([symlink(b"a", b"x")], [hard_link(b"b", b"a")])
        assert entry(view, "/b").kind is EntryKind.SYMLINK
        assert entry(view, "/b").target == "x"

    def test_through_a_lower_symlink_into_their_own_layer(self):
        view = merged(
            [directory(b"usr"), directory(b"usr/lib"), symlink(b"lib", b"usr/lib")],
            [file(b"usr/lib/a", b"x"), hard_link(b"b", b"lib/a")],
        )
        assert entry(view, "/b").content == b"x"
        assert entry(view, "/b").inode == entry(view, "/usr/lib/a").inode

    @pytest.mark.parametrize(
        "parts",
        [[hard_link(b"b", b"a")], [hard_link(b"b", b"d")], [hard_link(b"b", b"c"), hard_link(b"c", b"b")]],
        ids=["nothing", "a directory", "each other"],
    )
    def test_to_no_file_are_an_error_of_the_layer(self, parts):
        with pytest.raises(CorruptLayer, match="hard link"):
            merged([directory(b"d")], parts)


class TestEvents:
    def test_added_replaced_removed(self):
        view = merged(
            [file(b"a", b"1")], [file(b"x")], [file(b"a", b"22")], [file(b".wh.a")], [file(b"a", b"333")]
        )
        events = view.events("/a")
        assert [(event.layer, event.action) for event in events] == [
            (0, LayerAction.ADDED),
            (2, LayerAction.REPLACED),
            (3, LayerAction.REMOVED),
            (4, LayerAction.ADDED),
        ]
        assert [event.entry.size if event.entry else None for event in events] == [1, 2, None, 3]

    @pytest.mark.parametrize(
        "parts",
        [[file(b".wh.d")], [file(b"d")], [file(b"d/.wh..wh..opq")], [symlink(b"d", b"e")]],
        ids=["parent removed", "parent replaced by a file", "parent opaque", "parent replaced by a link"],
    )
    def test_hidden_with_its_parent(self, parts):
        view = merged([directory(b"d"), file(b"d/a")], parts)
        assert [event.action for event in view.events("/d/a")] == [LayerAction.ADDED, LayerAction.HID]

    def test_removed_and_brought_back_by_one_layer_is_replaced(self):
        view = merged([file(b"a")], [file(b".wh.a"), file(b"a")])
        assert [event.action for event in view.events("/a")] == [LayerAction.ADDED, LayerAction.REPLACED]

    def test_what_never_was_has_none(self):
        view = merged([file(b"a")], [file(b".wh.b")])
        assert view.events("/b") == view.events("/a/b") == ()


def test_very_deep_trees_need_no_deep_recursion():
    view = merged([file(b"a/" * 2000 + b"f")], [file(b"a/" * 2000 + b"g")])
    assert len(listed(view)) == 2002
    assert view.resolve("/" + "a/" * 2000 + "g").entry.layer == 1
