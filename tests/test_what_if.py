"""What if: local files on top of an image, another base under it, another kernel."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from imagescan.content import FileInspector
from imagescan.errors import ImageScanError, NotFound, UsageError
from imagescan.findings import RemarkKind, ScanReport
from imagescan.layers.parallel import index_image
from imagescan.layers.values import ImagePath
from imagescan.options import CacheOptions, ScanOptions
from imagescan.scan import scan
from imagescan.sources.additions import parse_addition
from imagescan.sources.select import SourceOptions, open_source
from imagescan.sources.values import ImageSource
from imagescan.sources.what_if import BASE_DIGEST, BASE_NAME, WhatIf, WhatIfSource
from samples.oci import Directory, Entry, ImageBuilder, Symlink, digest_of, write_layout
from samples.workshop import Workshop
from tests.oracle.roots import root
from tests.requirements import require_tool
from tests.system import docker_registry


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def layouts(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layouts ``glibc`` and ``musl`` (bases), and ``app``: a glibc program on the first."""
    directory = tmp_path_factory.mktemp("layouts")
    glibc, musl = workshop.glibc_base(), workshop.musl_base()
    for name, base in (("glibc", glibc), ("musl", musl)):
        write_layout(directory / name, {"latest": image(workshop, base.entries, base.created_by)})
    app = image(workshop, glibc.entries, glibc.created_by)
    app.layer({"hello": workshop.program("hello.c", workshop.glibc_target())}, created_by="COPY hello /")
    write_layout(directory / "app", {"latest": app})
    return directory


def image(workshop: Workshop, entries: dict[str, Entry | bytes], created_by: str) -> ImageBuilder:
    return ImageBuilder(workshop.platform, {"Entrypoint": ["/hello"]}).layer(entries, created_by=created_by)


@pytest.fixture(scope="module")
def hello(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A glibc program as a local file."""
    made = workshop.program("hello.c", workshop.glibc_target()).content
    assert isinstance(made, Path)
    file = tmp_path_factory.mktemp("local") / "hello"
    file.write_bytes(made.read_bytes())
    file.chmod(0o755)
    return file


def judged(layout: Path, **wishes: object) -> ScanReport:
    (result,) = scan(f"oci:{layout}", ScanOptions(**wishes))  # type: ignore[arg-type]
    return result.report


def rules(report: ScanReport) -> list[str]:
    return [one.rule for one in report.findings]


def test_a_program_is_judged_on_a_base_that_does_not_have_it(layouts: Path, hello: Path) -> None:
    assert rules(judged(layouts / "glibc")) == ["start/entrypoint-missing"]
    assert rules(judged(layouts / "glibc", added=(f"{hello}:/hello",))) == []
    report = judged(layouts / "musl", added=(f"{hello}:/hello",))
    (finding,) = report.findings
    assert (finding.rule, finding.object) == ("loader/glibc-program-on-musl", "/hello")
    (blame,) = finding.blame
    assert (blame.layer_index, blame.created_by) == (1, f"imagescan --add {hello}:/hello")
    assert report.image.layers[1].created_by == f"imagescan --add {hello}:/hello"
    assert [(one.name, one.value) for one in report.overrides] == [("add", f"{hello}:/hello")]


def test_the_scan_says_how_to_judge_an_added_program_as_what_starts(layouts: Path, hello: Path) -> None:
    wish = f"{hello}:/usr/bin/hello"
    (remark,) = judged(layouts / "glibc", added=(wish,)).remarks
    assert remark.kind is RemarkKind.ADDED_PROGRAM
    assert "--entrypoint /usr/bin/hello" in remark.message
    report = judged(layouts / "glibc", added=(wish,), entrypoint=("/usr/bin/hello",))
    assert (report.remarks, report.findings) == ((), ())


def test_a_directory_is_put_into_the_directories_that_the_image_has(
    workshop: Workshop, tmp_path: Path
) -> None:
    base = ImageBuilder(workshop.platform).layer({"usr/lib": Directory(), "lib": Symlink("usr/lib")})
    layout = write_layout(tmp_path / "base", {"latest": base})
    local = tmp_path / "local"
    (local / "lib" / "sub").mkdir(parents=True)
    local.chmod(0o700)
    (local / "lib" / "x").write_bytes(b"#!/bin/sh\n")
    (local / "lib" / "x").chmod(0o750)
    (local / "lib" / "link").symlink_to("/etc/passwd")
    os.link(local / "lib" / "x", local / "lib" / "sub" / "same")
    (result,) = scan(f"oci:{layout}", ScanOptions(added=(f"{local}:/",), entrypoint=("/usr/lib/x",)))
    assert [event.action for event in result.history("/usr/lib/x")] == ["added"]
    assert [event.action for event in result.history("/lib")] == ["added"]
    assert result.report.startup_command == ("/usr/lib/x",)
    facts = result._facts  # type: ignore[union-attr]
    entry = facts.filesystem.resolve("/lib/x").entry
    assert entry is not None
    assert (entry.path, entry.mode, entry.uid, entry.gid, entry.layer) == ("/usr/lib/x", 0o750, 0, 0, 1)
    same = facts.filesystem.resolve("/usr/lib/sub/same").entry
    assert same is not None and same.inode == entry.inode
    link = facts.filesystem.resolve("/usr/lib/link", follow=False).entry
    assert link is not None and link.target == "/etc/passwd"


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        ("hello", UsageError, "LOCAL:PATH"),
        (":/hello", UsageError, "LOCAL:PATH"),
        ("hello:usr/bin", UsageError, "LOCAL:PATH"),
        ("/nowhere/hello:/hello", NotFound, "/nowhere/hello"),
        ("/dev/null:/hello", ImageScanError, "neither a regular file"),
        ("/bin:/usr/../x", UsageError, "'..'"),
    ],
)
def test_a_wrong_addition_is_one_line(wish: str, error: type[ImageScanError], words: str) -> None:
    with pytest.raises(error) as caught:
        parse_addition(wish)
    assert words in str(caught.value)


def test_a_colon_in_the_local_name_and_a_slash_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a:b"
    file.write_bytes(b"")
    assert parse_addition(f"{file}:/usr/bin/").place == "usr/bin/a:b"
    assert parse_addition(f"{file}://usr//bin/./x").place == "usr/bin/x"


def test_what_is_added_is_never_taken_from_the_cache_of_something_else(layouts: Path, tmp_path: Path) -> None:
    cache = CacheOptions(tmp_path / "cache")
    file = tmp_path / "start"
    wishes = {"added": (f"{file}:/hello",), "cache": cache}
    file.write_bytes(b"#!/nowhere\n")
    file.chmod(0o755)
    assert rules(judged(layouts / "glibc", **wishes)) == ["start/script-interpreter-missing"]
    file.chmod(0o644)
    assert rules(judged(layouts / "glibc", **wishes)) == ["start/entrypoint-not-executable"]
    file.chmod(0o755)
    assert rules(judged(layouts / "glibc", **wishes)) == ["start/script-interpreter-missing"]
    assert rules(judged(layouts / "glibc", cache=cache)) == ["start/entrypoint-missing"]


def test_another_base_is_put_under_the_image(layouts: Path) -> None:
    musl = f"oci:{layouts / 'musl'}"
    for base in (f"oci:{layouts / 'glibc'}", "1"):
        report = judged(layouts / "app", rebase=musl, base=base)
        (finding,) = report.findings
        assert (finding.rule, finding.object) == ("loader/glibc-program-on-musl", "/hello")
        assert finding.blame[0].created_by == "COPY hello /"
        assert len(report.image.layers) == 2
        assert report.image.digest == ""
        assert report.image.history_aligned
    assert judged(layouts / "app", rebase=f"oci:{layouts / 'glibc'}", base="1").findings == ()


def test_both_together(layouts: Path, hello: Path) -> None:
    report = judged(
        layouts / "app", rebase=f"oci:{layouts / 'musl'}", base="1", added=(f"{hello}:/usr/bin/other",)
    )
    assert [one.created_by for one in report.image.layers][1:] == [
        "COPY hello /",
        f"imagescan --add {hello}:/usr/bin/other",
    ]


@pytest.mark.parametrize(
    ("base", "words"),
    [(None, "does not say what it was built on"), ("3", "has 2 layers"), ("0", "has 2 layers")],
)
def test_an_unknown_or_wrong_base_is_one_line(layouts: Path, base: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        judged(layouts / "app", rebase=f"oci:{layouts / 'musl'}", base=base)


def test_a_base_that_the_image_was_not_built_on_is_refused(layouts: Path) -> None:
    with pytest.raises(UsageError, match="layer 0 is another one"):
        judged(layouts / "app", rebase=f"oci:{layouts / 'glibc'}", base=f"oci:{layouts / 'musl'}")
    with pytest.raises(UsageError, match="--rebase"):
        judged(layouts / "app", base="1")


@pytest.mark.registry
def test_the_image_says_what_it_was_built_on(layouts: Path, tmp_path: Path) -> None:
    require_tool("skopeo")
    with docker_registry() as registry:
        registry.push(layouts / "glibc", "latest", "base:1")
        annotated = _annotated(layouts, tmp_path, f"{registry.host}/base:1")
        report = judged(annotated, rebase=f"oci:{layouts / 'musl'}", insecure=True)
        assert rules(report) == ["loader/glibc-program-on-musl"]
        with pytest.raises(ImageScanError):
            judged(
                _annotated(layouts, tmp_path / "no", f"{registry.host}/other:1"),
                rebase="oci:x",
                insecure=True,
            )


def _annotated(layouts: Path, directory: Path, name: str) -> Path:
    """The layout ``app`` with a manifest that names its base, as BuildKit and crane write it."""
    target = directory / "annotated"
    subprocess.run(["cp", "-r", layouts / "app", directory / "x"], check=False)
    directory.mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", layouts / "app", target], check=True)
    index = json.loads((target / "index.json").read_text())
    blob = target / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    manifest = json.loads(blob.read_text())
    base = json.loads((layouts / "glibc" / "index.json").read_text())["manifests"][0]["digest"]
    manifest["annotations"] = {BASE_NAME: name, BASE_DIGEST: base}
    data = json.dumps(manifest).encode()
    index["manifests"][0] |= {"digest": digest_of(data), "size": len(data)}
    (target / "blobs" / digest_of(data).replace(":", "/")).write_bytes(data)
    (target / "index.json").write_text(json.dumps(index))
    return target


class Streaming(WhatIfSource):
    """A source whose layers come in an order of their own, as an engine's do."""

    random_access = False  # type: ignore[assignment]


def test_layers_of_sources_that_stream_are_put_together_too(layouts: Path, hello: Path) -> None:
    def opened(text: str) -> ImageSource:
        return Streaming(open_source(text, SourceOptions()), WhatIf(), opened)

    wishes = WhatIf((parse_addition(f"{hello}:/x"),), f"oci:{layouts / 'musl'}", "1")
    with WhatIfSource(opened(f"oci:{layouts / 'app'}"), wishes, opened) as source:
        (image,) = source.images(None)
        assert not source.random_access
        layers = index_image(source, image, FileInspector)
        assert [layer.diff_id for layer in layers] == [layer.diff_id for layer in image.layers]
        assert layers[1].entry(ImagePath("hello")) is not None
        assert layers[2].entry(ImagePath("x")) is not None


@pytest.mark.parametrize(
    ("wishes", "words"),
    [({"kernel": "five"}, "uname -r"), ({"page_size": "5k"}, "4k, 16k, 64k"), ({"cpu": "z80"}, "z80")],
)
def test_a_wrong_machine_is_one_line(layouts: Path, wishes: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        judged(layouts / "app", **wishes)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["bullseye", "bookworm"])
@pytest.mark.parametrize("kernel", ["3.1.0", "3.2.0"])
def test_a_kernel_is_too_old_where_the_real_loader_says_so(name: str, kernel: str) -> None:
    emulator = require_tool("qemu-x86_64-static", "qemu-user-static")
    directory = root(name)
    libraries = directory / "lib/x86_64-linux-gnu"
    loader = next(libraries.glob("ld-[2l]*.so*"))
    command = [emulator, "-r", kernel, loader, "--library-path", libraries, directory / "bin/true"]
    real = subprocess.run(command, capture_output=True, text=True)
    options = ScanOptions(platform="linux/amd64", kernel=kernel, entrypoint=("/bin/true",))
    (result,) = scan(f"dir:{directory}", options)
    told = [one for one in result.report.findings if one.tier == "startup"]
    assert [one.runtime_message for one in told] == [line for line in real.stderr.splitlines() if line]
    assert bool(told) == (real.returncode != 0)
    if told:
        assert told[0].rule == "abi/kernel-too-old"


@pytest.mark.oracle
def test_debian_for_arm_starts_with_every_page_size() -> None:
    for size in ("4k", "64k"):
        options = ScanOptions(platform="linux/arm64", page_size=size, entrypoint=("/bin/true",))
        (result,) = scan(f"dir:{root('trixie-arm64')}", options)
        assert "abi/page-size-too-small" not in [one.rule for one in result.report.findings]
