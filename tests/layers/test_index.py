"""What a layer's index says of whiteouts, replaced entries, hard links and parents without entry."""

from __future__ import annotations

import pytest

from imagescan.layers import columns
from imagescan.layers.values import EntryKind
from tests.layers.tars import directory, file, hard_link, header, index, layer, paths, pax, symlink


def test_whiteouts_are_no_entries():
    found = index(layer(directory(b"a"), file(b"a/.wh.b"), file(b".wh.c"), file(b"d/.wh..wh..opq")))
    assert paths(found) == ["a", "d"]
    assert found.whiteouts() == ("a/b", "c")
    assert found.is_whiteout("a/b") and not found.is_whiteout("a") and not found.is_whiteout("a/.wh.b")
    assert found.is_opaque("d") and not found.is_opaque("a")
    assert found.children("a") == ()


def test_the_root_can_be_opaque():
    assert index(layer(file(b".wh..wh..opq"))).is_opaque("")


@pytest.mark.parametrize("parts", [[file(b".wh.a"), file(b"a")], [file(b"a"), file(b".wh.a")]])
def test_a_whiteout_removes_only_from_lower_layers_in_any_order(parts):
    found = index(layer(*parts))
    assert paths(found) == ["a"]
    assert found.whiteouts() == ("a",)


def test_aufs_metadata_is_ignored():
    found = index(
        layer(
            file(b".wh..wh.aufs"),
            directory(b".wh..wh.plnk"),
            file(b".wh..wh.plnk/1.2"),
            file(b".wh..wh.orph/x"),
        )
    )
    assert paths(found) == []
    assert found.whiteouts() == ()


def test_the_last_entry_of_a_path_counts():
    found = index(layer(file(b"a", b"1"), directory(b"d", mode=0o700), file(b"./a", b"22"), directory(b"d")))
    assert found.entry("a").content == b"22"
    assert found.entry("d").mode == 0o755
    assert len(found) == 3


def test_a_file_takes_the_place_of_a_directory_and_all_below():
    found = index(layer(directory(b"d"), file(b"d/a"), file(b"d/e/f"), file(b"d/.wh.x"), file(b"d", b"x")))
    assert paths(found) == ["d"]
    assert found.entry("d").kind is EntryKind.FILE
    assert found.whiteouts() == ()


def test_a_directory_takes_the_place_of_a_file():
    found = index(layer(file(b"d"), directory(b"d"), file(b"d/a")))
    assert paths(found) == ["d", "d/a"]


def test_a_directory_that_comes_back_is_empty():
    found = index(layer(file(b"d/a"), file(b"d"), directory(b"d"), file(b"d/b")))
    assert paths(found) == ["d", "d/b"]


def test_a_directory_named_after_its_children_keeps_them():
    found = index(layer(file(b"d/a"), directory(b"d", mode=0o711)))
    assert (found.entry("d").mode, found.entry("d").implicit) == (0o711, False)
    assert paths(found) == ["d", "d/a"]


def test_parents_without_entry_are_implicit():
    found = index(layer(file(b"a/b/c"), directory(b"a/d")))
    assert found.implicit_directories() == ("a", "a/b")
    assert found.entry("a/b").implicit
    assert (found.entry("a").mode, found.entry("a").uid) == (0o755, 0)
    assert not found.entry("a/d").implicit


def test_a_name_below_a_symlink_of_the_layer_goes_where_it_points():
    found = index(
        layer(
            directory(b"usr/lib"), symlink(b"lib", b"usr/lib"), symlink(b"usr/up", b"../lib/x"),
            file(b"lib/a", b"a"), file(b"usr/up/b", b"b"), symlink(b"abs", b"/usr/./lib"),
            directory(b"abs/d"),
            file(b"abs/.wh.gone"),
        )
    )  # fmt: skip
    assert found.entry("lib").kind is EntryKind.SYMLINK
    assert found.entry("usr/lib/a").content == b"a"
    assert found.entry("usr/lib/x/b").content == b"b"
    assert found.entry("usr/lib/d").kind is EntryKind.DIRECTORY
    assert found.whiteouts() == ("usr/lib/gone",)
    assert found.entry("lib/a") is None


class TestHardLinks:
    def test_share_the_serial_and_the_facts(self):
        found = index(
            layer(
                pax(("SCHILY.xattr.security.capability", "cap")), file(b"a", b"x", mode=0o755, uid=7),
                hard_link(b"b", b"a"), hard_link(b"c", b"./b"), file(b"d", b"x"),
            )
        )  # fmt: skip
        a, b, c, d = (found.entry(name) for name in "abcd")
        assert a.serial == b.serial == c.serial != d.serial
        assert (c.kind, c.content, c.capability, c.mode, c.uid, c.size) == (
            EntryKind.FILE,
            b"x",
            b"cap",
            0o755,
            7,
            1,
        )
        assert c.hard_link is None

    def test_keep_what_was_linked_when_the_target_is_replaced(self):
        found = index(
            layer(file(b"a", b"old"), hard_link(b"b", b"a"), file(b"a", b"new"), hard_link(b"c", b"a"))
        )
        assert [found.entry(name).content for name in "abc"] == [b"new", b"old", b"new"]
        assert found.entry("a").serial == found.entry("c").serial != found.entry("b").serial

    def test_keep_what_was_linked_when_the_target_is_gone(self):
        found = index(layer(file(b"d/a", b"x"), hard_link(b"b", b"d/a"), file(b"d", b"")))
        assert paths(found) == ["b", "d"]
        assert found.entry("b").content == b"x"

    def test_to_a_symlink_are_symlinks(self):
        found = index(layer(symlink(b"a", b"there"), hard_link(b"b", b"a")))
        assert found.entry("b").kind is EntryKind.SYMLINK
        assert found.entry("b").target == "there"
        assert found.entry("b").serial == found.entry("a").serial

    def test_through_a_symlinked_directory(self):
        found = index(layer(file(b"d/a", b"x"), symlink(b"s", b"d"), hard_link(b"b", b"s/a")))
        assert found.entry("b").content == b"x"

    def test_to_a_path_that_is_not_in_the_layer_wait_for_lower_layers(self):
        found = index(layer(hard_link(b"b", b"/usr/bin/./a"), file(b".wh..wh.plnk/1"), file(b"c")))
        assert found.entry("b").hard_link == "usr/bin/a"
        assert found.hard_links() == (("b", "usr/bin/a"),)
        assert found.entry("c").hard_link is None

    def test_to_a_file_that_comes_later_wait_for_lower_layers(self):
        assert index(layer(hard_link(b"b", b"a"), file(b"a"))).hard_links() == (("b", "a"),)


def test_entries_come_parents_first_and_the_root_is_one_of_them():
    found = index(layer(file(b"b/c/d"), file(b"a"), file(b"b-c")))
    listed = [entry.path for entry in found.entries()]
    assert len(listed) == len(found) == len(set(listed)) == 6
    assert listed[0] == ""
    assert all(path.rpartition("/")[0] in listed[:place] for place, path in enumerate(listed) if path)


def test_entry_agrees_with_entries():
    found = index(layer(file(b"b/c/d"), symlink(b"a", b"b"), file(b"b-c", b"x"), header(b"n", type=b"3")))
    for entry in found.entries():
        assert found.entry(entry.path) == entry
    for absent in ("x", "b/x", "a/b", "b/c/d/e", "/a", "a/", "b/"):
        assert found.entry(absent) is None


def test_contents_are_the_files_that_the_inspector_kept():
    found = index(
        layer(
            file(b"d/a", b"1"),
            directory(b"e"),
            hard_link(b"b", b"d/a"),
            file(b"z/y", b"2"),
            file(b"z/y", b"3"),
        )
    )
    assert sorted(found.contents()) == [("b", b"1"), ("d/a", b"1"), ("z/y", b"3")]


def test_look_ups_work_after_names_were_forgotten(monkeypatch):
    monkeypatch.setattr(columns, "_MAXIMUM_OPEN_NAMES", 3)
    found = index(layer(*(file(b"%d/%d" % (number % 7, number), b"%d" % number) for number in range(50))))
    for number in (3, 1, 49, 3, 22, 7, 3):
        assert found.entry(f"{number % 7}/{number}").content == b"%d" % number


def test_pipelined_gives_the_same():
    data = layer(*(file(b"d/%d" % number, b"%d" % number * 5000) for number in range(200)))
    assert list(index(data).entries()) == list(index(data, pipelined=True).entries())


def test_progress_counts_the_stored_bytes():
    data = layer(file(b"a", bytes(700_000)))
    counted = []
    index(data, on_bytes=counted.append)
    assert sum(counted) == len(data)
    assert len(counted) > 1
