"""The table of options: one row gives the flag, its environment variable and its key in the file."""

from __future__ import annotations

from enum import Enum

from imagescan.dataclasses import dataclass


class Kind(Enum):
    """What an option's value is."""

    TEXT = "text"
    LIST = "list"  # repeatable; in the environment separated by commas, in the file a list
    SWITCH = "switch"
    WORDS = "words"  # a command line: a JSON list or shell words; in the file also a list
    VARIABLES = "variables"  # repeatable NAME=value; in the environment as words, in the file also a mapping


@dataclass(frozen=True, slots=True)
class Option:
    """``choices`` are the words allowed, empty for any text. ``is_path``: a file or directory, in
    the configuration file relative to that file."""

    name: str
    kind: Kind
    help: str
    metavar: str = ""
    short: str = ""
    choices: tuple[str, ...] = ()
    in_file: bool = True
    is_path: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether each value that is given counts."""
        return self.kind in (Kind.LIST, Kind.VARIABLES)

    @property
    def key(self) -> str:
        """The name as a Python attribute."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that says the same."""
        return f"IMAGESCAN_{self.key.upper()}"


COMMANDS = frozenset({"scan", "tree", "why", "diff", "explain", "rules", "cache"})
FAIL_ON_CHOICES = ("error", "warning", "note", "never")
FORMATS = ("table", "json")

OPTIONS = (
    Option(
        "platform",
        Kind.TEXT,
        "which image of an index: this, or all of them (default: this machine's architecture)",
        "OS/ARCH[/VARIANT]|all",
    ),
    Option(
        "output",
        Kind.LIST,
        "table or json, to standard output or to a file; repeatable (default: table)",
        "FORMAT[=FILE]",
        "o",
    ),
    Option(
        "fail-on",
        Kind.TEXT,
        "lowest severity that fails the gate: error, warning, note, or never (default: error)",
        "SEVERITY",
        choices=FAIL_ON_CHOICES,
    ),
    Option("allow-incomplete", Kind.SWITCH, "pass although something could not be looked at"),
    Option(
        "baseline",
        Kind.TEXT,
        "JSON report of an earlier scan: only findings that are not in it, or worse, fail the gate",
        "REPORT",
        is_path=True,
    ),
    Option("show-waived", Kind.SWITCH, "list what the waivers of the configuration file keep from the gate"),
    Option("rules", Kind.LIST, "directory of own rule documents; repeatable", "DIR", is_path=True),
    Option("cpu", Kind.TEXT, "CPU level that the image must run on, such as x86-64-v2", "LEVEL"),
    Option("kernel", Kind.TEXT, "kernel that the image must run on, such as 5.10", "RELEASE"),
    Option("page-size", Kind.TEXT, "page size of that kernel: 4k, 16k or 64k", "SIZE"),
    Option(
        "add",
        Kind.LIST,
        "what if: put a local file or directory on top of the image; repeatable",
        "LOCAL:PATH",
    ),
    Option("rebase", Kind.TEXT, "what if: exchange the image's base for this image", "IMAGE"),
    Option(
        "base",
        Kind.TEXT,
        "with --rebase: what the image was built on (default: what it says of itself)",
        "IMAGE|LAYERS",
    ),
    Option(
        "entrypoint", Kind.WORDS, "start this in place of ENTRYPOINT and CMD (a pod's command)", "COMMAND"
    ),
    Option("cmd", Kind.WORDS, "arguments in place of CMD (a pod's args)", "COMMAND"),
    Option("env", Kind.VARIABLES, "set a variable, or remove NAME; repeatable", "NAME[=VALUE]"),
    Option("user", Kind.TEXT, "start as this user in place of USER", "USER[:GROUP]"),
    Option("workdir", Kind.TEXT, "start in this directory in place of WORKDIR", "DIR"),
    Option("insecure", Kind.SWITCH, "allow plain HTTP and unverified TLS to registries"),
    Option("closure", Kind.SWITCH, "tree: everything that would be loaded, not only direct needs"),
    Option("trail", Kind.SWITCH, "tree: each step of the search"),
    Option(
        "into",
        Kind.TEXT,
        "rules docs: directory to write the pages into (default: docs/rules)",
        "DIR",
        in_file=False,
        is_path=True,
    ),
    Option(
        "cache-dir",
        Kind.TEXT,
        "directory for what is known of layers and images (default: imagescan in XDG_CACHE_HOME or ~/.cache)",
        "DIR",
        is_path=True,
    ),
    Option("no-cache", Kind.SWITCH, "neither use nor change what earlier scans kept"),
    Option("cache-size", Kind.TEXT, "the cache's largest size on disk, such as 500M (default: 2G)", "SIZE"),
    Option("cache-days", Kind.TEXT, "days that something unused stays in the cache (default: 30)", "DAYS"),
    Option("quiet", Kind.SWITCH, "only the verdict", short="q"),
    Option("verbose", Kind.SWITCH, "the whole search, blame and every requester", short="v"),
    Option("no-progress", Kind.SWITCH, "no progress on standard error"),
    Option(
        "config",
        Kind.TEXT,
        "configuration file (default: .imagescan.yaml in the working directory)",
        "FILE",
        in_file=False,
    ),
)
