"""What to keep of a judgement, so that it can be taken for images of the same files that start otherwise.

What was judged enters, a ``KeptJudgement`` leaves, or None where it cannot tell of another start. See
``restarting`` for what is done with it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from imagescan.cache.judgements import KeptJudgement, PlainStarts
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import FileEntry
from imagescan.findings import ScanReport, Tier
from imagescan.scripts import Script
from imagescan.startup.chain import surroundings
from imagescan.startup.plain import plain_starts
from imagescan.startup.tiers import is_executable

if TYPE_CHECKING:
    from imagescan.facts import ImageFacts
    from imagescan.loader.closure_table import ClosureTable
    from imagescan.rules.document import RuleDocument
    from imagescan.startup.values import ChainStep, StartupChain

LONGEST_INTERPRETER = 100  # bytes; of longer ones there is something to say
_PROGRAMS = (ElfKind.PROGRAM, ElfKind.STATIC)
_LOADER_VARIABLES = "LD_"
_COMMAND = "{command}"  # how the text of a rule names what is started


def kept_judgement(
    facts: ImageFacts,
    closures: ClosureTable,
    report: ScanReport,
    observed: frozenset[str],
    rules: Iterable[RuleDocument],
) -> KeptJudgement | None:
    """What to keep of a judgement; None where it cannot tell of another start.

    Args:
        facts: what was judged.
        closures: what is loaded with each of its files.
        report: on its subject.
        observed: the paths of everything that any rule saw.
        rules: those that it was judged by.
    """
    chain = well_started((facts.startup, facts.healthcheck))
    found = {one.rule for one in report.findings}
    if (
        chain is None
        or facts.user.fault
        or not facts.dormant.isdisjoint(chain)
        or not observed.isdisjoint(chain)
        or any(name.startswith(_LOADER_VARIABLES) for name in facts.environment)
        or any(rule.id in found and _names_the_start(rule) for rule in rules)
    ):
        return None
    tiers = {one.path: one.tier for one in facts.objects} | {one.path: one.tier for one in facts.scripts}
    startup = tuple(path for path, tier in tiers.items() if tier is Tier.STARTUP)
    commands = tuple(path for path, tier in tiers.items() if tier in (Tier.STARTUP, Tier.COMMAND))
    starts, loaded = _rows(commands, closures)
    plain = _plain_starts(facts, {path: number for number, path in enumerate(commands)})
    return KeptJudgement(report, startup, commands, starts, loaded, tuple(sorted(observed)), plain)


def well_started(chains: Sequence[StartupChain | None]) -> tuple[str, ...] | None:
    """The files of chains that start something, and of which nothing is to be said."""
    steps = [step for chain in chains if chain for step in chain.steps]
    if not chains[0] or not chains[0].steps or not all(map(_goes_well, steps)):
        return None
    return tuple(dict.fromkeys(step.entry.path for step in steps if step.entry))


def _goes_well(step: ChainStep) -> bool:
    sound = step.fault is None and step.process is None and step.expected
    return sound and step.entry is not None and _is_sound_command(step.entry)


def _is_sound_command(entry: FileEntry) -> bool:
    content = entry.content
    if not is_executable(entry):
        return False
    if isinstance(content, ElfFacts):
        return content.kind in _PROGRAMS and not content.damage
    short = isinstance(content, Script) and len(content.interpreter.encode("utf-8", "surrogateescape"))
    return isinstance(content, Script) and content.fault is None and short < LONGEST_INTERPRETER


def _names_the_start(rule: RuleDocument) -> bool:
    return any(_COMMAND in text for text in (rule.message, rule.runtime_message, *rule.fix.values()))


def _rows(commands: Sequence[str], closures: ClosureTable) -> tuple[array[int], array[int]]:
    """For each command what is graded as startup with it (``startup.tiers``), by number; nothing where some
    of it is no command."""
    numbers = {path: number for number, path in enumerate(commands)}
    starts, loaded = array("I", [0]), array("I")
    for path in commands:
        loader = closures.loader_of(path)
        own = {path, *closures.objects(path)}
        if loader is not None and loader.path is not None:
            own.add(loader.path)
        if own <= numbers.keys():
            loaded.extend(sorted(map(numbers.__getitem__, own)))
        starts.append(len(loaded))
    return starts, loaded


def _plain_starts(facts: ImageFacts, numbers: Mapping[str, int]) -> PlainStarts:
    """The words that start a sound command and nothing further."""
    around = surroundings(facts.manifest.config, facts.filesystem, facts.user)
    programs = (one.entry for one in facts.objects if one.path in numbers and _is_sound_command(one.entry))
    chains = (one.chain for one in facts.scripts if one.chain and one.path in numbers)
    scripts = (chain for chain in chains if all(map(_goes_well, chain.steps)))
    rows = [
        (word, numbers[files[0]], numbers[files[-1]])
        for word, files in plain_starts(programs, scripts, around).items()
        if numbers.keys() >= set(files)
    ]
    words, first, last = zip(*rows, strict=True) if rows else ((), (), ())
    return PlainStarts(words, array("I", first), array("I", last))
