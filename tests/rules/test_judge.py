"""Observations become findings: one cause, one finding, worst first, with blame and advice."""

from __future__ import annotations

from imagescan.findings import Certainty, Finding, Severity, Tier
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.judge import judge
from imagescan.rules.template import fill, phrase, places
from tests.startup.images import facts_of

RULES = builtin_rules()
PROGRAM = "{program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [%s]}}"


def findings(text: str) -> tuple[Finding, ...]:
    return judge(facts_of(text), RULES)


def test_a_sound_image_has_no_finding() -> None:
    assert findings("{base: debian, cmd: [sh]}") == ()
    assert findings("{base: alpine, cmd: [sh]}") == ()


def test_one_missing_library_of_many_objects_is_one_finding_of_the_worst_tier() -> None:
    (finding,) = findings(f"""
        base: debian
        entrypoint: [/zz/app]
        files:
          /a/tool: {PROGRAM % "libgone.so.1"}
          /b/tool: {PROGRAM % "libgone.so.1, libmid.so"}
          /zz/app: {PROGRAM % "libmid.so"}
          /lib/x86_64-linux-gnu/libmid.so: {{library: {{needed: [libgone.so.1]}}}}
    """)
    assert (finding.severity, finding.tier, finding.object) == (Severity.ERROR, Tier.STARTUP, "/zz/app")
    assert finding.requesters == (
        "/zz/app",
        "/a/tool",
        "/b/tool",
        "/usr/lib/x86_64-linux-gnu/libmid.so",
    )
    assert finding.items == ("libgone.so.1",)
    assert "apt-file search libgone.so.1 names the package" in finding.fix


def test_a_glibc_program_on_musl_is_one_finding_and_not_one_per_library() -> None:
    (finding,) = findings(f"""
        base: alpine
        entrypoint: [/app]
        files:
          /app: {PROGRAM % "libz.so.1, libssl.so.3, libc.so.6"}
          /tool: {PROGRAM % "libc.so.6"}
    """)
    assert finding.rule == "loader/glibc-program-on-musl"
    assert finding.requesters == ("/app", "/tool")


def test_a_program_for_another_machine_is_not_asked_for_its_libraries() -> None:
    (finding,) = findings("""
        base: debian
        entrypoint: [/app]
        files:
          /app: {program: {machine: aarch64, interpreter: /lib/ld-linux-aarch64.so.1, needed: [libgone.so]}}
    """)
    assert finding.rule == "platform/wrong-architecture"


def test_a_missing_version_explains_its_symbols() -> None:
    (finding,) = findings("""
        base: debian
        entrypoint: [/app]
        files:
          /app:
            program:
              interpreter: /lib64/ld-linux-x86-64.so.2
              needed: [libc.so.6]
              version_needs: {libc.so.6: [GLIBC_2.38]}
              undefined: [__isoc23_strtol@GLIBC_2.38]
    """)
    assert finding.rule == "abi/version-missing"


def test_an_unbroken_crlf_script_is_told_once() -> None:
    (finding,) = findings("""
        base: debian
        entrypoint: [/start]
        files: {/start: {script: "#!/bin/sh\\r\\n"}}
    """)
    assert finding.rule == "start/crlf-shebang"


def test_errors_come_before_warnings_and_notes() -> None:
    ranks = [
        finding.severity.rank
        for finding in findings(f"""
            base: debian
            user: nobody-here
            cmd: [absent]
            files:
              /usr/bin/tool: {PROGRAM % "libgone.so.1"}
              /srv/x: {{script: "#!/usr/bin/perl\\n"}}
              /usr/lib/x/mod.so: {{library: {{needed: [libgone.so.2]}}}}
        """)
    ]
    assert ranks == sorted(ranks, reverse=True)
    assert set(ranks) == {3, 2, 1}


def test_a_plugin_is_conditional_and_says_on_what() -> None:
    (finding,) = findings("""
        base: debian
        cmd: [sh]
        files: {/usr/lib/x/mod.so: {library: {needed: [libgone.so.2]}}}
    """)
    assert finding.certainty is Certainty.CONDITIONAL
    assert finding.condition == "if a program of this image loads it"


def test_the_fingerprint_survives_another_build() -> None:
    text = """
        base: debian
        entrypoint: [/app]
        layers:
          - files: {/opt/other: {text: "%s"}}
          - files: {/app: %s}
    """
    (one,) = findings(text % ("first build", PROGRAM % "libgone.so.1"))
    (other,) = findings(text % ("second build, longer", PROGRAM % "libc.so.6, libgone.so.1"))
    (third,) = findings(text % ("first build", PROGRAM % "libgone.so.2"))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != third.fingerprint
    assert len(one.fingerprint) == 32


def test_fingerprints_of_one_image_are_unique() -> None:
    found = findings(f"""
        base: debian
        entrypoint: [/app]
        files:
          /app: {PROGRAM % "liba.so, libb.so, libc32.so"}
          /lib/x86_64-linux-gnu/libb.so: {{text: "x"}}
          /opt/libc32.so: {{library: {{}}}}
          /usr/bin/old: {{program: {{machine: i386, interpreter: /lib/ld-linux.so.2, needed: [liba.so]}}}}
    """)
    assert len({finding.fingerprint for finding in found}) == len(found) == 4


def test_blame_names_who_brought_and_who_removed() -> None:
    (finding,) = findings(f"""
        base: debian
        entrypoint: [/app]
        layers:
          - files:
              /usr/lib/x86_64-linux-gnu/libpq.so.5.15: {{library: {{soname: libpq.so.5}}}}
              /usr/lib/x86_64-linux-gnu/libpq.so.5: {{link: libpq.so.5.15}}
            created_by: RUN apt-get install libpq5
          - files: {{/app: {PROGRAM % "libpq.so.5"}}}
            created_by: COPY app /app
          - remove: [/usr/lib/x86_64-linux-gnu/libpq.so.5, /usr/lib/x86_64-linux-gnu/libpq.so.5.15]
            created_by: RUN apt-get autoremove
    """)
    assert [(blame.action, blame.layer_index, blame.created_by) for blame in finding.blame] == [
        ("added", 1, "RUN apt-get install libpq5"),
        ("removed", 3, "RUN apt-get autoremove"),
    ]
    assert finding.blame[0].path == "/usr/lib/x86_64-linux-gnu/libpq.so.5"
    assert finding.blame[0].layer_digest.startswith("sha256:")


def test_a_lost_link_above_the_interpreter_is_blamed() -> None:
    found = findings("""
        base: debian
        cmd: [sh]
        layers:
          - files: {/lib64/other.so: {library: {}}}
          - files: {/lib64: {directory: true}}
            created_by: COPY lib64 /lib64
    """)
    (finding,) = [one for one in found if one.rule == "loader/interpreter-missing"]
    assert [(blame.path, blame.created_by) for blame in finding.blame] == [("/lib64", "COPY lib64 /lib64")]


def test_only_braces_of_the_document_are_filled() -> None:
    assert fill("{a} and {b} and {c}", {"a": "{b}", "b": "x"}) == "{b} and x and {c}"
    assert places("{a} {B} {a_b}") == {"a", "a_b"}


def test_long_lists_are_cut_in_sentences() -> None:
    assert phrase((), 2) == ""
    assert phrase(("a",), 2) == "a"
    assert phrase(("a", "b", "c"), 2) == "a, b and c"
    assert phrase(("a", "b", "c", "d"), 2) == "a, b and 2 more"
