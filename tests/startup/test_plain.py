"""Words that start one file and nothing else: the same as following a whole command line."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from io import BytesIO

import pytest

from imagescan.content import FileInspector
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import Credentials
from imagescan.layers.index import index_layer
from imagescan.reference import Platform
from imagescan.scripts import Script
from imagescan.sources.values import ImageConfig, LayerDescriptor
from imagescan.startup import lookup
from imagescan.startup.chain import ScriptChains, startup_chain, surroundings
from imagescan.startup.lookup import Surroundings
from imagescan.startup.plain import plain_starts
from imagescan.startup.tiers import is_executable
from imagescan.startup.wrapper_table import BUSYBOX_WRAPPERS, SUPERVISORS, WRAPPERS
from tests.oracle.roots import root
from tests.startup.images import facts_of

HOST = Platform("linux", "amd64")
SHELLS = ("sh", "bash", "dash", "ash", "busybox", "mksh", "ksh", "zsh", "rbash")
ARGUMENTS = (
    (),
    ("-v",),
    ("-c", "exec /bin/ls"),
    ("--", "/bin/ls", "-l"),
    ("root", "/bin/ls"),
    ("/etc/passwd",),
)


def starts_of(around: Surroundings) -> Mapping[str, tuple[str, ...]]:
    """What is plainly started in a file system."""
    entries = [entry for entry in around.filesystem.contents() if is_executable(entry)]
    chains = ScriptChains(around)
    programs = [
        one
        for one in entries
        if isinstance(one.content, ElfFacts) and one.content.kind in (ElfKind.PROGRAM, ElfKind.STATIC)
    ]
    scripts = [chains.chain(one.path) for one in entries if isinstance(one.content, Script)]
    sound = [one for one in scripts if not any(step.fault for step in one.steps)]
    return plain_starts(programs, sound, around)


def check(around: Surroundings, starts: Mapping[str, tuple[str, ...]]) -> None:
    """Each start is what following the command line gives, whatever words there are."""
    for word, files in starts.items():
        for words in ARGUMENTS:
            chain = startup_chain(ImageConfig(HOST, entrypoint=(word,), cmd=words), around)
            assert chain.paths == files, (word, words)
            assert not chain.open_ends
            assert all(step.fault is None and step.process is None for step in chain.steps)


def image(text: str) -> Surroundings:
    """The surroundings of an image in the notation of rule examples."""
    facts = facts_of(text)
    return surroundings(facts.manifest.config, facts.filesystem, facts.user)


def test_programs_and_scripts_are_started_by_path_and_by_name() -> None:
    around = image("""
        base: debian
        env: [PATH=/opt/bin:/usr/bin:/bin]
        files:
          /app: {static: {}}
          /usr/bin/server: {static: {}}
          /usr/bin/serve: {link: server}
          /usr/bin/python3: {static: {}}
          /usr/bin/tool: {script: "#!/usr/bin/python3\\n"}
          /opt/bin/server: {text: not executable}
          /opt/bin/data: {static: {}, mode: 0644}
    """)
    starts = starts_of(around)
    check(around, starts)
    tool = ("/usr/bin/tool", "/usr/bin/python3")
    assert {word: starts.get(word) for word in ("/app", "server", "serve", "tool", "/usr/bin/tool")} == {
        "/app": ("/app",),
        "server": ("/usr/bin/server",),
        "serve": ("/usr/bin/server",),
        "tool": tool,
        "/usr/bin/tool": tool,
    }
    assert not {"app", "data", "/opt/bin/data"} & starts.keys()


def test_the_first_executable_in_path_is_started_and_not_a_better_one_behind_it() -> None:
    around = image("""
        base: debian
        env: [PATH=/a:/b]
        files:
          /a/tool: {text: neither program nor script, mode: 0755}
          /b/tool: {static: {}}
    """)
    starts = starts_of(around)
    check(around, starts)
    assert "/b/tool" in starts
    assert "tool" not in starts


@pytest.mark.parametrize("name", [*WRAPPERS, *BUSYBOX_WRAPPERS, *SUPERVISORS, *SHELLS, "su", "runuser"])
def test_what_starts_others_is_not_plain_under_any_name(name: str) -> None:
    around = image(f"""
        base: debian
        files:
          /usr/bin/{name}: {{static: {{}}}}
          /usr/bin/by-link: {{link: {name}}}
          /usr/bin/other: {{static: {{}}}}
          /usr/local/bin/{name}: {{link: /usr/bin/other}}
          /usr/bin/script: {{script: "#!/usr/bin/{name}\\n"}}
    """)
    starts = starts_of(around)
    check(around, starts)
    assert not {f"/usr/bin/{name}", "script", "/usr/bin/script"} & starts.keys()
    assert (name in starts) is (name in SHELLS)  # a shell is one by its file, all others by their name
    assert starts["other"] == ("/usr/bin/other",)


def test_what_the_user_may_not_execute_or_read_is_not_started() -> None:
    around = image("""
        base: debian
        user: "1000"
        files:
          /usr/bin/mine: {static: {}}
          /usr/bin/python3: {static: {}}
          /usr/bin/roots: {static: {}, mode: 0700}
          /usr/bin/secret: {script: "#!/usr/bin/python3\\n", mode: 0711}
    """)
    starts = starts_of(around)
    check(around, starts)
    assert "mine" in starts
    assert not {"roots", "/usr/bin/roots", "secret", "/usr/bin/secret"} & starts.keys()


@pytest.mark.parametrize("path", [".:/usr/bin", ":/usr/bin", "bin:/usr/bin", "/usr/bin:"])
def test_names_are_not_known_where_a_directory_of_path_is_relative(path: str) -> None:
    around = image(f"{{base: debian, env: ['PATH={path}'], files: {{/usr/bin/server: {{static: {{}}}}}}}}")
    starts = starts_of(around)
    check(around, starts)
    assert "/usr/bin/server" in starts
    assert "server" not in starts


def test_names_are_not_looked_up_at_once_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    around = image("{base: debian, files: {/usr/bin/server: {static: {}}}}")
    assert "server" in starts_of(around)
    monkeypatch.setattr(lookup, "MAXIMUM_NAMES", 3)
    assert "server" not in starts_of(around)
    assert "/usr/bin/server" in starts_of(around)


@pytest.mark.oracle
@pytest.mark.parametrize("user", [0, 1000])
def test_every_start_in_a_real_root_file_system(user: int) -> None:
    tar = subprocess.run(["tar", "-C", root("bookworm"), "-cf", "-", "."], stdout=subprocess.PIPE, check=True)
    layer = LayerDescriptor(0, None, len(tar.stdout), "application/vnd.oci.image.layer.v1.tar", None)
    filesystem = merge([index_layer(BytesIO(tar.stdout), layer, FileInspector())])
    around = Surroundings(filesystem, Credentials(user, (user,)), "/", lookup.DEFAULT_PATH, {})
    starts = starts_of(around)
    assert len(starts) > 300
    check(around, starts)
