"""Who is to blame: the layer that brought, replaced, removed or hid something, and the line that did it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagescan.findings import Finding
from imagescan.rules.blame import blame_environment
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.judge import judge
from imagescan.sources.values import HistoryEntry
from tests.startup.images import facts_of

RULES = builtin_rules()
GLIBC = "interpreter: /lib64/ld-linux-x86-64.so.2"
MUSL = "interpreter: /lib/ld-musl-x86_64.so.1"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def finding(rule: str, text: str) -> Finding:
    (found,) = (one for one in judge(facts_of(text), RULES) if one.rule == rule)
    return found


def told(found: Finding) -> list[tuple[str, int, str, str]]:
    return [(one.action, one.layer_index, one.path, one.created_by) for one in found.blame]


APP = f"{{program: {{{GLIBC}, needed: [libx.so.1, libc.so.6], version_needs: {{libx.so.1: [X_2]}}}}}}"
OLD = "{library: {soname: libx.so.1, versions: [X_1]}}"
NEW = "{library: {soname: libx.so.1, versions: [X_1, X_2]}}"


def test_a_version_finding_blames_who_asks_and_who_brought_the_older_library() -> None:
    found = finding(
        "abi/version-missing",
        f"""
        base: debian
        entrypoint: [/app]
        layers:
          - files: {{{LIBRARIES}/libx.so.1: {OLD}}}
            created_by: RUN apt-get install libx1
          - files: {{/app: {APP}}}
            created_by: COPY app /app
        """,
    )
    assert told(found) == [
        ("added", 2, "/app", "COPY app /app"),
        ("added", 1, f"{LIBRARIES}/libx.so.1", "RUN apt-get install libx1"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        (f"{LIBRARIES}/libx.so.1: {NEW}", f"{LIBRARIES}/libx.so.1: {OLD}", f"{LIBRARIES}/libx.so.1"),
        (
            f"{LIBRARIES}/libx.so.1.2: {NEW}, {LIBRARIES}/libx.so.1: {{link: libx.so.1.2}}",
            f"{LIBRARIES}/libx.so.1.1: {OLD}, {LIBRARIES}/libx.so.1: {{link: libx.so.1.1}}",
            f"{LIBRARIES}/libx.so.1",
        ),
        (
            f"/opt/new/libx.so.1: {NEW}, {LIBRARIES}/libx.so.1: {{link: /opt/new/libx.so.1}}",
            f"/opt/old/libx.so.1: {OLD}, {LIBRARIES}/libx.so.1: {{link: /opt/old/libx.so.1}}",
            f"{LIBRARIES}/libx.so.1",
        ),
    ],
    ids=["the file", "the link beside it", "an absolute link"],
)
def test_the_layer_that_put_an_older_library_in_the_place_of_a_newer_one_is_named(
    first: str, second: str, path: str
) -> None:
    found = finding(
        "abi/version-missing",
        f"""
        base: debian
        entrypoint: [/app]
        layers:
          - files: {{{first}, /app: {APP}}}
            created_by: RUN apt-get install app
          - files: {{{second}}}
            created_by: COPY libs /usr/lib
        """,
    )
    assert told(found)[1:] == [
        ("added", 1, path, "RUN apt-get install app"),
        ("replaced", 2, path, "COPY libs /usr/lib"),
    ]


def test_a_symbol_finding_on_musl_blames_the_library_that_was_left_behind() -> None:
    found = finding(
        "abi/symbol-missing",
        f"""
        base: alpine
        entrypoint: [/curl]
        layers:
          - files:
              /usr/lib/libssl.so.3: {{library: {{soname: libssl.so.3, defined: [SSL_new, SSL_free]}}}}
            created_by: FROM alpine
          - files:
              /usr/lib/libcurl.so.4:
                library:
                  soname: libcurl.so.4
                  needed: [libssl.so.3]
                  undefined: [SSL_new, SSL_get0_group_name]
              /curl: {{program: {{{MUSL}, needed: [libcurl.so.4]}}}}
            created_by: RUN apk add curl
        """,
    )
    assert told(found) == [
        ("added", 2, "/usr/lib/libcurl.so.4", "RUN apk add curl"),
        ("added", 1, "/usr/lib/libssl.so.3", "FROM alpine"),
    ]
    assert [(line.candidate, line.outcome) for line in found.trail[:2]] == [
        ("/curl", "does not define SSL_get0_group_name"),
        ("/usr/lib/libcurl.so.4", "does not define SSL_get0_group_name"),
    ]


def test_the_env_line_that_lets_an_older_library_be_found_first_is_named() -> None:
    found = finding(
        "abi/version-missing",
        f"""
        base: debian
        entrypoint: [/app]
        env: [PATH=/usr/bin, "LD_LIBRARY_PATH=/opt/old"]
        files: {{{LIBRARIES}/libx.so.1: {NEW}, /opt/old/libx.so.1: {OLD}, /app: {APP}}}
        """,
    )
    assert ("set", 1, "LD_LIBRARY_PATH", "ENV LD_LIBRARY_PATH=/opt/old") in told(found)
    assert [line.source for line in found.trail] == ["ld_library_path", "version definitions"]


MISSING = f"{{program: {{{GLIBC}, needed: [libgone.so.1, libc.so.6]}}}}"


@pytest.mark.parametrize(
    ("removal", "action"),
    [
        ("remove: [/srv/vendor/deep/libgone.so.1]", "removed"),
        ("remove: [/srv/vendor]", "hid"),
        ("files: {/srv/vendor/deep: {text: no directory any more}}", "hid"),
    ],
)
def test_a_missing_library_that_was_anywhere_in_any_layer_is_found_by_its_name(
    removal: str, action: str
) -> None:
    found = finding(
        "loader/library-missing",
        f"""
        base: debian
        entrypoint: [/app]
        layers:
          - files: {{/srv/vendor/deep/libgone.so.1: {{library: {{soname: libgone.so.1}}}}, /app: {MISSING}}}
            created_by: COPY . /
          - {removal}
            created_by: RUN slim
        """,
    )
    assert told(found) == [
        ("added", 1, "/srv/vendor/deep/libgone.so.1", "COPY . /"),
        (action, 2, "/srv/vendor/deep/libgone.so.1", "RUN slim"),
    ]


def test_what_never_was_in_the_image_is_the_business_of_who_asks() -> None:
    text = f"""
        base: debian
        entrypoint: [/app]
        layers: [{{files: {{/app: {MISSING}}}, created_by: COPY app /app}}]
        """
    assert told(finding("loader/library-missing", text)) == [("added", 1, "/app", "COPY app /app")]


def test_a_missing_program_that_was_in_a_directory_that_path_does_not_name_is_found() -> None:
    found = finding(
        "start/entrypoint-missing",
        """
        base: debian
        entrypoint: [server]
        layers:
          - files: {/opt/server/bin/server: {static: {}}}
            created_by: RUN make install
          - remove: [/opt/server/bin/server]
            created_by: RUN rm -r /opt/server/bin/*
        """,
    )
    assert told(found)[-1] == ("removed", 2, "/opt/server/bin/server", "RUN rm -r /opt/server/bin/*")


def test_a_layer_that_breaks_the_merged_usr_is_blamed_for_the_libraries_behind_the_link() -> None:
    found = finding(
        "loader/library-off-search-path",
        """
        base: debian
        entrypoint: [/app]
        layers:
          - files:
              /usr/lib/libsub.so.1: {library: {soname: libsub.so.1}}
              /app:
                program:
                  interpreter: /usr/lib64/ld-linux-x86-64.so.2
                  runpath: /lib/sub
                  needed: [libdeep.so]
              /usr/lib/sub/libdeep.so: {library: {soname: libdeep.so}}
            created_by: RUN install
          - files: {/lib: {directory: true}}
            created_by: ADD rootfs.tar /
        """,
    )
    assert ("replaced", 2, "/lib", "ADD rootfs.tar /") in told(found)


def test_who_removed_the_loaders_cache_is_blamed_for_a_library_that_only_the_cache_named() -> None:
    found = finding(
        "loader/library-off-search-path",
        f"""
        base: debian
        entrypoint: [/app]
        layers:
          - files:
              /etc/ld.so.cache: {{text: was here}}
              /usr/local/lib/libx.so.1: {{library: {{soname: libx.so.1}}}}
              /app: {{program: {{{GLIBC}, needed: [libx.so.1]}}}}
            created_by: RUN make install && ldconfig
          - remove: [/etc/ld.so.cache]
            created_by: RUN rm /etc/ld.so.cache
        """,
    )
    assert ("removed", 2, "/etc/ld.so.cache", "RUN rm /etc/ld.so.cache") in told(found)


def test_a_preloaded_library_that_is_not_there_blames_the_env_line() -> None:
    found = finding(
        "loader/preload-broken",
        "{base: debian, cmd: [sh], env: [LD_PRELOAD=/opt/libhook.so]}",
    )
    assert told(found) == [("set", 0, "LD_PRELOAD", "ENV LD_PRELOAD=/opt/libhook.so")]


@pytest.mark.parametrize(
    "line",
    [
        "ENV LD_LIBRARY_PATH=/x",
        "ENV A=b LD_LIBRARY_PATH=/x",
        "ENV LD_LIBRARY_PATH /x",
        "/bin/sh -c #(nop)  ENV LD_LIBRARY_PATH=/x",
        "ENV LD_LIBRARY_PATH=/x # buildkit",
    ],
)
def test_an_env_line_is_read_as_every_builder_writes_it(line: str) -> None:
    facts = facts_of("{base: debian, cmd: [sh]}")
    lines = (
        HistoryEntry("FROM debian", empty_layer=False),
        HistoryEntry("ENV LD_LIBRARY_PATH_OLD=/y NOT_LD_LIBRARY_PATH=/z", empty_layer=True),
        HistoryEntry(line, empty_layer=True),
        HistoryEntry("CMD echo ENV LD_LIBRARY_PATH=/z", empty_layer=True),
    )
    manifest = replace(facts.manifest, config=replace(facts.manifest.config, history=lines))
    (blame,) = blame_environment(replace(facts, manifest=manifest), "LD_LIBRARY_PATH")
    assert (blame.created_by, blame.layer_index, blame.action) == (line, 0, "set")
    squashed = replace(manifest, history_aligned=False)
    assert blame_environment(replace(facts, manifest=squashed), "LD_LIBRARY_PATH") == ()
