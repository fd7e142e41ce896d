"""What every command is handed: settings, the two streams, and the function that scans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from imagescan.cli.cache_wishes import cache_options
from imagescan.cli.settings import Settings
from imagescan.dataclasses import dataclass
from imagescan.errors import ImageScanError, UsageError
from imagescan.options import Message, ScanOptions
from imagescan.reports.visible import visible

if TYPE_CHECKING:
    from imagescan.cli.unchanged import Recording
    from imagescan.findings import Blame, Remark, ScanReport
    from imagescan.links import LinkReport
    from imagescan.reports.layout import Terminal

FILE_WIDTH = 100  # columns of a table that goes to a file


class ScannedImage(Protocol):
    """What ``imagescan.scan`` returns for each platform."""

    @property
    def report(self) -> ScanReport:
        """Findings and counts."""
        ...

    @property
    def evidence(self) -> tuple[tuple[str, str], ...] | None:
        """The files of the host that name the image; None where the report is not known to hold."""
        ...

    @property
    def links(self) -> LinkReport:
        """The link map of every ELF file, worked out when first asked for."""
        ...

    def history(self, path: str) -> tuple[Blame, ...]:
        """What each layer did to a path of the image, lowest layer first; empty if none did."""
        ...


Scan = Callable[[str, ScanOptions], "tuple[ScannedImage, ...]"]


@dataclass(frozen=True, slots=True)
class Context:
    """``environment`` and ``directory`` are the process's, or a test's. ``configuration`` is the name of the
    configuration file, "" for the default; ``recording`` None where no output is to be kept."""

    settings: Settings
    environment: Mapping[str, str]
    directory: Path
    stdout: TextIO
    stderr: TextIO
    scan: Scan
    configuration: str = ""
    recording: Recording | None = None

    def terminal(self, stream: TextIO | None) -> Terminal:
        """How to write for a stream (None: a file): its width, and whether colours are wanted."""
        from imagescan.reports.layout import Terminal

        if stream is None:
            return Terminal(FILE_WIDTH, colour=False)
        return Terminal(width(self.environment, stream), colour=wants_colour(self.environment, stream))

    def say(self, text: str) -> None:
        """Write a result to standard output.

        Raises:
            UsageError: it takes no more, such as a full disk.
            BrokenPipeError: its reader went away.
        """
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"cannot write to standard output: {error.strerror or error}") from error

    def complain(self, error: BaseException, image: str) -> None:
        """One line on standard error that names the image; for what is no ``ImageScanError``, a word
        that it is a bug."""
        self.stderr.write(complaint(error, self.environment, image))

    def remark(self, remarks: Iterable[Remark]) -> None:
        """Each remark once, one line on standard error, unless the user wants only the verdict."""
        if not self.settings.quiet:
            texts = dict.fromkeys(f"{remark.where}: {remark.message}" for remark in remarks)
            self.stderr.write("".join(f"imagescan: remark: {visible(text)}\n" for text in texts))

    def scan_options(self) -> ScanOptions:
        """The settings as ``imagescan.scan`` takes them."""
        settings = self.settings
        return ScanOptions(
            platform=settings.platform,
            rules_directories=settings.rules,
            insecure=settings.insecure,
            cpu=settings.cpu,
            kernel=settings.kernel,
            page_size=settings.page_size,
            added=settings.add,
            rebase=settings.rebase,
            base=settings.base,
            user=settings.user,
            entrypoint=settings.entrypoint,
            command=settings.cmd,
            variables=settings.env,
            working_directory=settings.workdir,
            cache=cache_options(settings, self.environment),
            on_message=self.note,
        )

    def note(self, message: Message) -> None:
        """Something besides the report: a warning unless only the verdict is wanted, details with -v."""
        settings = self.settings
        if settings.verbose or not (message.detail or settings.quiet):
            word = "" if message.detail else "warning: "
            self.stderr.write(f"imagescan: {word}{visible(message.text)}\n")


def complaint(error: BaseException, environment: Mapping[str, str], image: str = "") -> str:
    """What standard error says of an error; with IMAGESCAN_DEBUG=1 its traceback before it."""
    debug = environment.get("IMAGESCAN_DEBUG", "") not in ("", "0")
    details = _traceback(error) if debug else ""
    known = isinstance(error, ImageScanError)
    text = str(error) if known else f"{type(error).__name__}: {str(error)[:500]}"
    if image and not _names(text, image):
        text = f"{image}: {text}"
    hint = "" if debug else "; set IMAGESCAN_DEBUG=1 for details"
    bug = "" if known else f" (this is a bug in imagescan{hint})"
    return f"{details}imagescan: error: {visible(text)}{bug}\n"


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    return "".join(format_exception(error))


def _names(text: str, image: str) -> bool:
    """Whether a message names the image already: as the user did, or without transport or tag."""
    without_transport = image.partition(":")[2] or image
    return any(
        name in text for name in (image, without_transport, without_transport.rpartition(":")[0]) if name
    )


def wants_colour(environment: Mapping[str, str], stream: TextIO) -> bool:
    """NO_COLOR wins over FORCE_COLOR, both over what the stream is."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


def width(environment: Mapping[str, str], stream: TextIO) -> int:
    """Columns: COLUMNS, else the terminal's, else 80."""
    columns = environment.get("COLUMNS", "")
    if columns.isdecimal() and 0 < int(columns) < 10_000:
        return int(columns)
    if not stream.isatty():
        return 80
    from shutil import get_terminal_size

    return get_terminal_size().columns


def write_file(path: Path, text: str) -> None:
    """Write a report.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror or error}", where=str(path)) from error
