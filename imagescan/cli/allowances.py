"""What the user allows an image to have: the waivers and the baseline, and the reports parted by them.

Both are read before any image is, so that a mistake in them costs no scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagescan.dataclasses import dataclass
from imagescan.errors import UsageError

if TYPE_CHECKING:
    from imagescan.cli.context import Context
    from imagescan.findings import ScanReport
    from imagescan.rules.waivers import Waiver


@dataclass(frozen=True, slots=True)
class Allowances:
    """``baseline`` is None where the user named none, in ``baseline_file``."""

    waivers: tuple[Waiver, ...] = ()
    baseline: tuple[ScanReport, ...] | None = None
    baseline_file: str = ""

    def part(self, reports: Sequence[ScanReport]) -> tuple[ScanReport, ...]:
        """The reports of one run with their findings parted; waivers first, then the baseline."""
        parted = tuple(reports)
        if self.waivers:
            from datetime import UTC, datetime

            from imagescan.rules.waivers import waive

            parted = waive(parted, self.waivers, datetime.now(UTC).date())
        if self.baseline is not None:
            from imagescan.comparison import pass_known

            parted = tuple(pass_known(one, self.baseline, self.baseline_file) for one in parted)
        return parted


def read_allowances(context: Context, *, with_baseline: bool = True) -> Allowances:
    """Read the baseline and check the waivers against the rules in force.

    Raises:
        RuleError: a waiver names no rule, or a rule document is wrong.
        UsageError: the baseline cannot be read or is no report.
    """
    settings = context.settings
    waivers: tuple[Waiver, ...] = ()
    if settings.waivers:
        from imagescan.rules.catalogue import load_rules
        from imagescan.rules.waivers import with_rule_ids

        waivers = with_rule_ids(settings.waivers, load_rules(settings.rules))
    if settings.baseline is None or not with_baseline:
        return Allowances(waivers)
    return Allowances(waivers, read_report_file(settings.baseline), str(settings.baseline))


def read_report_file(file: Path) -> tuple[ScanReport, ...]:
    """The reports of a JSON file.

    Raises:
        UsageError: it cannot be read, is too large, or is no report of imagescan.
    """
    from imagescan.reports.json_reader import MAXIMUM_REPORT, read_reports

    try:
        with file.open("rb") as stream:
            data = stream.read(MAXIMUM_REPORT + 1)
    except OSError as error:
        raise UsageError(f"cannot read the report: {error.strerror or error}", where=str(file)) from error
    if len(data) > MAXIMUM_REPORT:
        raise UsageError(f"larger than {MAXIMUM_REPORT} bytes", where=str(file))
    return read_reports(data, str(file))
