"""Every finding about the container's start tells what was met, what was tried, who did it, what to do."""

from __future__ import annotations

import pytest

from imagescan.findings import Finding
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.document import RuleDocument
from imagescan.rules.examples.selftest import run_example
from imagescan.rules.judge import judge
from tests.startup.images import facts_of

RULES = {rule.id: rule for rule in builtin_rules() if rule.id.startswith("start/")}
FAILING = [
    (rule.id, example.name)
    for rule in RULES.values()
    for example in rule.examples
    if run_example(rule, example).findings
]


def findings_of(rule: RuleDocument, name: str) -> tuple[Finding, ...]:
    return tuple(run_example(rule, next(one for one in rule.examples if one.name == name)).findings)


@pytest.mark.parametrize(("rule", "example"), FAILING)
def test_a_finding_has_its_message_trail_blame_and_fix(rule: str, example: str) -> None:
    for finding in findings_of(RULES[rule], example):
        assert finding.runtime_message
        assert finding.trail, "what was tried in order"
        assert finding.blame or finding.object == "/", "which layer or instruction"
        assert finding.fix


def found(text: str) -> Finding:
    (finding,) = judge(facts_of(text), builtin_rules())
    return finding


def test_the_trail_goes_through_everything_that_was_started_on_the_way() -> None:
    finding = found("""
        base: debian
        entrypoint: [/tini, --, /start]
        cmd: [server]
        env: [PATH=/usr/bin:/opt/bin]
        files:
          /tini: {static: {}}
          /start: {script: "#!/bin/sh\\nexec \\"$@\\"\\n"}
    """)
    assert [(line.candidate, line.outcome) for line in finding.trail] == [
        ("/tini", "found"),
        ("/start", "found"),
        ("/bin/sh", "found"),
        ("/usr/bin/server", "absent"),
        ("/opt/bin/server", "absent"),
    ]
    assert finding.runtime_message == "/start: 2: exec: server: not found"


def test_a_link_that_leads_nowhere_is_followed_in_the_trail() -> None:
    finding = found("""
        base: debian
        entrypoint: [/app]
        files:
          /app: {link: /opt/current/app}
          /opt/current: {link: v1}
    """)
    assert [(line.candidate, line.outcome) for line in finding.trail] == [
        ("/app", "link to /opt/current/app"),
        ("/opt/current", "link to v1"),
        ("/opt/v1", "absent"),
    ]


def test_the_instruction_that_names_a_missing_program_is_blamed() -> None:
    finding = found("{base: debian, entrypoint: [/app/server]}")
    assert [(one.action, one.path, one.created_by) for one in finding.blame] == [
        ("set", "ENTRYPOINT", 'ENTRYPOINT ["/app/server"]')
    ]


def test_the_variable_that_hides_a_program_is_blamed_too() -> None:
    finding = found("{base: debian, cmd: [nosuch], env: [PATH=/opt/bin]}")
    assert [one.path for one in finding.blame] == ["CMD", "PATH"]


def test_the_layer_of_the_script_that_asks_is_blamed() -> None:
    finding = found("""
        base: debian
        entrypoint: [/start]
        layers:
          - files: {/start: {script: "#!/bin/sh\\nexec nosuch\\n"}}
            created_by: COPY start /
    """)
    assert [one.created_by for one in finding.blame] == ["COPY start /"]


def test_an_unknown_user_blames_its_instruction() -> None:
    finding = found("{base: debian, user: app, cmd: [sh]}")
    assert [one.created_by for one in finding.blame] == ["USER app"]
