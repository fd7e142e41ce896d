"""The runtime messages of findings against the real loaders: each broken program is run in a chroot."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.rules.judge import judge
from tests.requirements import require_root, require_tool
from tests.startup.trees import unpack

pytestmark = pytest.mark.oracle

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
GLIBC = {
    "/lib": ExampleFile(link="usr/lib"),
    "/lib64": ExampleFile(link="usr/lib64"),
    **{
        path: ExampleFile(is_directory=True, mode=0o755)
        for path in ("/usr", "/usr/lib", "/usr/lib64", LIBRARIES)
    },
    "/opt": ExampleFile(is_directory=True, mode=0o755),
}
MUSL = {"/lib": ExampleFile(is_directory=True, mode=0o755)}

MAIN = "int f(void); int main(void) { return f(); }"
BOTH = "int f(void); int g(void); int main(void) { return f() + g(); }"


@dataclass(frozen=True)
class Case:
    """One program: how it is linked, and what the image has where its library should be."""

    rule: str
    main: str = MAIN
    link: tuple[str, ...] = ("-Wl,-z,now",)
    place: str | None = LIBRARIES + "/libx.so.1"
    content: bytes | None = None
    built: str = "int f(void) { return 0; }"
    shipped: str = "int f(void) { return 0; }"
    versions: tuple[str, str] | None = None
    env: tuple[str, ...] = ()


CASES = {
    "absent": Case("loader/library-missing", place=None),
    "off the search path": Case("loader/library-off-search-path", place="/opt/libx.so.1"),
    "empty": Case("loader/library-unusable", content=b""),
    "text": Case("loader/library-unusable", content=b"GROUP ( libx.so.2 ) " * 10),
    "older version": Case(
        "abi/version-missing", versions=("X_1 { }; X_2 { global: f; };", "X_1 { global: f; };")
    ),
    "symbol": Case("abi/symbol-missing", BOTH, built="int f(void) {return 0;} int g(void) {return 0;}"),
    "symbol of a version": Case(
        "abi/symbol-missing",
        BOTH,
        built="int f(void) {return 0;} int g(void) {return 0;}",
        versions=("X_1 { global: f; g; };", "X_1 { global: f; };"),
    ),
    "symbol when called": Case(
        "abi/symbol-missing-when-called",
        BOTH,
        link=("-Wl,-z,lazy",),
        built="int f(void) {return 0;} int g(void) {return 0;}",
    ),
    "preload": Case("loader/preload-broken", env=("LD_PRELOAD=/opt/none.so",)),
}


def compile_library(compiler: str, source: str, script: str, output: Path) -> bytes:
    options = ["-shared", "-fPIC", "-Wl,-soname,libx.so.1"]
    if script:
        map_file = output.with_suffix(".map")
        map_file.write_text(script)
        options.append(f"-Wl,--version-script={map_file}")
    file = output.with_suffix(".c")
    file.write_text(source)
    subprocess.run([compiler, *options, "-o", str(output), str(file)], check=True)
    return output.read_bytes()


def build(compiler: str, case: Case, folder: Path) -> dict[str, ExampleFile]:
    """The program, and its library as the image has it."""
    built, shipped = case.versions or ("", "")
    library = folder / "libx.so"
    compile_library(compiler, case.built, built, library)
    source = folder / "main.c"
    source.write_text(case.main)
    command = [
        compiler,
        *case.link,
        "-Wl,--no-as-needed",
        "-o",
        str(folder / "app"),
        str(source),
        str(library),
    ]
    subprocess.run(command, check=True)
    files = {"/app": ExampleFile((folder / "app").read_bytes(), mode=0o755)}
    if case.place is not None:
        content = case.content
        if content is None:
            content = compile_library(compiler, case.shipped, shipped, folder / "shipped.so")
        files[case.place] = ExampleFile(content, mode=0o755)
    return files


def compare(files: dict[str, ExampleFile], case: Case, folder: Path) -> None:
    """Our message must be a line of what the real loader writes."""
    root = folder / "root"
    root.mkdir()
    unpack(files, root)
    environment = dict(line.split("=", 1) for line in case.env)
    done = subprocess.run(
        ["/app"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.chroot(root),
    )
    image = ExampleImage((ExampleLayer(files),), entrypoint=("/app",), env=case.env)
    findings = judge(example_facts(image), builtin_rules())
    assert [finding.rule for finding in findings] == [case.rule]
    assert findings[0].runtime_message in [line.strip() for line in done.stderr.splitlines()]


@pytest.mark.parametrize("name", CASES)
def test_glibc_says_the_same(name: str, tmp_path: Path) -> None:
    require_root()
    require_tool("gcc")
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    libc = Path("/lib/x86_64-linux-gnu/libc.so.6")
    files = GLIBC | {
        "/usr/lib64/ld-linux-x86-64.so.2": ExampleFile(loader.read_bytes(), mode=0o755),
        f"{LIBRARIES}/libc.so.6": ExampleFile(libc.read_bytes(), mode=0o755),
    }
    compare(files | build("gcc", CASES[name], tmp_path), CASES[name], tmp_path)


@pytest.mark.parametrize("name", ["absent", "off the search path", "symbol"])
def test_musl_says_the_same(name: str, tmp_path: Path) -> None:
    require_root()
    require_tool("musl-gcc", "musl-tools")
    case = CASES[name]
    files = MUSL | {
        "/opt": ExampleFile(is_directory=True, mode=0o755),
        "/lib/ld-musl-x86_64.so.1": ExampleFile(Path("/lib/ld-musl-x86_64.so.1").read_bytes(), mode=0o755),
    }
    built = build("musl-gcc", case, tmp_path)
    renamed = {path.replace(LIBRARIES, "/lib"): file for path, file in built.items()}
    compare(files | renamed, case, tmp_path)
