"""A case: an image that broke for a user, what imagescan must say of it, and the healthy twin.

Values enter (``Case``), an ``Outcome`` leaves: which expected findings were given, which were missed,
what was said beyond them, and where a finding's text differs from what the case demands.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from imagescan.cli.main import run
from tests.cases.images import Image, write
from tests.cases.parts import Part

LOUD = ("error", "warning")


@dataclass(frozen=True)
class Find:
    """One expected finding. ``says`` is its runtime message, whole; ``fix``, ``words`` (in message, why
    and condition) and ``items`` must occur; ``blame`` is (what a layer did, how it was created)."""

    rule: str
    object: str
    says: str = ""
    severity: str = "error"
    tier: str = "startup"
    certainty: str = "certain"
    items: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    blame: tuple[tuple[str, str], ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class Run:
    """A real start of the image: ``command`` inside it, and a line of what it wrote when it failed (the
    errno of the kernel where the kernel refused it)."""

    command: tuple[str, ...]
    says: str = ""
    uid: int = 0
    code: int = 0  # of the sound image


@dataclass(frozen=True, eq=False)
class Case:
    """``name`` is what the user saw. ``broken`` or ``sound`` may have several platforms.

    ``notes`` are (rule, object) of findings below a warning that the broken image also gives. ``options``
    are given to the command line, and for each of ``adds`` an --add. ``wrong`` says what known defect
    keeps the product from the truth.
    """

    thread: str
    name: str
    broken: tuple[Image, ...] | Image = ()
    finds: tuple[Find, ...] = ()
    sound: tuple[Image, ...] | Image = ()
    notes: tuple[tuple[str, str], ...] = ()
    sound_notes: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    adds: tuple[tuple[Part, str], ...] = ()
    run: Run | None = None
    wrong: str = ""

    def __str__(self) -> str:
        return f"{self.thread}: {self.name}"

    def words(self) -> tuple[str, ...]:
        """The options of the command line."""
        added = (word for part, path in self.adds for word in ("--add", f"{part.made()}:{path}"))
        return (*self.options, *added)

    @property
    def folder(self) -> str:
        """A name for a directory of the case's own."""
        return re.sub(r"\W+", "-", str(self))[:100]

    @property
    def broken_images(self) -> tuple[Image, ...]:
        """The broken image of each platform."""
        return self.broken if isinstance(self.broken, tuple) else (self.broken,)

    @property
    def sound_images(self) -> tuple[Image, ...]:
        """The healthy twin of each platform."""
        return self.sound if isinstance(self.sound, tuple) else (self.sound,)


@dataclass(frozen=True)
class Outcome:
    """What came of one case. ``faults`` are sentences; a case holds when there is none."""

    expected: int
    found: int
    false_alarms: int
    faults: tuple[str, ...]

    @property
    def missed(self) -> int:
        """Expected findings at warning or above that were not given."""
        return self.expected - self.found


@dataclass(frozen=True)
class Scanned:
    """What the command line gave."""

    code: int
    findings: tuple[Mapping[str, Any], ...]
    incomplete: tuple[object, ...]
    stderr: str


def scan(layout: Path, options: Sequence[str] = ()) -> Scanned:
    """Scan a layout with the product's own command line, all its platforms."""
    stdout, stderr = io.StringIO(), io.StringIO()
    words = [f"oci:{layout}", "--platform=all", "-o", "json", *options]
    environment = {"XDG_CACHE_HOME": f"{layout.parent}/cache", "HOME": str(layout.parent)}
    code = run(words, environment, layout.parent, stdout, stderr)
    told = json.loads(stdout.getvalue()) if stdout.getvalue() else []
    documents = told if isinstance(told, list) else [told]
    findings = tuple(finding for document in documents for finding in document["findings"])
    incomplete = tuple(one for document in documents for one in document["incomplete"])
    return Scanned(code, findings, incomplete, stderr.getvalue())


def judge(case: Case, directory: Path) -> Outcome:
    """Build both images of a case below ``directory``, scan them, and compare."""
    faults: list[str] = []
    expected = found = alarms = 0
    if case.broken_images:
        scanned = scan(write(directory / "broken", *case.broken_images), case.words())
        wanted = 1 if any(find.severity == "error" for find in case.finds) else 0
        faults += _process_faults(scanned, wanted, "the broken image")
        given, said = _match(case.finds, scanned.findings)
        expected = sum(find.severity in LOUD for find in case.finds)
        found = sum(find.severity in LOUD and one is not None for find, one in given)
        alarms = sum(one["severity"] in LOUD for one in said)
        faults += _extra(said, case.notes, "the broken image")
        for find, one in given:
            faults += [f"not said: {find}"] if one is None else _differences(find, one)
    if case.sound_images:
        scanned = scan(write(directory / "sound", *case.sound_images), case.words())
        faults += _process_faults(scanned, 0, "the healthy image")
        alarms += sum(one["severity"] in LOUD for one in scanned.findings)
        faults += _extra(list(scanned.findings), case.sound_notes, "the healthy image")
    return Outcome(expected, found, alarms, tuple(faults))


def _process_faults(scanned: Scanned, code: int, what: str) -> list[str]:
    faults = [f"{what}: exit code {scanned.code}, not {code}"] if scanned.code != code else []
    faults += [f"{what}: not looked at: {one}" for one in scanned.incomplete]
    return faults + ([f"{what}: {scanned.stderr}"] if scanned.stderr else [])


def _key(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    return finding["rule"], finding["object"], finding["severity"]


def _match(
    finds: Sequence[Find], findings: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[Find, Mapping[str, Any] | None]], list[Mapping[str, Any]]]:
    """The finding that each expected one is (None: it is missed), and those that nobody expects."""
    left, given = list(findings), []
    for find in finds:
        wanted = (find.rule, find.object, find.severity)
        candidates = [one for one in left if _key(one) == wanted]
        chosen = min(candidates, key=lambda one: len(list(_differences(find, one))), default=None)
        if chosen is not None:
            left.remove(chosen)
        given.append((find, chosen))
    return given, left


def _extra(said: Sequence[Mapping[str, Any]], allowed: Sequence[tuple[str, str]], what: str) -> list[str]:
    """Findings beyond those expected, and notes that were expected and not given."""
    left = list(allowed)
    faults = []
    for one in said:
        if one["severity"] not in LOUD and (one["rule"], one["object"]) in left:
            left.remove((one["rule"], one["object"]))
        else:
            faults.append(f"{what} also gives {_key(one)}: {one['runtime_message'] or one['message']}")
    return faults + [f"{what} does not give the note {one}" for one in left]


def plain(text: str) -> str:
    """A message with its paths' slashes single: Debian's loader, told to look in other directories, has
    them filled up to the old lengths (``bases.red_hat``)."""
    return re.sub("/{2,}", "/", text)


def _differences(find: Find, one: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in (("tier", find.tier), ("certainty", find.certainty)):
        if one[key] != wanted:
            yield f"{find.rule}: {key} is {one[key]}, not {wanted}"
    if find.says and plain(one["runtime_message"]) != find.says:
        yield f"{find.rule} says {one['runtime_message']!r}, not {find.says!r}"
    text = " ".join((one["message"], one["why"], one["condition"]))
    places = (
        ("words", find.words, text),
        ("fix", find.fix, one["fix"]),
        ("owner", (find.owner,), one["owner"]),
    )
    for name, words, there in places:
        yield from (
            f"{find.rule}: {word!r} is not in {name}: {there!r}" for word in words if word not in there
        )
    for name in ("items", "requesters"):
        for wanted in getattr(find, name):
            if wanted not in one[name]:
                yield f"{find.rule}: {wanted!r} is not among {name} {one[name]}"
    told = [(blame["action"], blame["created_by"]) for blame in one["blame"]]
    yield from (
        f"{find.rule}: blame {wanted} is not among {told}" for wanted in find.blame if wanted not in told
    )


@cache
def outcome(case: Case, directory: Path) -> Outcome:
    """The same below a directory for all cases, judged once."""
    return judge(case, directory / case.folder)
