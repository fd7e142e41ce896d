"""The report on an image whose files were judged when an image of the same files started in another way.

What starts the container changes what is found in files in one way only: what is started, or loaded by what
is, is graded as startup and not as a command. So where both starts go well, start commands, and no rule saw
anything at a file that only one of them grades so, the findings are the same. Only the new chain is followed;
all else is what was kept. None leaves where that cannot be said: then everything is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from imagescan.dataclasses import replace
from imagescan.findings import Counts, ScanReport, Tier
from imagescan.overrides import described

if TYPE_CHECKING:
    from imagescan.cache.judgements import KeptJudgement
    from imagescan.filesystem.values import RootFilesystem
    from imagescan.options import ScanOptions
    from imagescan.sources.values import ImageConfig


def judged_plainly(kept: KeptJudgement, config: ImageConfig, options: ScanOptions) -> ScanReport | None:
    """``judged_as`` without the files, for a start that is known not to depend on any words but the first."""
    arguments = (*(config.entrypoint or ()), *(config.cmd or ()))
    chain = kept.plain.chain(arguments[0]) if arguments and not config.healthcheck else None
    if chain is None:
        return None
    report = _started(kept, options, tuple(map(kept.commands.__getitem__, chain)))
    return report and replace(report, startup_command=arguments, startup_open_ends=())


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
    from imagescan.remembering import well_started
    from imagescan.startup.chain import healthcheck_chain, startup_chain, surroundings
    from imagescan.startup.credentials import configured_user

    around = surroundings(config, filesystem, configured_user(config.user, filesystem))
    start = startup_chain(config, around)
    chain = well_started((start, healthcheck_chain(config, around)))
    report = None if chain is None else _started(kept, options, chain)
    return report and replace(report, startup_command=start.arguments, startup_open_ends=start.open_ends)


def _started(kept: KeptJudgement, options: ScanOptions, chain: Iterable[str]) -> ScanReport | None:
    """The kept report where these files are started."""
    startup = kept.started(chain)
    if startup is None or not frozenset(kept.observed).isdisjoint((startup ^ {*kept.startup}).union(chain)):
        return None
    return replace(
        kept.report,
        overrides=described(options),
        counts=_counts(kept.report.counts, len(startup), len(kept.commands) - len(startup)),
    )


def _counts(counts: Counts, startup: int, commands: int) -> Counts:
    changed = {Tier.STARTUP: startup, Tier.COMMAND: commands}
    return replace(
        counts, objects=tuple((tier, changed.get(tier, number)) for tier, number in counts.objects)
    )
