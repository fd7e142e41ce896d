"""``imagescan cache``: where it is, what is in it, and how it is made smaller."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from imagescan.cli.main import run
from tests.cache.images import layout


def cli(*words: str, directory: Path, **environment: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = run(words, environment, directory, out, err)
    return code, out.getvalue(), err.getvalue()


def scanned(tmp_path: Path) -> Path:
    image = layout(tmp_path / "image")
    cli(image, "--platform", "linux/amd64", directory=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    return tmp_path / "imagescan"


def test_it_is_in_the_user_s_directory_for_caches(tmp_path: Path) -> None:
    assert sorted(path.name for path in scanned(tmp_path).iterdir()) == [
        "CACHEDIR.TAG", "answers", "blobs", "layers", "links"
    ]  # fmt: skip
    image = f"oci:{tmp_path / 'image'}"
    cli(image, "--platform", "linux/amd64", directory=tmp_path, HOME=str(tmp_path / "home"))
    assert (tmp_path / "home" / ".cache" / "imagescan" / "layers").is_dir()


def test_info_counts_what_is_there(tmp_path: Path) -> None:
    directory = scanned(tmp_path)
    code, out, _ = cli("cache", "info", directory=tmp_path, IMAGESCAN_CACHE_DIR=str(directory))
    assert code == 0
    counts = {line.rsplit(maxsplit=3)[0].strip(): line.split()[-3] for line in out.splitlines()[1:4]}
    assert counts == {"layers": "2", "digests of blobs": "2", "answers": "1"}
    assert "limit 2,147.5 MB, 30 days" in out


def test_clear_empties_it_and_prune_makes_it_small(tmp_path: Path) -> None:
    where = {"IMAGESCAN_CACHE_DIR": str(scanned(tmp_path))}
    assert "6 files" in cli("cache", "prune", directory=tmp_path, **where)[1]
    code, out, _ = cli("cache", "prune", "--cache-size", "8K", directory=tmp_path, **where)
    assert code == 0
    assert out.startswith("removed ")
    assert not out.startswith("removed 0 ")
    scanned(tmp_path)
    assert cli("cache", "clear", directory=tmp_path, **where)[1].endswith("; 0 files, 0.0 MB stay\n")
    assert not list((tmp_path / "imagescan").rglob("sha256-*"))


def test_an_empty_cache_is_said_to_be_empty_and_not_made(tmp_path: Path) -> None:
    for action in ("info", "prune", "clear"):
        code, out, _ = cli("cache", action, "--cache-dir", "none", directory=tmp_path)
        assert (code, out) == (0, f"{tmp_path / 'none'}: empty\n")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("cache", "wash"), "cache knows no 'wash' (say info, prune or clear)"),
        (("cache", "info"), "there is no cache"),
        (("cache", "info", "--cache-dir", ".", "--cache-size", "much"), "not a size: 'much'"),
        (("cache", "info", "--cache-dir", ".", "--cache-days", "-1"), "not a number of days"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    code, _, err = cli(*words, directory=tmp_path)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_a_cache_that_cannot_be_used_is_one_warning(tmp_path: Path) -> None:
    image = layout(tmp_path / "image")
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache").chmod(0o777)
    words = (image, "--platform", "linux/amd64", "--cache-dir", "cache")
    code, _, err = cli(*words, directory=tmp_path)
    assert code == 1
    assert err == (
        f"imagescan: warning: the cache cannot be used: {tmp_path / 'cache'}: other users may write to it"
        " (name another with --cache-dir)\n"
    )
    assert cli(*words, "-q", directory=tmp_path)[2] == ""
    code, _, err = cli("cache", "info", "--cache-dir", "cache", directory=tmp_path)
    assert (code, err.count("\n")) == (2, 1)
