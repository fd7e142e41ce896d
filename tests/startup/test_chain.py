"""From the image's config to the programs that start."""

from __future__ import annotations

import pytest

from imagescan.layers.values import ImagePath
from imagescan.startup.chain import script_chain, surroundings
from imagescan.startup.shells import ShellKind, read_call
from imagescan.startup.values import FaultCode, StepRole
from tests.startup.images import facts_of


def test_neither_entrypoint_nor_cmd_is_a_note() -> None:
    chain = facts_of("base: debian").startup
    assert (chain.steps, chain.failing) == ((), None)
    assert "neither ENTRYPOINT nor CMD" in chain.note


def test_cmd_follows_entrypoint_and_path_is_searched_in_order() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [tool]
        cmd: [--serve]
        env: [PATH=/a:/b:/c]
        files:
          /a/tool: {text: not executable}
          /b/tool: {directory: true}
          /c/tool: {static: {}}
    """)
    assert facts.startup.arguments == ("tool", "--serve")
    assert facts.startup.paths == ("/c/tool",)
    assert [line.outcome for line in facts.startup.steps[0].tried] == [
        "permission denied",
        "is a directory",
        "found",
    ]


def test_the_last_of_two_equal_variables_counts() -> None:
    facts = facts_of("{base: debian, entrypoint: [sh], env: [PATH=/none, PATH=/bin]}")
    assert facts.startup.paths == ("/usr/bin/dash",)


def test_an_unset_path_is_the_runtimes_default() -> None:
    assert facts_of("{base: debian, entrypoint: [sh]}").startup.paths == ("/usr/bin/dash",)


def test_an_empty_path_finds_nothing() -> None:
    facts = facts_of("{base: debian, entrypoint: [sh], env: [PATH=]}")
    assert facts.startup.failing is not None


def test_a_program_found_relative_to_the_current_directory_is_refused_as_go_does() -> None:
    facts = facts_of("{base: debian, working_dir: /usr/bin, entrypoint: [sh], env: ['PATH=:/nowhere']}")
    step = facts.startup.failing
    assert step is not None and step.fault is not None and step.fault.code is FaultCode.RELATIVE_PATH


def test_a_relative_path_starts_at_the_working_directory() -> None:
    facts = facts_of("""
        working_dir: /srv/app
        entrypoint: [./run]
        files: {/srv/app/run: {static: {}}}
    """)
    assert facts.startup.paths == ("/srv/app/run",)


def test_a_script_brings_its_interpreter_and_what_env_starts() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        files: {/start: {script: "#!/usr/bin/env -S sh -e\\n"}}
    """)
    assert facts.startup.paths == ("/start", "/usr/bin/env", "/usr/bin/dash")
    assert [step.role for step in facts.startup.steps] == [
        StepRole.PROGRAM,
        StepRole.INTERPRETER,
        StepRole.ENV_PROGRAM,
    ]


def test_an_entrypoint_script_that_executes_its_arguments_starts_cmd() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        cmd: [server, --port, "80"]
        files:
          /start: {script: "#!/bin/sh\\nset -e\\nexec \\"$@\\"\\n"}
          /usr/local/bin/server: {static: {}}
    """)
    assert facts.startup.paths[-1] == "/usr/local/bin/server"
    assert facts.startup.steps[-1].certain


def test_an_init_starts_what_follows() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/tini, -g, --, /start]
        cmd: [/server]
        files:
          /tini: {static: {}}
          /start: {script: "#!/bin/sh\\nexec \\"$@\\"\\n"}
          /server: {static: {}}
    """)
    assert facts.startup.paths == ("/tini", "/start", "/usr/bin/dash", "/server")


def test_what_a_script_starts_for_sure_fails_when_it_is_absent() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        cmd: [absent]
        files: {/start: {script: "#!/bin/sh\\nexec \\"$@\\"\\n"}}
    """)
    step = facts.startup.failing
    assert step is not None and step.fault is not None and step.certain
    assert step.fault.message == "/start: 2: exec: absent: not found"


def test_what_a_script_may_have_brought_is_no_fault_when_it_is_absent() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        cmd: [absent]
        files: {/start: {script: "#!/bin/sh\\nfetch-tools\\nexec \\"$@\\"\\n"}}
    """)
    assert facts.startup.failing is None


def test_scripts_started_by_env_for_ever_end() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        env: [PATH=/]
        files: {/start: {script: "#!/usr/bin/env start\\n"}}
    """)
    assert len(facts.startup.steps) < 100


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("/bin/sh", "-c", "exec app"), "exec app"),
        (("/bin/bash", "-o", "pipefail", "-ec", "app"), "app"),
        (("/bin/sh", "-ec", "app", "zero", "one"), "app"),
        (("sh", "script"), None),
    ],
)
def test_the_shell_form_is_recognised(arguments: tuple[str, ...], line: str | None) -> None:
    call = read_call(ShellKind.DASH, arguments)
    assert call is not None and call.line == line


@pytest.mark.parametrize("arguments", [("sh", "-c"), ("sh",), ("sh", "-s", "x")])
def test_a_shell_that_reads_its_input_starts_nothing_known(arguments: tuple[str, ...]) -> None:
    assert read_call(ShellKind.DASH, arguments) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "/usr/bin/env: 'absent': No such file or directory"),
        ("/opt/absent", "/usr/bin/env: '/opt/absent': No such file or directory"),
        ("/plain", "/usr/bin/env: '/plain': Permission denied"),
        ("/bin", "/usr/bin/env: '/bin': Permission denied"),
    ],
)
def test_env_says_why_it_cannot_start_its_program(name: str, message: str) -> None:
    facts = facts_of(f"""
        base: debian
        entrypoint: [/start]
        files:
          /start: {{script: "#!/usr/bin/env {name}\\n"}}
          /plain: {{text: x}}
    """)
    step = facts.startup.failing
    assert step is not None and step.fault is not None
    assert (step.role, step.fault.message) == (StepRole.ENV_PROGRAM, message)


@pytest.mark.parametrize(
    ("script", "open_end"),
    [
        ("exec s6-svscan /run/service", "s6-svscan starts the services of its scan directory"),
        ("exec $SERVER", "/start: what line 2 starts is only known at run time"),
        ('exec "$(cat /etc/command)"', "/start: what line 2 starts is only known at run time"),
        ("exec tini -Q server", "/usr/bin/tini: tini has the option -Q, which is not known"),
        ("if true; then", "/start: the script cannot be followed"),
        ("exec chroot /other server", "/usr/bin/chroot: chroot starts server in another root"),
    ],
)
def test_where_it_cannot_be_known_what_is_started_the_chain_says_so(script: str, open_end: str) -> None:
    facts = facts_of(
        f"""
        base: debian
        entrypoint: [/start]
        files:
          /start: {{script: '#!/bin/sh\\n{script}\\n'}}
          /usr/bin/s6-svscan: {{static: {{}}}}
          /usr/bin/tini: {{static: {{}}}}
          /usr/bin/chroot: {{static: {{}}}}
    """.replace("'#!", '"#!')
        .replace("\\n'}", '\\n"}')
        .replace('"$(cat', '\\"$(cat')
        .replace('command)"', 'command)\\"')
    )
    assert facts.startup.failing is None
    assert [end for end in facts.startup.open_ends if end.startswith(open_end)]


@pytest.mark.parametrize("user", ["0", "1000"])
def test_the_chain_of_each_script_is_that_of_the_script_alone(user: str) -> None:
    first_lines = (
        "/bin/sh",
        "/bin/sh -e",
        "/bin/sh",
        "/usr/bin/env sh",
        "/usr/bin/env sh",
        "/usr/bin/env",
        "/usr/bin/env -S sh -e",
        "/usr/bin/env A=b",
        "/usr/bin/env env",
        "/usr/bin/env nothing",
        "/usr/bin/env nothing",
        "/none",
        "/none",
        "/srv/a",
        "/srv/a",
        "",
    )
    files = {f"/srv/{chr(97 + at)}": line for at, line in enumerate(first_lines)}
    files |= {f"/closed/{chr(97 + at)}": line for at, line in enumerate(first_lines)}
    entries = "\n".join(
        f"          {path}: {{text: '#!{line}', mode: {'0711' if path < '/srv/d' else '0755'}}}"
        for path, line in files.items()
    )
    facts = facts_of(f"""
        base: debian
        entrypoint: [sh]
        user: '{user}'
        files:
          /closed: {{directory: true, mode: 0700}}
          /usr/bin/env: {{static: {{}}}}
{entries}
    """)
    around = surroundings(facts.manifest.config, facts.filesystem, facts.user)
    chains = {script.path: script.chain for script in facts.scripts if script.path in files}
    assert len(chains) == len(files)
    assert chains == {path: script_chain(ImagePath(path), around) for path in chains}
