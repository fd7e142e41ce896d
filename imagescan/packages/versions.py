"""Which of two versions of a package is newer, by each package manager's own rules.

Two texts enter, -1, 0 or 1 leaves; no text is an error, because a version that breaks the rules
must not drop its package. Mirrors dpkg's ``dpkg_version_compare``, apk-tools'
``apk_version_compare`` and rpm's ``rpmVersionCompare`` with ``rpmvercmp``.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TypeVar

from imagescan.packages.values import PackageManager
from imagescan.patterns import pattern

_NUMBER = pattern(r"\d+", re.ASCII)
_RPM_SEGMENT = pattern(r"[0-9]+|[A-Za-z]+|~|\^")
_APK = pattern(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_[a-z]+\d*)*)"
    r"(?:~(?P<hash>[0-9a-f]+))?(?:-r(?P<revision>\d+))?",
    re.ASCII,
)
_APK_SUFFIXES = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}


def compare_versions(manager: PackageManager, one: str, other: str) -> int:
    """-1 when ``one`` is older, 1 when it is newer, 0 when neither."""
    compare = {
        PackageManager.DPKG: compare_dpkg,
        PackageManager.APK: compare_apk,
        PackageManager.RPM: compare_rpm,
    }
    return compare[manager](one, other)


_Comparable = TypeVar("_Comparable", str, int, tuple[int, str], list[int])


def _order(one: _Comparable, other: _Comparable) -> int:
    return (one > other) - (one < other)


def _integer(text: str) -> tuple[int, str]:
    """A decimal number as something that orders alike, however long it is."""
    digits = text.lstrip("0")
    return len(digits), digits


def compare_dpkg(one: str, other: str) -> int:
    """deb-version(7): epoch, upstream version, revision."""
    first, second = _split_debian(one), _split_debian(other)
    return (
        _order(_integer(first[0]), _integer(second[0]))
        or _compare_debian_part(first[1], second[1])
        or _compare_debian_part(first[2], second[2])
    )


def _split_debian(version: str) -> tuple[str, str, str]:
    epoch, separator, rest = version.partition(":")
    if not separator:
        epoch, rest = "0", version
    upstream, separator, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if separator else (epoch, rest, "")


def _compare_debian_part(one: str, other: str) -> int:
    """Non-digits by dpkg's order, then digits as numbers, and so on: a tilde before the end, letters
    before everything else."""
    parts = (_alternate(one), _alternate(other))
    for (text, number), (text_2, number_2) in zip_longest(*parts, fillvalue=("", "")):
        difference = _order(_weights(text), _weights(text_2)) or _order(_integer(number), _integer(number_2))
        if difference:
            return difference
    return 0


def _alternate(text: str) -> list[tuple[str, str]]:
    pairs, start = [], 0
    for match in _NUMBER.finditer(text):
        pairs.append((text[start : match.start()], match[0]))
        start = match.end()
    pairs.append((text[start:], ""))
    return pairs


def _weights(text: str) -> list[int]:
    weights = [
        -1 if char == "~" else ord(char) if char.isascii() and char.isalpha() else ord(char) + 256
        for char in text
    ]
    return [*weights, 0]


def compare_apk(one: str, other: str) -> int:
    """apk-package(5), "version": numbers, letter, suffixes, commit, revision. Texts that are no such
    versions are compared as texts."""
    first, second = _APK.fullmatch(one), _APK.fullmatch(other)
    if first is None or second is None:
        return _order(one, other)
    return (
        _compare_apk_numbers(first["numbers"], second["numbers"])
        or _order(first["letter"], second["letter"])
        or _compare_apk_suffixes(first["suffixes"], second["suffixes"])
        or _order(first["hash"] or "", second["hash"] or "")
        or _order(_integer(first["revision"] or "0"), _integer(second["revision"] or "0"))
        or _order(first["revision"] is not None, second["revision"] is not None)
    )


def _compare_apk_numbers(one: str, other: str) -> int:
    first, second = one.split("."), other.split(".")
    difference = _order(_integer(first[0]), _integer(second[0]))
    for left, right in zip(first[1:], second[1:], strict=False):
        # Behind the first dot a leading zero makes a number a decimal fraction.
        fraction = left.startswith("0") or right.startswith("0")
        difference = difference or (
            _order(left, right) if fraction else _order(_integer(left), _integer(right))
        )
    return difference or _order(len(first), len(second))


def _compare_apk_suffixes(one: str, other: str) -> int:
    split = re.compile(r"_([a-z]+)(\d*)", re.ASCII)
    for left, right in zip_longest(split.findall(one), split.findall(other), fillvalue=("", "")):
        # A text that is no suffix counts like none at all.
        difference = _order(_APK_SUFFIXES.get(left[0], 0), _APK_SUFFIXES.get(right[0], 0))
        difference = difference or _order(_integer(left[1]), _integer(right[1]))
        if difference:
            return difference
    return 0


def compare_rpm(one: str, other: str) -> int:
    """``[epoch:]version[-release]``; a release is compared only when both have one."""
    first, second = _split_rpm(one), _split_rpm(other)
    difference = _order(_integer(first[0]), _integer(second[0])) or _compare_rpm_part(first[1], second[1])
    if difference or not (first[2] and second[2]):
        return difference
    return _compare_rpm_part(first[2], second[2])


def _split_rpm(version: str) -> tuple[str, str, str]:
    epoch, separator, rest = version.partition(":")
    if not separator:
        epoch, rest = "0", version
    upstream, separator, release = rest.partition("-")
    return epoch, upstream, release if separator else ""


def _compare_rpm_part(one: str, other: str) -> int:
    if one == other:
        return 0
    for left, right in zip_longest(_RPM_SEGMENT.findall(one), _RPM_SEGMENT.findall(other), fillvalue=""):
        difference = _compare_rpm_segment(left, right)
        if difference:
            return difference
    return 0


def _compare_rpm_segment(left: str, right: str) -> int:
    """A tilde is before everything, a caret before all but the end; numbers are after letters."""
    if "~" in (left, right):
        return _order(right == "~", left == "~")
    if "^" in (left, right):
        if left == right:
            return 0
        return (1 if not right else -1) if left == "^" else (-1 if not left else 1)
    if not (left and right):
        return _order(bool(left), bool(right))
    if left.isdigit() and right.isdigit():
        return _order(_integer(left), _integer(right))
    if left.isdigit() != right.isdigit():
        return 1 if left.isdigit() else -1
    return _order(left, right)
