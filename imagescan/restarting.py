"""The report on an image whose files were judged when an image of the same files started in another way.

What starts the container changes what is found in files in one way only: what is started, or loaded by what
is, is graded as startup and not as a command. So where both starts go well, start commands, and no rule saw
anything at a file that only one of them grades so, the findings are the same. Only the new chain is followed;
all else is what was kept. None leaves where that cannot be said: then everything is judged.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from imagescan.cache.judgements import KeptJudgement
from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import FileEntry, RootFilesystem
from imagescan.findings import Counts, ScanReport, Tier
from imagescan.overrides import described
from imagescan.scripts import Script
from imagescan.startup.chain import healthcheck_chain, startup_chain, surroundings
from imagescan.startup.credentials import configured_user
from imagescan.startup.tiers import is_executable

if TYPE_CHECKING:
    from imagescan.facts import ImageFacts
    from imagescan.loader.closure_table import ClosureTable
    from imagescan.options import ScanOptions
    from imagescan.rules.document import RuleDocument
    from imagescan.sources.values import ImageConfig
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
    chain = _well_started((facts.startup, facts.healthcheck))
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
    return KeptJudgement(report, startup, commands, starts, loaded, tuple(sorted(observed)))


def judged_as(
    kept: KeptJudgement,
    config: ImageConfig,
    options: ScanOptions,
    filesystem: RootFilesystem,
) -> ScanReport | None:
    """The report on the subject of an image with the same files and this config.

    Args:
        kept: the judgement of its files.
        config: how it starts.
        options: the caller's wishes.
        filesystem: the files.
    """
    around = surroundings(config, filesystem, configured_user(config.user, filesystem))
    start = startup_chain(config, around)
    chain = _well_started((start, healthcheck_chain(config, around)))
    startup = None if chain is None else kept.started(chain)
    if chain is None or startup is None:
        return None
    if not frozenset(kept.observed).isdisjoint((startup ^ {*kept.startup}).union(chain)):
        return None
    return replace(
        kept.report,
        startup_command=start.arguments,
        startup_open_ends=start.open_ends,
        overrides=described(options),
        counts=_counts(kept.report.counts, len(startup), len(kept.commands) - len(startup)),
    )


def _well_started(chains: Sequence[StartupChain | None]) -> tuple[str, ...] | None:
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


def _counts(counts: Counts, startup: int, commands: int) -> Counts:
    changed = {Tier.STARTUP: startup, Tier.COMMAND: commands}
    return replace(
        counts, objects=tuple((tier, changed.get(tier, number)) for tier, number in counts.objects)
    )
