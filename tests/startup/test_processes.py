"""Programs on the chain that start as another user or with other variables are judged so."""

from __future__ import annotations

from imagescan.facts import ImageFacts
from imagescan.findings import Severity, Tier
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.judge import judge
from tests.startup.images import facts_of

IMAGE = """
    base: debian
    entrypoint: [/start]
    cmd: [/app]
    files:
      /usr/sbin/gosu: {{static: {{}}}}
      /start: {{script: "#!/bin/sh\\n{script}\\n"}}
      /app: {{program: {{interpreter: /lib64/ld-linux-x86-64.so.2, needed: [libown.so.1, libc.so.6]}}}}
      /opt/lib: {{directory: true, mode: {mode}}}
      /opt/lib/libown.so.1: {{library: {{soname: libown.so.1}}}}
    env: [{env}]
"""


def image(script: str, *, mode: str = "0755", env: str = "") -> ImageFacts:
    return facts_of(IMAGE.format(script=script, mode=mode, env=env))


def errors(facts: ImageFacts) -> list[tuple[str, str]]:
    return [(one.rule, one.object) for one in judge(facts, builtin_rules()) if one.severity is Severity.ERROR]


def test_a_library_path_that_the_entrypoint_script_exports_is_searched() -> None:
    assert errors(image('exec \\"$@\\"')) == [("loader/library-off-search-path", "/app")]
    facts = image('export LD_LIBRARY_PATH=/opt/lib\\nexec \\"$@\\"')
    assert errors(facts) == []
    assert facts.by_path["/opt/lib/libown.so.1"].tier is Tier.STARTUP  # type: ignore[index]


def test_a_library_path_that_env_sets_is_searched() -> None:
    assert errors(image('exec env LD_LIBRARY_PATH=/opt/lib \\"$@\\"')) == []


def test_a_library_path_that_the_entrypoint_script_takes_away_is_not_searched() -> None:
    env = "LD_LIBRARY_PATH=/opt/lib"
    assert errors(image('exec \\"$@\\"', env=env)) == []
    lost = image('unset LD_LIBRARY_PATH\\nexec \\"$@\\"', env=env)
    assert errors(lost) == [("loader/library-off-search-path", "/app")]


def test_a_library_that_the_user_of_gosu_may_not_read_is_missing() -> None:
    env = "LD_LIBRARY_PATH=/opt/lib"
    assert errors(image('exec gosu www-data \\"$@\\"', env=env)) == []
    closed = image('exec gosu www-data \\"$@\\"', env=env, mode="0700")
    assert [rule for rule, _ in errors(closed)] == ["loader/library-off-search-path"]


def test_what_is_only_started_in_some_case_is_a_command() -> None:
    script = "if [ -f /mounted ]; then exec /app --leader; fi\\nexec sleep 1"
    facts = image(script)
    assert facts.by_path["/app"].tier is Tier.COMMAND  # type: ignore[index]
    assert errors(facts) == []


def test_the_command_after_a_script_that_cannot_be_followed_whole_is_startup() -> None:
    facts = image('. /mounted.sh\\nif is_leader; then exec \\"$@\\"; fi')
    assert facts.by_path["/app"].tier is Tier.STARTUP  # type: ignore[index]
