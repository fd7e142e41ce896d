import json
from pathlib import Path

from tests.cli.scanner import imagescan


def test_tree_shows_what_each_program_needs_and_how_it_was_found() -> None:
    done = imagescan("tree", "broken")
    assert done.code == 0
    assert "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1  [cache]" in done.stdout
    assert "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13  glibc" not in done.stdout


def test_tree_of_one_program_goes_all_the_way_down() -> None:
    shown = imagescan("tree", "broken", "shop").stdout
    assert "│   └── libc.so.6 =>" in shown


def test_tree_of_an_unknown_program_names_a_near_one() -> None:
    done = imagescan("tree", "broken", "/usr/local/bin/shopp")
    assert done.code == 2
    assert "did you mean /usr/local/bin/shop?" in done.stderr


def test_tree_as_json_adds_what_is_asked_for(tmp_path: Path) -> None:
    plain = json.loads(imagescan("tree", "broken", "-o", "json").stdout)
    assert "link_map" not in plain["objects"][0]
    full = imagescan(
        "tree", "broken", "shop", "--closure", "--trail", "-o", "json=t.json", directory=tmp_path
    )
    assert full.stdout == ""
    document = json.loads((tmp_path / "t.json").read_text())
    assert len(document["objects"]) == 1
    assert document["objects"][0]["link_map"][0]["requester"] is None
    assert document["objects"][0]["needed"][1]["trail"][0]["outcome"] == "absent"


def test_tree_of_all_platforms_is_a_list() -> None:
    shown = imagescan("tree", "two-platforms", "-o", "json", "--platform", "all").stdout
    assert len(json.loads(shown)) == 2


def test_why_names_who_needs_it_the_search_and_the_layer() -> None:
    shown = imagescan("why", "broken", "libpq.so.5").stdout
    assert "/usr/local/bin/shop  => not found" in shown
    assert "default: /lib/x86_64-linux-gnu/libpq.so.5: absent" in shown
    assert "layer 4 removed /usr/lib/x86_64-linux-gnu/libpq.so.5" in shown


def test_why_of_something_unknown_says_so() -> None:
    done = imagescan("why", "sound", "libnothing.so")
    assert (done.code, done.stdout) == (2, "")
    assert "nothing in the image has or needs 'libnothing.so'" in done.stderr


def test_an_unreadable_image_is_one_line_here_too() -> None:
    from imagescan.errors import NotFound

    done = imagescan("tree", "x", answers={"x": NotFound("no such image")})
    assert (done.code, done.stderr) == (2, "imagescan: error: x: no such image\n")
