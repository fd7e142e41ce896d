"""Documents about native code in several builds: what comes with imagescan, and a user's own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from imagescan.errors import RuleError
from imagescan.options import ScanOptions
from imagescan.rules.catalogue import builtin_knowledge
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.image import write_layer
from imagescan.rules.examples.notation import BASES, read_image
from imagescan.rules.knowledge import read_knowledge
from imagescan.rules.yaml_reader import read_yaml
from imagescan.scan import scan
from imagescan.variants import read_variant
from samples.oci import File, ImageBuilder, write_layout
from tests.archives.maven import JARS, MUSL_MEMBERS
from tests.archives.zips import zipped

LOADERS = builtin_knowledge().bundles.loaders
OWN = """
kind: native-bundles
words: {plat-7: linux/amd64/glibc, plat-8: linux/arm64}
loaders:
  - {name: our codec, host: java, members: "codec/*/libcodec.so", advice: Ask the team., source: our wiki}
"""


@pytest.mark.parametrize("artifact", [*JARS, *MUSL_MEMBERS])
def test_the_members_of_real_jars_have_a_loader_that_is_known(artifact: str) -> None:
    member = MUSL_MEMBERS.get(artifact, JARS[artifact])
    assert [one.name for one in LOADERS if one.in_archive and one.match(member)]


@pytest.mark.parametrize(
    ("path", "platform"),
    [
        ("/app/node_modules/bcrypt/prebuilds/linux-x64/bcrypt.node", "linux-x64"),
        ("/app/node_modules/@x/y/prebuilds/linux-x64/node.napi.musl.node", "linux-x64"),
        ("/app/node_modules/sqlite3/lib/binding/napi-v6-linux-musl-x64/x.node", "napi-v6-linux-musl-x64"),
        ("/app/node_modules/@esbuild/linux-x64/bin/esbuild", "linux-x64"),
        ("/app/node_modules/@swc/core-linux-x64-gnu/swc.linux-x64-gnu.node", "core-linux-x64-gnu"),
        ("/app/runtimes/linux-musl-arm64/native/libe_sqlite3.so", "linux-musl-arm64"),
    ],
)
def test_layouts_of_real_packages_are_known(path: str, platform: str) -> None:
    found = [match["platform"] for one in LOADERS if not one.in_archive and (match := one.match(path))]
    assert platform in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OWN.replace("members:", "path:"), "{platform} once"),
        (OWN.replace("host: java", "host: cobol"), "no such host"),
        (OWN.replace(", source: our wiki", ""), "is missing"),
        (OWN.replace("linux/amd64/glibc", "a/b/c/d"), "not a platform"),
        (OWN.replace("words:", "wrods:"), "unknown key"),
    ],
)
def test_a_wrong_document_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as caught:
        read_knowledge(text, "own.yaml")
    assert "own.yaml:" in str(caught.value)


def test_a_user_describes_a_loader_and_words_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "rules" / "data").mkdir(parents=True)
    (tmp_path / "rules" / "data" / "own.yaml").write_text(OWN)
    arm = write_elf(ElfStandIn(machine="aarch64", needed=("libc.so.6",)))
    java = ElfStandIn(type="program", interpreter="/lib64/ld-linux-x86-64.so.2", needed=("libc.so.6",))
    base = read_image(read_yaml(BASES["debian"], "base")).layers[-1]
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["java"]}).raw_layer(write_layer(base))
    jar = zipped({"codec/plat-8/libcodec.so": arm})
    image.layer({"usr/bin/java": File(write_elf(java), mode=0o755), "app/c.jar": File(jar)})
    layout = write_layout(tmp_path / "layout", {"latest": image})
    options = ScanOptions(platform="linux/amd64", rules_directories=(tmp_path / "rules",))
    (with_own,) = scan(f"oci:{layout}", options)
    (finding,) = with_own.report.findings
    assert (finding.severity, finding.items) == ("warning", ("linux/arm64 (glibc)",))
    assert "our codec in /app/c.jar" in finding.message
    assert "Ask the team." in finding.fix
    (without,) = scan(f"oci:{layout}", ScanOptions(platform="linux/amd64"))
    assert [one.severity for one in without.report.findings] == ["note"]


def test_letters_that_only_look_like_words_and_long_paths_are_survived() -> None:
    assert not read_variant("/a/o\u017fx/\u212a/x.so").says_something
    started = time.process_time()
    for one in LOADERS:
        one.match("/node_modules/a" * 4000 + "/prebuilds/linux-x64/x.node")
        one.match("/node_modules" * 70 + "/x.node")
    read_variant("a/" * 500)
    assert time.process_time() - started < 10
