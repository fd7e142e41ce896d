"""Stands for ``imagescan.scan`` where the question is what the command line makes of its answers."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagescan.cli.main import run
from imagescan.findings import Blame, ScanReport
from imagescan.links import LinkReport
from imagescan.options import ProgressEvent, ScanOptions, Stage
from tests.reports.examples import BROKEN, INCOMPLETE, LIBRARY_MISSING, LINKS, SOUND


@dataclass(frozen=True)
class Scanned:
    report: ScanReport
    links: LinkReport = LINKS
    evidence: tuple[tuple[str, str], ...] | None = None

    def history(self, path: str) -> tuple[Blame, ...]:
        return LIBRARY_MISSING.blame if path.endswith("libpq.so.5") else ()


ANSWERS: Mapping[str, tuple[Scanned, ...] | Exception] = {
    "broken": (Scanned(BROKEN),),
    "sound": (Scanned(SOUND),),
    "incomplete": (Scanned(INCOMPLETE),),
    "two-platforms": (Scanned(SOUND), Scanned(BROKEN)),
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Outcome:
    code: int
    stdout: str
    stderr: str
    options: list[ScanOptions] = field(default_factory=list)


def imagescan(
    *words: str,
    directory: Path = Path("/nonexistent"),
    environment: Mapping[str, str] | None = None,
    terminal: bool = False,
    answers: Mapping[str, tuple[Scanned, ...] | Exception] = ANSWERS,
) -> Outcome:
    seen: list[ScanOptions] = []

    def scan(image: str, options: ScanOptions) -> tuple[Scanned, ...]:
        seen.append(options)
        if options.on_progress:
            options.on_progress(ProgressEvent(image, Stage.LAYERS, 1, 2, 1_000_000, 3_000_000))
        answer = answers[image]
        if isinstance(answer, Exception):
            raise answer
        return answer

    stream = Terminal if terminal else io.StringIO
    stdout, stderr = stream(), stream()
    code = run(words, environment or {}, directory, stdout, stderr, scan)
    return Outcome(code, stdout.getvalue(), stderr.getvalue(), seen)
