"""The data that advice is made of: read strictly, extended by users, and true of real Debian."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from imagescan.errors import ImageScanError, RuleError
from imagescan.packages.dpkg import read_status
from imagescan.packages.ownership import read_ownership
from imagescan.rules.catalogue import (
    MAXIMUM_TABLE,
    builtin_knowledge,
    builtin_rules,
    load_knowledge,
    read_folder,
)
from imagescan.rules.judge import judge
from imagescan.rules.knowledge import is_older, read_knowledge, read_table
from imagescan.rules.yaml_reader import read_yaml
from scripts.debian_libraries import agreed, read_contents, write
from tests.oracle.roots import root
from tests.packages.scene import filesystem
from tests.startup.images import facts_of

DATA = Path(__file__).parents[2] / "rules" / "data"
KNOWN = builtin_knowledge()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("components: []", "the key 'kind' is missing"),
        ("{kind: recipes, recipes: []}", "unknown kind 'recipes'"),
        ("{kind: releases, components: [], more: 1}", "unknown key 'more'"),
        ("{kind: releases}", "the key 'components' is missing"),
        ("{kind: injected-libraries, runtimes: [{name: x, libraries: [1]}]}", "expected text"),
        (
            "{kind: releases, components: [{name: a, distributions: [{name: b, id: b, releases: {}}]}]}",
            "the key 'source' is missing",
        ),
        (
            "{kind: releases, components: [{name: a, distributions:"
            ' [{name: b, id: b, source: s, releases: {"2": "1", "1": "2"}}]}]}',
            "not in order",
        ),
    ],
)
def test_a_wrong_document_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(RuleError) as caught:
        read_knowledge(text, "data/x.yaml")
    assert problem in str(caught.value)
    assert "data/x.yaml:1" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [(["a libx.so"], "must come first"), (["architectures amd64", "a"], "a package without libraries")],
)
def test_a_wrong_table_is_refused_with_its_line(lines: list[str], problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        read_table(lines, "data/debian/12.libraries")


def test_a_table_holds_only_for_the_machines_that_it_was_made_for() -> None:
    assert KNOWN.library_packages("debian", "12", "amd64")["libpq.so.5"] == ("libpq5",)
    assert KNOWN.library_packages("debian", "12", "arm64")["libpq.so.5"] == ("libpq5",)
    assert KNOWN.library_packages("debian", "12", "386") == {}
    assert KNOWN.library_packages("../debian", "12", "amd64") == {}


def test_tables_are_small() -> None:
    assert all(file.stat().st_size < 400_000 for file in DATA.glob("*/*.libraries"))


def test_every_datum_has_its_source() -> None:
    for file in DATA.glob("*.yaml"):
        text = file.read_text()
        assert text.count("source: https://") >= text.count("- name: ") - len(KNOWN.components), file.name
        read_yaml(text, file.name)


def test_the_folder_data_holds_no_rules(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.yaml").write_text("{kind: injected-libraries, runtimes: []}")
    assert read_folder(tmp_path) == ()


def test_a_user_adds_what_his_runtime_injects(tmp_path: Path) -> None:
    (tmp_path / "data" / "ubuntu").mkdir(parents=True)
    (tmp_path / "data" / "ours.yaml").write_text(
        "{kind: injected-libraries, runtimes: [{name: our daemon, libraries: [liblicence.so.*]}]}"
    )
    (tmp_path / "data" / "ubuntu" / "24.04.libraries").write_text("architectures amd64\nlibpq5 libpq.so.5\n")
    knowledge = load_knowledge([tmp_path])
    assert knowledge.injected_by("libcuda.so.1") == "the NVIDIA container runtime"
    text = """
        base: debian
        entrypoint: [/app]
        files:
          /etc/os-release: {text: "ID=ubuntu\\nID_LIKE=debian\\nVERSION_ID=24.04\\n"}
          /app:
            program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [liblicence.so.3, libpq.so.5]}
    """
    missing, injected = judge(facts_of(text), builtin_rules(), knowledge)
    assert injected.condition == "unless injected by our daemon"
    assert "apt-get install -y --no-install-recommends libpq5" in missing.fix


def test_t119_a_driver_library_that_the_container_runtime_injects_is_a_note_and_no_error() -> None:
    text = """
        base: debian
        entrypoint: [/app]
        files:
          /app: {program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [libcuda.so.1, libc.so.6]}}
    """
    (finding,) = judge(facts_of(text), builtin_rules(), builtin_knowledge())
    assert (finding.rule, finding.severity.value) == ("loader/library-injected", "note")
    assert finding.condition == "unless injected by the NVIDIA container runtime"


@pytest.mark.parametrize(
    ("library", "runtime"),
    [
        ("libcuda.so.1", "the NVIDIA container runtime"),
        ("libnvidia-ptxjitcompiler.so.1", "the NVIDIA container runtime"),
        ("libEGL_nvidia.so.0", "the NVIDIA container runtime"),
        ("libnvcuvid.so.1", "the NVIDIA container runtime"),
        ("libnvidia-egl-gbm.so.1", "the NVIDIA container runtime"),
        ("libdxcore.so", "the NVIDIA container runtime on WSL 2"),
        ("libnvrm_gpu.so", "the NVIDIA container runtime on Jetson boards"),
        ("libascend_hal.so", "the Ascend Docker runtime"),
        # What the image itself must have: CUDA's own libraries, the dispatchers, other vendors' drivers.
        ("libcudart.so.12", ""),
        ("libcublas.so.12", ""),
        ("libcudnn.so.9", ""),
        ("libnccl.so.2", ""),
        ("libGL.so.1", ""),
        ("libEGL.so.1", ""),
        ("libOpenCL.so.2", ""),
        ("libamdhip64.so.6", ""),
        ("libze_loader.so.1", ""),
        ("libmali.so.1", ""),
    ],
)
def test_what_runtimes_inject_and_what_they_do_not(library: str, runtime: str) -> None:
    assert builtin_knowledge().injected_by(library) == runtime


def test_a_users_broken_data_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.yaml").write_text("kind: [")
    with pytest.raises(ImageScanError, match=r"data/x\.yaml"):
        load_knowledge([tmp_path])


def test_a_table_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "debian").mkdir(parents=True)
    (tmp_path / "data" / "debian" / "99.libraries").write_bytes(b"#" * (MAXIMUM_TABLE + 1))
    with pytest.raises(RuleError, match="larger than"):
        load_knowledge([tmp_path]).library_packages("debian", "99", "amd64")


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [("9", "10", True), ("9.4", "9", False), ("9.0", "9", False), ("22.04", "22.10", True), ("", "8", True)],
)
def test_releases_are_compared_number_by_number(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) is older


CONTENTS = """\
usr/lib/x86_64-linux-gnu/libpq.so                       libdevel/libpq-dev
usr/lib/x86_64-linux-gnu/libpq.so.5                     libs/libpq5
usr/lib/x86_64-linux-gnu/libpq.so.5.15                  libs/libpq5
lib/x86_64-linux-gnu/libz.so.1                          libs/zlib1g
lib/x86_64-linux-gnu/libz.so.1.2.13                     libs/zlib1g
usr/lib/x86_64-linux-gnu/postgresql/libprivate.so.1     libs/libpq5
usr/lib/x86_64-linux-gnu/libtwo.so.1                    libs/libtwo1,non-free/libs/libtwo1-alternative
usr/lib/x86_64-linux-gnu/libbare.so                     libs/bare
usr/share/doc/libpq5/libdoc.so.1                        libs/libpq5
"""


def test_the_script_keeps_the_names_that_programs_ask_for() -> None:
    assert read_contents(CONTENTS.splitlines(keepends=True)) == {
        "libpq.so.5": {"libpq5"},
        "libpq.so.5.15": {"libpq5"},
        "libz.so.1": {"zlib1g"},
        "libtwo.so.1": {"libtwo1", "libtwo1-alternative"},
        "libbare.so": {"bare"},
    }


def test_the_script_keeps_what_all_architectures_agree_on_and_the_reader_reads_it() -> None:
    first = read_contents(CONTENTS.splitlines(keepends=True))
    second = {**first, "libz.so.1": frozenset({"zlib1g-other"})}
    table = read_table(write(agreed([first, second]), "12", "bookworm").splitlines(), "12.libraries")
    assert table.architectures == ("amd64", "arm64")
    assert table.packages["libpq.so.5"] == ("libpq5",)
    assert table.packages["libtwo.so.1"] == ("libtwo1", "libtwo1-alternative")
    assert "libz.so.1" not in table.packages


def soname(file: Path) -> str:
    with file.open("rb") as stream:
        dynamic = ELFFile(stream).get_section_by_name(".dynamic")
        return next((tag.soname for tag in dynamic.iter_tags("DT_SONAME")), "") if dynamic else ""


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "version"), [("bookworm-large", "12"), ("trixie", "13")])
def test_the_table_agrees_with_what_is_installed_on_a_real_debian(name: str, version: str) -> None:
    directory = root(name)
    lists = (directory / "var/lib/dpkg").glob("info/*.list")
    kept = [directory / "var/lib/dpkg/status", *lists]
    database = {f"/{file.relative_to(directory)}": file.read_bytes() for file in kept}
    ownership = read_ownership(filesystem({**database, "/lib": "usr/lib"}))
    table = KNOWN.library_packages("debian", version, "amd64")
    libraries = directory / "usr/lib/x86_64-linux-gnu"
    known, unknown = set(), set()
    for file in libraries.glob("lib*.so.*"):
        owner = ownership.owner(f"/{file.relative_to(directory)}")
        if owner is not None and file.exists() and soname(file) == file.name:
            assert owner.name in table.get(file.name, (owner.name,)), file.name
            (known if file.name in table else unknown).add(file.name)
    assert len(known) > 50
    # Names that only one architecture has, such as libunwind-x86_64.so.8, are left out.
    assert len(unknown) < len(known) / 50, unknown


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "version"), [("bullseye", "11"), ("bookworm", "12"), ("trixie", "13")])
def test_the_releases_of_debian_are_those_of_a_real_debian(name: str, version: str) -> None:
    status = (root(name) / "var/lib/dpkg/status").read_bytes()
    installed = {package.source: package.version for package in read_status(status)}
    compiler = next(one for one in installed if one.startswith("gcc-"))
    for component, source in (("glibc", "glibc"), ("libstdc++ and libgcc of GCC", compiler)):
        (known,) = (one for one in KNOWN.components if one.name == component)
        (debian,) = (one for one in known.distributions if "debian" in one.identifiers)
        release = dict(debian.releases)[version]
        assert re.match(rf"{re.escape(release)}(?!\d)", installed[source]), (component, installed[source])
