"""Runs one command line to its exit code. Every error ends here as one line on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from imagescan.cli.context import Context, Scan, complaint
from imagescan.cli.plain_words import read_plainly
from imagescan.cli.settings import settle
from imagescan.errors import UsageError
from imagescan.gate import ExitCode
from imagescan.options import ScanOptions

if TYPE_CHECKING:
    from imagescan.cli.context import ScannedImage
    from imagescan.cli.unchanged import Recording

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_process(arguments: Sequence[str]) -> int:
    """Run with this process's environment and streams; returns the exit code.

    Raises:
        BrokenPipeError: the reader of standard output went away.
    """
    for stream in (sys.stdout, sys.stderr):
        # An old locale's encoding must not turn a report into an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        from imagescan.cli.unchanged import Recording

        recording = Recording(arguments, os.environ, sys.stdout, sys.stderr)
        out, errors = recording.stdout, recording.stderr
        return run(arguments, os.environ, Path(), out, errors, recording=recording)
    except KeyboardInterrupt:
        sys.stderr.write("imagescan: interrupted\n")
        return INTERRUPTED


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    stdout: TextIO,
    stderr: TextIO,
    scan: Scan | None = None,
    recording: Recording | None = None,
) -> int:
    """Run one command line; returns the exit code. ``scan`` stands in for ``imagescan.scan.scan``;
    ``recording`` keeps the output of a scan for the same question.

    Raises:
        BrokenPipeError, KeyboardInterrupt: the reader went away, the user had enough.
    """
    try:
        words = read_plainly(arguments) or _parse(arguments)
        settings = settle(vars(words), environment, directory)
        context = Context(
            settings,
            environment,
            directory,
            stdout,
            stderr,
            scan or _scan,
            words.config or environment.get("IMAGESCAN_CONFIG", ""),
            recording,
        )
        return int(_dispatch(context, words))
    except SystemExit as end:  # argparse leaves so after --help
        return int(end.code or 0)
    except BrokenPipeError:
        raise
    except Exception as error:
        stderr.write(complaint(error, environment))
        return int(ExitCode.NOT_JUDGED)


def _parse(arguments: Sequence[str]) -> Any:  # noqa: ANN401 - argparse.Namespace
    from imagescan.cli.arguments import parse

    return parse(arguments)


def _dispatch(context: Context, words: Any) -> ExitCode:  # noqa: ANN401 - argparse.Namespace
    if words.command == "scan":
        from imagescan.cli import scanning

        return scanning.run(context, words.images)
    if words.command in ("tree", "why"):
        return _show_links(context, words)
    if words.command == "diff":
        from imagescan.cli import diffing

        return diffing.diff(context, words.old, words.new)
    if words.command == "cache":
        from imagescan.cli import caching

        return caching.run(context, words.action)
    from imagescan.cli import ruling

    if words.command == "explain":
        return ruling.explain(context, words.rule)
    if words.action == "docs":
        return ruling.write_pages(context)
    return ruling.list_rules(context) if words.action == "list" else ruling.test_rules(context)


def _show_links(context: Context, words: Any) -> ExitCode:  # noqa: ANN401 - argparse.Namespace
    from imagescan.cli import linking

    try:
        if words.command == "tree":
            return linking.tree(context, words.image, words.program)
        return linking.why(context, words.image, words.object)
    except (UsageError, BrokenPipeError):  # not of the image
        raise
    except Exception as error:
        context.complain(error, words.image)
        return ExitCode.NOT_JUDGED


def _scan(image: str, options: ScanOptions) -> tuple[ScannedImage, ...]:
    from imagescan.scan import scan
    from imagescan.sources.select import is_local

    if not os.environ.get("IMAGESCAN_DEBUG"):
        import warnings

        warnings.simplefilter("ignore")
        if not all(map(is_local, filter(None, (image, options.rebase, options.base)))):
            import logging

            # Libraries that talk to registries and engines would write to standard error on their own.
            logging.disable(logging.CRITICAL)
    return scan(image, options)
