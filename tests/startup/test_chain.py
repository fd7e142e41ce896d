"""From the image's config to the programs that start."""

from __future__ import annotations

import pytest

from imagescan.startup.shell_form import FirstCommand, command_line, first_command, hands_over_arguments
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
    assert not facts.startup.steps[-1].certain


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


def test_what_a_script_may_start_is_no_fault_when_absent() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        cmd: [absent]
        files: {/start: {script: "#!/bin/sh\\nexec \\"$@\\"\\n"}}
    """)
    assert facts.startup.failing is None


def test_scripts_started_by_env_for_ever_end() -> None:
    facts = facts_of("""
        base: debian
        entrypoint: [/start]
        env: [PATH=/]
        files: {/start: {script: "#!/usr/bin/env start\\n"}}
    """)
    assert len(facts.startup.steps) < 40


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("/bin/sh", "-c", "exec app"), "exec app"),
        (("/bin/bash", "-o", "pipefail", "-ec", "app"), "app"),
        (("sh", "script"), None),
        (("sh", "-c"), None),
        (("/app", "-c", "x"), None),
        ((), None),
    ],
)
def test_the_shell_form_is_recognised(arguments: tuple[str, ...], line: str | None) -> None:
    assert command_line(arguments) == line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nginx -g 'daemon off;'", FirstCommand("nginx", certain=False)),
        ("exec gunicorn app:app", FirstCommand("gunicorn", certain=True)),
        ("A=1 B=2 ./run --x $PORT", FirstCommand("./run", certain=True)),
        ("curl -f http://localhost/ || exit 1", FirstCommand("curl", certain=True)),
        ("curl -f http://localhost/ || true", FirstCommand("curl", certain=False)),
        ("cd /app && run", None),
        ("$APP --serve", None),
        ('"my app"', None),
        ("PATH=/x app", None),
        ("if true; then app; fi", None),
        ("", None),
    ],
)
def test_the_first_word_is_read_only_where_it_is_plain(line: str, expected: FirstCommand | None) -> None:
    assert first_command(line) == expected


def test_only_exec_with_all_arguments_hands_over() -> None:
    assert hands_over_arguments('#!/bin/sh\n  exec "$@"  # go\n')
    assert not hands_over_arguments('#!/bin/sh\nexec su-exec app "$@"\n')
    assert not hands_over_arguments('#!/bin/sh\n# exec "$@"\n')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "env: 'absent': No such file or directory"),
        ("/opt/absent", "env: '/opt/absent': No such file or directory"),
        ("/plain", "env: '/plain': Permission denied"),
        ("/bin", "env: '/bin': Permission denied"),
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
