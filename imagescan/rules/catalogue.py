"""All rule documents: those that come with imagescan, and a user's own.

Folders of YAML files enter, ``RuleDocument`` values leave. A folder can add and override rules;
nothing in it is ever run. This is the one place of the room that reads the host's files.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path  # the host's folders of rule files, never the image's

from imagescan.errors import RuleError
from imagescan.rules.detectors import DETECTORS
from imagescan.rules.document import RuleDocument, read_document
from imagescan.rules.yaml_reader import MAXIMUM_DOCUMENT

MAXIMUM_DOCUMENTS = 2000  # per folder
MAXIMUM_DEPTH = 4  # folders below the given one
_SUFFIXES = (".yaml", ".yml")


def load_rules(directories: Iterable[Path] = ()) -> tuple[RuleDocument, ...]:
    """The built-in rules with those of the folders added, a later folder winning; ordered by id.

    Raises:
        RuleError: a folder or document cannot be read, or two documents of one folder clash.
    """
    rules = {rule.id: rule for rule in builtin_rules()}
    for directory in directories:
        added = read_folder(directory)
        rules |= {rule.id: rule for rule in added}
    return tuple(rules[identifier] for identifier in sorted(rules))


def builtin_rules() -> tuple[RuleDocument, ...]:
    """The rules that come with imagescan: from the installed package, else from the checkout."""
    packaged = files("imagescan.rules") / "builtin"
    checkout = files("imagescan") / ".." / "rules"
    return read_folder(packaged if packaged.is_dir() else checkout)


def find_rule(rules: Iterable[RuleDocument], name: str) -> RuleDocument | None:
    """The rule of this id or alias."""
    listed = tuple(rules)
    by_id = next((rule for rule in listed if rule.id == name), None)
    return by_id or next((rule for rule in listed if name in rule.aliases), None)


def read_folder(folder: Path | Traversable) -> tuple[RuleDocument, ...]:
    """Every document below one folder, ordered by id.

    Raises:
        RuleError: see ``load_rules``.
    """
    if not folder.is_dir():
        raise RuleError("no such folder of rules", where=str(folder))
    by_name = {detector.name: detector for detector in DETECTORS}
    rules: dict[str, RuleDocument] = {}
    for path, name in _documents(folder, "", MAXIMUM_DEPTH):
        rule = read_document(_read(path, name), name, by_name)
        if rule.id in rules:
            raise RuleError(
                f"the rule {rule.id} is already in {rules[rule.id].source}",
                where=name,
                advice="keep one of the two documents",
            )
        rules[rule.id] = rule
    return tuple(rules[identifier] for identifier in sorted(rules))


def _documents(folder: Path | Traversable, prefix: str, depth: int) -> list[tuple[Path | Traversable, str]]:
    found: list[tuple[Path | Traversable, str]] = []
    try:
        children = sorted(folder.iterdir(), key=lambda child: child.name)
    except OSError as error:
        raise RuleError(f"cannot list the folder: {error.strerror}", where=str(folder)) from None
    for child in children:
        name = f"{prefix}{child.name}"
        if child.is_dir() and depth and not child.name.startswith("."):
            found += _documents(child, f"{name}/", depth - 1)
        elif child.name.endswith(_SUFFIXES) and child.is_file():
            found.append((child, name))
    if len(found) > MAXIMUM_DOCUMENTS:
        raise RuleError(f"more than {MAXIMUM_DOCUMENTS} rule documents", where=str(folder))
    return found


def _read(path: Path | Traversable, name: str) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAXIMUM_DOCUMENT + 1)
        return raw.decode("utf-8")
    except OSError as error:
        raise RuleError(f"cannot be read: {error.strerror}", where=name) from None
    except UnicodeDecodeError:
        raise RuleError("not UTF-8 text", where=name) from None
