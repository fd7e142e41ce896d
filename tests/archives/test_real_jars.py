"""Real JARs from Maven Central, judged beside what the real loaders do with what is in them.

Both roots are this machine's: its glibc, and its musl, with a program called ``java`` that opens
libraries as Java does. What is scanned and what is run is the same.
"""

from __future__ import annotations

import subprocess
import zipfile
from functools import cache
from pathlib import Path

import pytest

from imagescan.findings import Finding
from imagescan.options import ScanOptions
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.notation import GLIBC_MARKS
from imagescan.scan import scan
from samples.oci import File, ImageBuilder, write_layout
from samples.workshop import Workshop
from tests.archives.maven import JARS, MUSL_MEMBERS, jar
from tests.archives.zips import read
from tests.requirements import require, require_tool

pytestmark = [pytest.mark.oracle, pytest.mark.download]

SOURCE = Path(__file__).with_name("opener.c")
GLIBC_LIBRARIES = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    found = Workshop(tmp_path_factory.mktemp("workshop"))
    require(found.machine == "x86_64", "the JARs are asked for what x86-64 takes")
    return found


def compiled(compiler: str, directory: Path) -> Path:
    program = directory / compiler
    subprocess.run([compiler, "-rdynamic", "-o", program, SOURCE, "-ldl"], check=True)
    return program


def says(program: Path, artifact: str, member: str, directory: Path) -> str:
    """What the real loader says of one member, extracted as Java does; "" when it loads."""
    place = directory / member.rpartition("/")[2]
    with zipfile.ZipFile(jar(artifact)) as archive:
        place.write_bytes(archive.read(member))
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([program, place], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip().replace(f"{place}: ", "").replace(str(place), member)


def findings(image: ImageBuilder, artifact: str, directory: Path) -> list[Finding]:
    """What is found in an image that has the JAR, of the JAR alone."""
    image.layer({"app/x.jar": File(jar(artifact).read_bytes())}, created_by="COPY x.jar /app")
    layout = write_layout(directory / "layout", {"latest": image})
    (result,) = scan(f"oci:{layout}", ScanOptions(platform=image.platform))
    assert result.report.incomplete == ()
    return [one for one in result.report.findings if one.object.startswith("/app/x.jar!/")]


@cache
def machine_library(name: str) -> bytes:
    return Path("/lib/x86_64-linux-gnu", name).read_bytes()


@pytest.mark.parametrize("artifact", JARS)
def test_every_native_member_of_a_real_jar_is_found(artifact: str) -> None:
    found = read(jar(artifact).read_bytes())
    assert found is not None
    assert found.unread == ()
    with zipfile.ZipFile(jar(artifact)) as archive:
        names = {
            one.filename: one.file_size
            for one in archive.infolist()
            if one.filename.endswith((".so", ".dll", ".dylib", ".jnilib"))
        }
    assert {one.path: one.size for one in found.binaries} == names


@pytest.mark.parametrize("artifact", JARS)
def test_what_musl_does_with_a_jar_is_what_is_said(artifact: str, workshop: Workshop, tmp_path: Path) -> None:
    require_tool("musl-gcc", "musl-tools")
    program = compiled("musl-gcc", tmp_path)
    member = MUSL_MEMBERS.get(artifact, JARS[artifact])
    real = says(program, artifact, member, tmp_path)
    base = workshop.musl_base()
    image = ImageBuilder(workshop.platform, {"Entrypoint": ["/usr/bin/java"]})
    image.layer({**base.entries, "usr/bin/java": File(program, mode=0o755)})
    told = findings(image, artifact, tmp_path)
    assert bool(told) == bool(real) or _falls_back(artifact), real
    for one in told:
        assert one.object == f"/app/x.jar!/{member}"
        if one.runtime_message:
            assert real.split(" (")[0] in one.runtime_message.replace("/app/x.jar!/", "")


def _falls_back(artifact: str) -> bool:
    """Where the program goes on without, only a note is given, or nothing."""
    return artifact.startswith(("io.netty:", "org.lz4:", "org.fusesource.jansi:", "org.jline:"))


@pytest.mark.parametrize("artifact", JARS)
def test_what_glibc_does_with_a_jar_is_what_is_said(
    artifact: str, workshop: Workshop, tmp_path: Path
) -> None:
    program = compiled(str(require_tool("gcc")).rpartition("/")[2], tmp_path)
    real = says(program, artifact, JARS[artifact], tmp_path)
    base = workshop.glibc_base()
    where = base.library_directory
    libraries = {f"{where}/{name}": File(machine_library(name), mode=0o755) for name in GLIBC_LIBRARIES}
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        libraries[f"{where}/{name}"] = File(machine_library(name), mode=0o755)
    image = ImageBuilder(workshop.platform, {"Entrypoint": ["/usr/bin/java"]})
    image.layer({**base.entries, **libraries, "usr/bin/java": File(program, mode=0o755)})
    assert real == ""
    assert findings(image, artifact, tmp_path) == []


def test_an_image_for_another_architecture_is_told_which_builds_there_are(
    workshop: Workshop, tmp_path: Path
) -> None:
    # Conscrypt has no build for 64-bit ARM, JNA has.
    target = workshop.other_target
    java = workshop.program("hello.c", target)
    loader = "lib/ld-linux-aarch64.so.1"
    libc = workshop.library("greet.c", target, "libc.so.6")
    marks = GLIBC_MARKS.replace(b"x86_64-linux-gnu", b"aarch64-linux-gnu")
    stand_in = write_elf(ElfStandIn(machine="aarch64", soname="ld-linux-aarch64.so.1", marks=marks))
    for artifact, count in (
        ("org.conscrypt:conscrypt-openjdk-uber:2.5.2", 1),
        ("net.java.dev.jna:jna:5.14.0", 0),
    ):
        image = ImageBuilder("linux/arm64", {"Entrypoint": ["/usr/bin/java"]})
        image.layer(
            {
                loader: File(stand_in, mode=0o755),
                "usr/bin/java": java,
                "lib/aarch64-linux-gnu/libc.so.6": File(libc),
            }
        )
        found = findings(image, artifact, tmp_path / str(count))
        told = [one for one in found if one.rule == "bundle/no-usable-variant"]
        assert len(told) == count
        for one in told:
            assert "linux/amd64 (glibc)" in one.items
