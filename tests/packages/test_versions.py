"""Versions compared as each package manager compares them; dpkg and rpm are asked."""

from __future__ import annotations

import subprocess
from itertools import pairwise, product

import pytest

from imagescan.packages.values import PackageManager
from imagescan.packages.versions import compare_apk, compare_dpkg, compare_rpm, compare_versions
from tests.requirements import require_tool

VERSIONS = (
    *(
        "1",
        "1.0",
        "1.0.0",
        "01",
        "1.10",
        "1.9",
        "1:0.5",
        "0:1",
        "2",
        "1-1",
        "1-0",
        "1-2",
        "1.0-1",
        "1a",
        "1.a",
    ),
    *(
        "1~rc1",
        "1~",
        "1~~",
        "1+b1",
        "1.0+dfsg",
        "1.0~beta1-3+deb12u1",
        "1.0-3",
        "2.36-9+deb12u14",
        "1^git1",
        "1^",
    ),
    *("2.36-9", "1.2.3a", "1.2.3A", "10", "99999999999999999999999", "1.0^20230101-2", "a", "A1", "", "1..2"),
)


@pytest.mark.oracle
def test_dpkg_says_the_same() -> None:
    require_tool("dpkg")
    valid = [one for one in VERSIONS if one[:1].isdigit() and "^" not in one]
    for one, other in product(valid, repeat=2):
        expected = {
            relation
            for relation in ("lt", "eq", "gt")
            if subprocess.run(["dpkg", "--compare-versions", one, relation, other]).returncode == 0
        }
        assert expected == {("eq", "gt", "lt")[compare_dpkg(one, other)]}, (one, other)


@pytest.mark.oracle
def test_rpm_says_the_same() -> None:
    require_tool("rpm")
    pairs = list(product((one for one in VERSIONS if ":" not in one and "-" not in one and one), repeat=2))
    calls = ",".join(f'rpm.vercmp("{one}","{other}")' for one, other in pairs)
    answer = subprocess.run(
        ["rpm", "--eval", f"%{{lua: for _, n in ipairs({{{calls}}}) do print(n .. ' ') end}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert [str(compare_rpm(one, other)) for one, other in pairs] == answer


@pytest.mark.parametrize(
    ("older", "newer"),
    [("1.0-1", "1.0-2"), ("1.0-2", "1:0.9-1"), ("1.0-9", "1.1-1"), ("1.0~rc1-1", "1.0-1")],
)
def test_rpm_compares_epoch_then_version_then_release(older: str, newer: str) -> None:
    assert (compare_rpm(older, newer), compare_rpm(newer, older)) == (-1, 1)


def test_rpm_leaves_a_release_out_that_only_one_has() -> None:
    assert compare_rpm("1.0", "1.0-3") == 0


# Older to newer, by apk-package(5).
APK = (
    *("0.9", "1.0_alpha", "1.0_alpha2", "1.0_beta", "1.0_pre3", "1.0_rc1", "1.0_rc2-r1", "1.0", "1.0-r1"),
    *("1.0_cvs1", "1.0_svn1", "1.0_git20230717", "1.0_git20230717-r4", "1.0_hg1", "1.0_p1", "1.0_p2", "1.0a"),
    *("1.0b-r3", "1.0.1", "1.0.2", "1.01", "1.1", "1.2", "1.10", "2", "2~abc", "10.0"),
)


@pytest.mark.parametrize(("older", "newer"), list(pairwise(APK)))
def test_apk_orders_versions_by_its_manual(older: str, newer: str) -> None:
    assert (compare_apk(older, newer), compare_apk(newer, older)) == (-1, 1)


def test_a_version_that_breaks_the_rules_is_compared_all_the_same() -> None:
    for manager in PackageManager:
        assert compare_versions(manager, "?!", "?!") == 0
        assert compare_versions(manager, "?!", "1") == -compare_versions(manager, "1", "?!")
