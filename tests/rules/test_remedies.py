"""The fix in the image's own words, and only what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagescan.findings import Certainty, Finding, Severity
from imagescan.layers.values import ImagePath
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.judge import judge
from tests.startup.images import facts_of

RULES = builtin_rules()
GLIBC = "interpreter: /lib64/ld-linux-x86-64.so.2"


def finding(rule: str, text: str) -> Finding:
    (found,) = (one for one in judge(facts_of(text), RULES) if one.rule == rule)
    return found


def missing(library: str, system: str, *more: str, base: str = "debian") -> str:
    """The fix for a library that a program of such a system misses; each of ``more`` is a file."""
    lines = "".join(f"\n          {line}" for line in more)
    interpreter = "/lib/ld-musl-x86_64.so.1" if base == "alpine" else "/lib64/ld-linux-x86-64.so.2"
    return finding(
        "loader/library-missing",
        f"""
        base: {base}
        entrypoint: [/app]
        files:
          /etc/os-release: {{text: "{system}"}}{lines}
          /app: {{program: {{interpreter: {interpreter}, needed: ["{library}"]}}}}
        """,
    ).fix


@pytest.mark.parametrize(
    ("version", "library", "package"),
    [
        ("12", "libpq.so.5", "libpq5"),
        ("12", "libz.so.1", "zlib1g"),
        ("12", "libGL.so.1", "libgl1"),
        ("12", "libssl.so.3", "libssl3"),
        ("13", "libssl.so.3", "libssl3t64"),
        ("13", "libgomp.so.1", "libgomp1"),
    ],
)
def test_debians_own_index_names_the_package(version: str, library: str, package: str) -> None:
    fix = missing(library, f"ID=debian\\nVERSION_ID={version}\\n")
    assert f"In this image: apt-get install -y --no-install-recommends {package}." in fix
    assert "apt-file" not in fix


@pytest.mark.parametrize("system", ["ID=ubuntu\\nID_LIKE=debian\\nVERSION_ID=24.04\\n", "ID=debian\\n"])
def test_a_release_without_a_table_has_no_package_made_up(system: str) -> None:
    fix = missing("libpq.so.5", system)
    assert "apt-file search libpq.so.5 names the package" in fix
    assert "libpq5" not in fix


def test_a_library_that_debian_does_not_have_has_no_package_made_up() -> None:
    fix = missing("libours.so.1", "ID=debian\\nVERSION_ID=12\\n")
    assert "In this image" not in fix


@pytest.mark.parametrize(
    ("system", "tool", "command"),
    [
        ("ID=fedora\\n", "/usr/bin/dnf", "dnf install -y 'libpq.so.5()(64bit)'"),
        ("ID=rhel\\nID_LIKE=fedora\\n", "/usr/bin/microdnf", "microdnf install -y 'libpq.so.5()(64bit)'"),
        ("ID=rhel\\nID_LIKE=fedora\\n", "", "dnf install -y 'libpq.so.5()(64bit)'"),
        ("ID=amzn\\nVERSION_ID=2\\n", "/usr/bin/yum", "yum install -y 'libpq.so.5()(64bit)'"),
        ("ID=opensuse-leap\\nID_LIKE='suse opensuse'\\n", "", "zypper install -y 'libpq.so.5()(64bit)'"),
    ],
)
def test_rpm_finds_a_package_by_what_it_provides(system: str, tool: str, command: str) -> None:
    more = (f'{tool}: {{text: ""}}',) if tool else ()
    assert f"In this image: {command}." in missing("libpq.so.5", system, *more)


def test_apk_finds_a_package_by_what_it_provides() -> None:
    assert "apk add so:libpq.so.5." in missing("libpq.so.5", "ID=alpine\\n", base="alpine")


@pytest.mark.parametrize(
    ("system", "library", "advice"),
    [
        ("ID=ubuntu\\nVERSION_ID=24.04\\n", "libaio.so.1", "libaio1t64"),
        ("ID=ubuntu\\nVERSION_ID=25.10\\n", "libaio.so.1", "libaio1t64"),
        ("ID=debian\\nVERSION_ID=13\\n", "libaio.so.1", "libaio1t64"),
        ("ID=rhel\\nVERSION_ID=9.4\\n", "libcrypt.so.1", "dnf install -y libxcrypt-compat"),
        (
            "ID=rocky\\nID_LIKE='rhel centos fedora'\\nVERSION_ID=9.4\\n",
            "libcrypt.so.1",
            "dnf install -y libxcrypt-compat",
        ),
        ("ID=fedora\\nVERSION_ID=43\\n", "libcrypt.so.1", "dnf install -y libxcrypt-compat"),
        ("ID=amzn\\nID_LIKE=fedora\\nVERSION_ID=2023\\n", "libcrypt.so.1", "dnf install -y libxcrypt-compat"),
        ("ID=ol\\nID_LIKE=fedora\\nVERSION_ID=10.0\\n", "libcrypt.so.1", "dnf install -y libxcrypt-compat"),
        ("ID=fedora\\nVERSION_ID=41\\n", "libnsl.so.1", "dnf install -y libnsl"),
        ("ID=debian\\nVERSION_ID=12\\n", "libssl.so.1.1", "OpenSSL 3 (libssl.so.3)"),
    ],
)
def test_what_a_distribution_renamed_is_told(system: str, library: str, advice: str) -> None:
    assert advice in missing(library, system)


@pytest.mark.parametrize("system", ["ID=debian\\nVERSION_ID=12\\n", "ID=rhel\\nVERSION_ID=8.9\\n"])
def test_what_an_older_release_still_has_is_not(system: str) -> None:
    fix = missing("libaio.so.1", system) + missing("libcrypt.so.1", system)
    assert "t64" not in fix
    assert "libxcrypt-compat" not in fix


@pytest.mark.parametrize("library", ["x;reboot", "$(reboot)", "-rf", "a b", "x'y"])
def test_no_command_has_a_name_that_a_shell_would_act_on(library: str) -> None:
    for system in ("ID=debian\\nVERSION_ID=12\\n", "ID=fedora\\n", "ID=alpine\\n"):
        fix = missing(library, system)
        assert "In this image" not in fix
        assert "apt-file" not in fix


def test_no_command_has_a_package_name_that_a_shell_would_act_on() -> None:
    status = r"Package: a;reboot\nVersion: 1\n"
    fix = missing(
        "libgone.so.1",
        "ID=debian\\n",
        f'/var/lib/dpkg/status: {{text: "{status}"}}',
        r'"/var/lib/dpkg/info/a;reboot.list": {text: "/usr/lib/libgone.so.1\n"}',
    )
    assert "reboot" not in fix


def test_an_image_without_package_manager_is_told_where_to_copy_from() -> None:
    package = '/var/lib/dpkg/status.d/base: {text: "Package: base\\nVersion: 12\\n"}'
    fix = missing("libpq.so.5", "ID=debian\\nVERSION_ID=12\\n", package)
    assert "copy the files of libpq5 from a stage of its release" in fix
    assert "apt-get" not in fix


def test_a_library_that_its_package_lost_is_had_back_from_the_package_alone() -> None:
    fix = missing(
        "libpq.so.5",
        "ID=debian\\nVERSION_ID=12\\n",
        '/var/lib/dpkg/status: {text: "Package: libpq5\\nVersion: 15.1-1\\n"}',
        '/var/lib/dpkg/info/libpq5.list: {text: "/usr/lib/x86_64-linux-gnu/libpq.so.5\\n"}',
    )
    assert fix == (
        "libpq5 15.1-1 (dpkg) is installed and had it, so it was removed afterwards:"
        " apt-get install --reinstall libpq5."
    )


def versions(*nodes: str, system: str = "ID=debian\\nVERSION_ID=12\\n") -> str:
    return finding(
        "abi/version-missing",
        f"""
        base: debian
        entrypoint: [/app]
        files:
          /etc/os-release: {{text: "{system}"}}
          /lib/x86_64-linux-gnu/libany.so.1: {{library: {{soname: libany.so.1, versions: [OLD]}}}}
          /app:
            program:
              {GLIBC}
              needed: [libany.so.1]
              version_needs: {{libany.so.1: [{", ".join(nodes)}]}}
        """,
    ).fix


@pytest.mark.parametrize(
    ("nodes", "needs"),
    [
        (
            ("GLIBC_2.38", "GLIBC_2.37"),
            "It needs glibc 2.38: Debian 13, Ubuntu 24.04, RHEL and UBI 10, Fedora 39,",
        ),
        (
            ("GLIBC_2.9", "GLIBC_2.34"),
            "It needs glibc 2.34: Debian 12, Ubuntu 22.04, RHEL and UBI 9, Fedora 35,",
        ),
        (("GLIBC_ABI_DT_RELR",), "It needs glibc 2.36: Debian 12, Ubuntu 24.04,"),
        (("GLIBCXX_3.4.32",), "It needs libstdc++ and libgcc of GCC 13.2: Debian 13, Ubuntu 24.04,"),
        (
            ("CXXABI_1.3.9", "GLIBC_2.44"),
            "libstdc++ and libgcc of GCC 5.1: Debian 10, Ubuntu 18.04, RHEL and UBI 8,",
        ),
        (("GLIBC_2.44",), "It needs glibc 2.44."),
        (("GLIBC_2.43",), "It needs glibc 2.43: Ubuntu 26.04 or newer."),
        (
            ("GLIBC_2.42",),
            "It needs glibc 2.42: Ubuntu 25.10, Fedora 43 or newer.",
        ),
        (
            ("GLIBC_2.40",),
            "It needs glibc 2.40: Debian 13, Ubuntu 25.04, Fedora 41, openSUSE Leap 16.0 or newer.",
        ),
        (("GLIBC_2.28",), "RHEL and UBI 8, Fedora 32, Amazon Linux 2023, openSUSE Leap 15.3 or newer."),
        (("GLIBCXX_3.4.34",), "of GCC 15.1: Fedora 42, openSUSE Leap 16.0 or newer."),
        (
            ("GLIBCXX_3.4.19",),
            "of GCC 4.8.3: Debian 10, Ubuntu 18.04, RHEL and UBI 7, Fedora 36, Amazon Linux 2,",
        ),
        (
            ("GCC_14.0.0",),
            "of GCC 14.1: Debian 13, Ubuntu 24.04, RHEL and UBI 10, Fedora 41, openSUSE Leap 15.6",
        ),
        (
            ("OPENSSL_3.2.0",),
            "It needs OpenSSL 3.2.0: Debian 13, Ubuntu 25.10, RHEL and UBI 10, Fedora 40 or newer.",
        ),
        (("OPENSSL_1_1_1",), "It needs OpenSSL 1.1.1: Debian 10, RHEL and UBI 8."),
    ],
)
def test_missing_versions_name_the_first_releases_that_have_them(nodes: tuple[str, ...], needs: str) -> None:
    assert needs in versions(*nodes)


def test_the_images_own_distribution_comes_first() -> None:
    fix = versions("GLIBC_2.38", system="ID=fedora\\nVERSION_ID=38\\n")
    assert "It needs glibc 2.38: Fedora 39, Debian 13," in fix


@pytest.mark.parametrize(
    "system", ["ID=rocky\\nVERSION_ID=9.4\\n", "ID=ol\\nID_LIKE=fedora\\nVERSION_ID=9\\n"]
)
def test_what_red_hat_has_its_rebuilds_have(system: str) -> None:
    assert "It needs glibc 2.38: RHEL and UBI 10, " in versions("GLIBC_2.38", system=system)


@pytest.mark.parametrize("node", ["GLIBC_PRIVATE", "MYSQL_8", "GLIBC_2.x", "OPENSSL_4.0.0", "CXXABI_1.3.16"])
def test_a_version_that_is_not_known_is_not_made_up(node: str) -> None:
    assert "It needs" not in versions(node)


PARTIAL = """
        base: debian
        entrypoint: [/tool]
        files:
          /var/lib/dpkg/status:
            text: |
              Package: tool
              Version: {own}
              Source: demo

              Package: libdemo1
              Version: {other}
              Source: demo
          /var/lib/dpkg/info/tool.list: {{text: "/tool\\n"}}
          /var/lib/dpkg/info/libdemo1.list: {{text: "/lib/x86_64-linux-gnu/libdemo.so.1\\n"}}
          /lib/x86_64-linux-gnu/libdemo.so.1: {{library: {{soname: libdemo.so.1, versions: [DEMO_1]}}}}
          /tool:
            program:
              interpreter: /lib64/ld-linux-x86-64.so.2
              needed: [libdemo.so.1]
              version_needs: {{libdemo.so.1: [DEMO_2]}}
"""


def test_a_partial_upgrade_names_both_packages_and_the_one_that_was_left_behind() -> None:
    found = finding("abi/version-missing", PARTIAL.format(own="2.10-1", other="2.9-1"))
    assert found.owner == (
        "tool 2.10-1 (dpkg); /usr/lib/x86_64-linux-gnu/libdemo.so.1 is of libdemo1 2.9-1 (dpkg)"
    )
    assert (
        "tool 2.10-1 and libdemo1 2.9-1 do not belong together (libdemo1 is older, and both are built from"
        " demo): apt-get install --only-upgrade libdemo1." in found.fix
    )


def test_a_program_that_no_package_brought_is_no_partial_upgrade() -> None:
    text = PARTIAL.format(own="1", other="1").replace("tool.list", "nothing.list")
    found = finding("abi/version-missing", text)
    assert found.owner == "/usr/lib/x86_64-linux-gnu/libdemo.so.1 is of libdemo1 1 (dpkg)"
    assert "belong together" not in found.fix


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/usr/lib/python3.12/site-packages/numpy/_x.so", "pip install with wheels tagged musllinux"),
        ("/app/node_modules/sharp/build/sharp.node", "npm install --os=linux --libc=musl"),
    ],
)
def test_wheels_and_node_modules_for_the_other_libc(path: str, advice: str) -> None:
    found = finding(
        "loader/glibc-program-on-musl",
        f"{{base: alpine, files: {{{path}: {{library: {{needed: [libc.so.6, ld-linux-x86-64.so.2]}}}}}}}}",
    )
    assert advice in found.fix
    assert "may still crash" in found.fix


def test_what_a_runtime_injects_is_one_note_with_its_condition() -> None:
    found = finding(
        "loader/library-injected",
        f"""
        base: debian
        entrypoint: [/app]
        files:
          /app: {{program: {{{GLIBC}, needed: [libcuda.so.1, libz.so.1]}}}}
          /tool: {{program: {{{GLIBC}, needed: [libnvidia-ml.so.1]}}, mode: 0755}}
        """,
    )
    assert (found.severity, found.certainty) == (Severity.NOTE, Certainty.CONDITIONAL)
    assert found.condition == "unless injected by the NVIDIA container runtime"
    assert found.items == ("libcuda.so.1", "libnvidia-ml.so.1")
    assert found.requesters == ("/app", "/tool")


def test_a_go_program_needs_no_library() -> None:
    program = f"{{program: {{{GLIBC}, needed: [libgone.so]}}}}"
    facts = facts_of(f"{{base: debian, entrypoint: [/app], files: {{/app: {program}}}}}")
    assert "CGO_ENABLED" not in judge(facts, RULES)[0].fix
    found = facts.by_path[ImagePath("/app")]
    go = replace(found, elf=replace(found.elf, is_go=True))
    assert "built with CGO_ENABLED=0" in judge(replace(facts, by_path={go.path: go}), RULES)[0].fix
