"""Silence is not deafness: what a layer takes from a healthy image is found, with tier, severity and blame.

One image: the servers of ``test_servers`` with layers on top, each of which breaks one thing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from samples.oci import Entry, File, Whiteout
from tests.oracle.cache import cache_directory, locked, publish
from tests.silence.breaks import BREAKS
from tests.silence.images import SERVERS, root
from tests.silence.layouts import Layer, write_layout
from tests.silence.scans import Judged, scan

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
RECIPE = 1  # raise it when what is made of the cases changes
LIBRARIES = "usr/lib/x86_64-linux-gnu"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 839320\n"


@dataclass(frozen=True)
class Case:
    """What one layer takes away (``gone``) or replaces, and the finding that must come of it."""

    gone: tuple[str, ...]
    rule: str
    object: str
    severity: str
    tier: str
    item: str
    message: str
    action: str = "removed"

    @property
    def instruction(self) -> str:
        """What made the layer."""
        return f"RUN rm /{' /'.join(self.gone)}" if self.action == "removed" else f"COPY . /{self.gone[0]}"

    def entries(self) -> dict[str, Entry]:
        """The layer's members."""
        if self.action == "removed":
            return {path: Whiteout() for path in self.gone}
        return {path: File(POINTER) for path in self.gone}


def library(name: str, file: str, needed_by: str, severity: str, tier: str) -> Case:
    """A shared library with the link that the loader follows."""
    message = f"{name}: cannot open shared object file: No such file or directory"
    gone = tuple(f"{LIBRARIES}/{one}" for one in dict.fromkeys((name, file)))
    return Case(gone, "loader/library-missing", needed_by, severity, tier, name, message)


CASES = (
    library("libpcre2-8.so.0", "libpcre2-8.so.0.11.2", "/usr/sbin/nginx", "error", "startup"),
    library("libwrap.so.0", "libwrap.so.0.7.6", "/usr/sbin/sshd", "warning", "command"),
    library(
        "libicui18n.so.72", "libicui18n.so.72.1", "/usr/lib/postgresql/15/bin/postgres", "warning", "command"
    ),
    library("libgd.so.3", "libgd.so.3.0.11", "/usr/lib/php/20220829/gd.so", "warning", "plugin"),
    library(
        "libexslt.so.0",
        "libexslt.so.0.8.20",
        "/usr/lib/python3/dist-packages/lxml/etree.cpython-311-x86_64-linux-gnu.so",
        "warning",
        "plugin",
    ),
    Case(
        (f"{LIBRARIES}/libjemalloc.so.2",),
        "loader/library-unusable",
        "/usr/bin/redis-check-aof",
        "warning",
        "command",
        "libjemalloc.so.2",
        "invalid ELF header",
        "replaced",
    ),
)


@cache
def broken() -> Judged:
    key = hashlib.sha256(f"{RECIPE} {SERVERS.key} {CASES!r}".encode()).hexdigest()[:12]
    layout = cache_directory() / "silence" / f"broken-{key}"
    if not layout.exists():
        with locked(layout.with_name(f"{layout.name}.making")):
            if not layout.exists():
                with publish(layout) as unfinished:
                    layers = [Layer(case.instruction, case.entries()) for case in CASES]
                    config = {
                        "Entrypoint": ["nginx", "-g", "daemon off;"],
                        "Env": ["PATH=/usr/sbin:/usr/bin"],
                    }
                    write_layout(unfinished, root("servers"), layers, config)
    return scan(f"oci:{layout}", waived=[one for one in BREAKS if one.image == "servers"])


def found(case: Case) -> dict[str, Any]:
    (finding,) = (
        one
        for one in broken().report["findings"]
        if one["rule"] == case.rule and case.item in one["items"] and case.object in one["requesters"]
    )
    return finding


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.item)
def test_what_a_layer_breaks_is_found_for_whom_it_breaks(case: Case) -> None:
    finding = found(case)
    assert (finding["severity"], finding["tier"]) == (case.severity, case.tier)
    assert case.message in finding["runtime_message"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.item)
def test_the_layer_that_broke_it_is_named_with_its_instruction(case: Case) -> None:
    blame = found(case)["blame"][-1]
    assert blame["layer_index"] == 1 + CASES.index(case)
    assert (blame["action"], blame["created_by"]) == (case.action, case.instruction)


def test_the_gate_fails_and_tells_nothing_else() -> None:
    outcome = broken()
    assert outcome.code == 1
    assert outcome.report["remarks"] == []
    causes = {
        item for one in outcome.report["findings"] if one["severity"] != "note" for item in one["items"]
    }
    assert causes == {case.item for case in CASES}
