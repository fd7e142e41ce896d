"""The words of the command line, read with argparse: nothing is decided here.

Every option that is not given stays absent, so that ``settings`` can ask the environment and the
configuration file. ``imagescan IMAGE`` is ``imagescan scan IMAGE``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from imagescan.cli.options import COMMANDS, OPTIONS, Kind, Option
from imagescan.cli.suggestion import suggestion
from imagescan.errors import UsageError

_DESCRIPTION = "Will everything in this container image start? Reads the image, runs nothing."
_EPILOG = """\
commands (a first word that is none of them is an IMAGE to scan):
  imagescan IMAGE...              judge images
  imagescan tree IMAGE [PROGRAM]  the link map as a tree, with how each object was found
  imagescan why IMAGE OBJECT      who needs it, where it was looked for, which layer did what to it
  imagescan diff OLD NEW          what a new image breaks or mends; also of two JSON reports
  imagescan explain RULE          what a rule means and how to mend its findings
  imagescan rules list|test|docs  the rules in force; prove each by its examples; write their pages
  imagescan cache info|prune|clear  what earlier scans keep on disk; make it smaller, or empty

IMAGE: name[:tag][@digest] (engine, then registry), docker:NAME, podman:NAME, registry:NAME,
oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE[:NAME], dir:ROOT, or an existing path.

exit codes: 0 passed; 1 findings at or above --fail-on; 2 not judged (wrong usage, image not
readable, or something could not be looked at).

Each option may be set by IMAGESCAN_NAME (IMAGESCAN_FAIL_ON=warning) or in .imagescan.yaml
(fail-on: warning). Option > environment > file > default.
"""
_POSITIONALS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "scan": (("images", "IMAGE", "+"),),
    "tree": (("image", "IMAGE", ""), ("program", "PROGRAM", "?")),
    "why": (("image", "IMAGE", ""), ("object", "OBJECT", "")),
    "diff": (("old", "OLD", ""), ("new", "NEW", "")),
    "explain": (("rule", "RULE", ""),),
    "rules": (("action", "list|test|docs", ""),),
    "cache": (("action", "info|prune|clear", ""),),
}
ACTIONS = {"rules": ("list", "test", "docs"), "cache": ("info", "prune", "clear")}


# argparse makes a formatter for each option that it is given, and one without a width asks the terminal.
_UNSHOWN: Any = partial(argparse.RawDescriptionHelpFormatter, width=80)


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving, and guesses what a wrong word was meant to be."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, advice=f"see {self.prog} --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the words. The namespace has ``command``, its positionals, and the options given.

    Raises:
        UsageError: an unknown option (with the nearest known one), a missing or surplus word.
        SystemExit: after ``--help`` or ``--version`` was shown.
    """
    command = _command(arguments)
    words = list(arguments)
    if command is None:
        command = "scan"
    else:
        words.remove(command)
    parser = _parser(command)
    if not any(map(_may_ask_for_help, words)):
        parser.usage = ""  # else it is laid out for errors, and ours do not show it
    namespace, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        raise _unknown(unknown[0], command)
    namespace.command = command
    actions = ACTIONS.get(command, ())
    if actions and namespace.action not in actions:
        advice = f"say {', '.join(actions[:-1])} or {actions[-1]}"
        raise UsageError(f"{command} knows no {namespace.action!r}", advice=advice)
    return namespace


def _may_ask_for_help(word: str) -> bool:
    return word == "--help" or (word.startswith("-") and not word.startswith("--") and "h" in word)


def _command(arguments: Sequence[str]) -> str | None:
    """The command, if the first word that is no option nor an option's value is one."""
    if COMMANDS.isdisjoint(arguments):
        return None
    common = _Parser(prog="imagescan", add_help=False, allow_abbrev=False, formatter_class=_UNSHOWN)
    _add_options(common, OPTIONS)
    _, rest = common.parse_known_args(arguments)
    return rest[0] if rest and rest[0] in COMMANDS else None


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="imagescan" if command == "scan" else f"imagescan {command}",
        description=_DESCRIPTION if command == "scan" else None,
        epilog=_EPILOG if command == "scan" else None,
        formatter_class=_UNSHOWN,
        allow_abbrev=False,
    )
    for name, shown, count in _POSITIONALS[command]:
        if count:
            parser.add_argument(name, metavar=shown, nargs=count)
        else:
            parser.add_argument(name, metavar=shown)
    from imagescan import __version__

    parser.add_argument("-V", "--version", action="version", version=f"imagescan {__version__}")
    _add_options(parser, OPTIONS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    for option in options:
        names = [f"-{option.short}", f"--{option.name}"] if option.short else [f"--{option.name}"]
        if option.kind is Kind.SWITCH:
            parser.add_argument(*names, dest=option.key, action="store_const", const=True, help=option.help)
        elif option.is_repeatable:
            parser.add_argument(
                *names, dest=option.key, action="append", metavar=option.metavar, help=option.help
            )
        else:
            parser.add_argument(*names, dest=option.key, metavar=option.metavar, help=option.help)


def _unknown(word: str, command: str) -> UsageError:
    if not word.startswith("-"):
        return UsageError(f"one word too many: {word!r}", advice=f"see imagescan {command} --help")
    known = [f"--{option.name}" for option in OPTIONS] + ["--help", "--version"]
    return UsageError(f"unknown option {word.partition('=')[0]}", advice=suggestion(word, known))
