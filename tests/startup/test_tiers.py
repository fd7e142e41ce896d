"""Which tier an object is in."""

from __future__ import annotations

import pytest

from imagescan.facts import ImageFacts
from imagescan.findings import Tier
from imagescan.plugins.dormant import variant_family
from tests.startup.images import facts_of

DEBIAN_PROGRAM = "{program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [%s]}}"


def tier(facts: ImageFacts, path: str) -> Tier:
    tiers = {found.path: found.tier for found in (*facts.objects, *facts.scripts)}
    return tiers[path]  # type: ignore[index]


def test_the_startup_chain_pulls_its_libraries_and_loader_with_it() -> None:
    facts = facts_of(f"""
        base: debian
        entrypoint: [/app]
        files:
          /app: {DEBIAN_PROGRAM % "liba.so"}
          /tool: {DEBIAN_PROGRAM % "liba.so, libb.so"}
          /lib/x86_64-linux-gnu/liba.so: {{library: {{needed: [libc.so.6]}}}}
          /lib/x86_64-linux-gnu/libb.so: {{library: {{needed: []}}}}
          /lib/x86_64-linux-gnu/libplugin.so: {{library: {{needed: []}}}}
    """)
    libraries = "/usr/lib/x86_64-linux-gnu"
    assert tier(facts, "/app") is Tier.STARTUP
    assert tier(facts, f"{libraries}/liba.so") is Tier.STARTUP
    assert tier(facts, f"{libraries}/libc.so.6") is Tier.STARTUP
    assert tier(facts, f"{libraries}/ld-linux-x86-64.so.2") is Tier.STARTUP
    assert tier(facts, "/tool") is Tier.COMMAND
    assert tier(facts, f"{libraries}/libb.so") is Tier.COMMAND
    assert tier(facts, f"{libraries}/libplugin.so") is Tier.PLUGIN


def test_the_health_check_is_startup_too() -> None:
    facts = facts_of("""
        base: debian
        healthcheck: [CMD, /check]
        files: {/check: {static: {}}}
    """)
    assert tier(facts, "/check") is Tier.STARTUP


def test_scripts_are_commands_by_mode_only() -> None:
    facts = facts_of("""
        base: debian
        files:
          /usr/bin/run: {script: "#!/bin/sh\\n"}
          /usr/share/x.sh: {script: "#!/bin/sh\\n", mode: 0644}
    """)
    assert tier(facts, "/usr/bin/run") is Tier.COMMAND
    assert tier(facts, "/usr/share/x.sh") is Tier.DORMANT


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/debug/usr/bin/app.debug",
        "/app/node_modules/sodium-native/prebuilds/linux-x64/sodium-native.bare",
        "/usr/lib/python3/dist-packages/numpy/tests/app",
        "/boot/app",
        "/snap/core/1/bin/app",
    ],
)
def test_debug_test_and_foreign_files_sleep(path: str) -> None:
    assert tier(facts_of(f"{{files: {{{path}: {{static: {{}}}}}}}}"), path) is Tier.DORMANT


def test_a_nested_root_file_system_sleeps() -> None:
    facts = facts_of("""
        base: debian
        files:
          /srv/chroot/etc/os-release: {text: "ID=debian\\n"}
          /srv/chroot/bin/app: {static: {}}
          /srv/bin/app: {static: {}}
    """)
    assert tier(facts, "/srv/chroot/bin/app") is Tier.DORMANT
    assert tier(facts, "/srv/bin/app") is Tier.COMMAND


def test_what_starts_the_container_never_sleeps() -> None:
    facts = facts_of("{entrypoint: [/app/tests/run], files: {/app/tests/run: {static: {}}}}")
    assert tier(facts, "/app/tests/run") is Tier.STARTUP


def test_variants_for_another_machine_or_libc_sleep_beside_a_usable_one() -> None:
    facts = facts_of("""
        base: debian
        files:
          /m/x-linux-x64/x.node: {library: {needed: [libc.so.6]}}
          /m/x-linux-arm64/x.node: {library: {machine: aarch64, needed: [libc.so.6]}}
          /m/x-linuxmusl-x64/x.node: {library: {needed: [libc.musl-x86_64.so.1]}}
          /n/y.linux-x64-musl.node: {library: {needed: [libc.musl-x86_64.so.1]}}
    """)
    assert tier(facts, "/m/x-linux-x64/x.node") is Tier.PLUGIN
    assert tier(facts, "/m/x-linux-arm64/x.node") is Tier.DORMANT
    assert tier(facts, "/m/x-linuxmusl-x64/x.node") is Tier.DORMANT
    assert tier(facts, "/n/y.linux-x64-musl.node") is Tier.PLUGIN  # alone: no usable one beside it


def test_a_variant_without_a_word_for_its_libc_is_the_usable_one() -> None:
    facts = facts_of("""
        base: debian
        files:
          /m/level/prebuilds/linux-x64/level.node: {library: {needed: [libc.so.6]}}
          /m/level/prebuilds/linux-x64/level.musl.node: {library: {needed: [libc.musl-x86_64.so.1]}}
    """)
    assert tier(facts, "/m/level/prebuilds/linux-x64/level.node") is Tier.PLUGIN
    assert tier(facts, "/m/level/prebuilds/linux-x64/level.musl.node") is Tier.DORMANT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pprof/linux-x64/pprof.musl.node.abi108.node", "pprof/linux-x64/pprof.node.abi108.node"),
        ("zeromq/linux/x64/node/108/addon.node", "zeromq/linux/x64/node/glibc-115-Release/addon.node"),
        ("zeromq/linux/x64/node/musl-127-Release/addon.node", "zeromq/linux/x64/node/115/addon.node"),
        ("lmdb-linux-x64/node.abi115.musl.node", "lmdb-linux-x64/node.napi.glibc.node"),
    ],
)
def test_an_addon_is_shipped_for_each_binary_interface_of_node(one: str, other: str) -> None:
    facts = facts_of(f"""
        base: debian
        files:
          /m/{one}: {{library: {{needed: [libc.musl-x86_64.so.1]}}}}
          /m/{other}: {{library: {{needed: [libc.so.6]}}}}
    """)
    assert (tier(facts, f"/m/{one}"), tier(facts, f"/m/{other}")) == (Tier.DORMANT, Tier.PLUGIN)


def test_a_variant_for_another_system_sleeps_beside_one_for_linux() -> None:
    facts = facts_of("""
        base: debian
        files:
          /m/argon2/prebuilds/freebsd-x64/argon2.glibc.node: {library: {needed: [libc.so.7]}}
          /m/argon2/prebuilds/linux-x64/argon2.glibc.node: {library: {needed: [libc.so.6]}}
          /n/prebuilds/freebsd-x64/alone.node: {library: {needed: [libc.so.7]}}
    """)
    assert tier(facts, "/m/argon2/prebuilds/freebsd-x64/argon2.glibc.node") is Tier.DORMANT
    assert tier(facts, "/m/argon2/prebuilds/linux-x64/argon2.glibc.node") is Tier.PLUGIN
    assert tier(facts, "/n/prebuilds/freebsd-x64/alone.node") is Tier.PLUGIN


def test_a_variant_that_fails_here_sleeps_beside_one_that_does_not() -> None:
    facts = facts_of("""
        base: debian
        files:
          /m/linux/x64/glibc-115-Release/a.node:
            {library: {needed: [libc.so.6], version_needs: {libc.so.6: [GLIBC_2.99]}}}
          /m/linux/x64/glibc-127-Release/a.node: {library: {needed: [libc.so.6]}}
          /n/linux-x64/b.node: {library: {needed: [libgone.so.1]}}
          /n/linux-arm64/b.node: {library: {machine: aarch64, needed: [libc.so.6]}}
          /p/c.node: {library: {needed: [libgone.so.1]}}
          /q/c.node: {library: {needed: [libc.so.6]}}
    """)
    assert tier(facts, "/m/linux/x64/glibc-115-Release/a.node") is Tier.DORMANT
    assert tier(facts, "/m/linux/x64/glibc-127-Release/a.node") is Tier.PLUGIN
    assert tier(facts, "/n/linux-x64/b.node") is Tier.PLUGIN
    assert tier(facts, "/p/c.node") is Tier.PLUGIN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/n/@img/sharp-linux-x64/lib/s.node", "/n/@img/sharp-linuxmusl-x64/lib/s.node"),
        ("/n/@swc/core-linux-x64-gnu/s.node", "/n/@swc/core-linux-x64-musl/s.node"),
        ("/n/prebuilds/linux-x64/node.napi.node", "/n/prebuilds/linux-arm64/node.napi.node"),
        ("/o/lib/linux/x86_64/libx.so", "/o/lib/linux/aarch64/libx.so"),
    ],
)
def test_variants_are_one_family(one: str, other: str) -> None:
    assert variant_family(one) == variant_family(other)


def test_different_libraries_are_no_family() -> None:
    assert variant_family("/usr/lib/liba.so") != variant_family("/usr/lib/libb.so")
    assert variant_family("/usr/lib/libmuslin.so") == "/usr/lib/libmuslin.so"
