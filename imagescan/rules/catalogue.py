"""All rule documents and the data for advice: those that come with imagescan, and a user's own.

Folders of YAML files enter, ``RuleDocument`` values and a ``Knowledge`` leave. A folder can add and
override rules, its subfolder ``data`` adds to what is known; nothing in it is ever run. This is the
one place of the room that reads the host's files.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path  # the host's folders of rule files, never the image's
from types import MappingProxyType
from typing import TYPE_CHECKING

from imagescan.errors import RuleError
from imagescan.patterns import pattern
from imagescan.rules.detectors import DETECTORS
from imagescan.rules.document import EXAMPLES, RuleDocument, read_document
from imagescan.rules.knowledge import Knowledge, LibraryPackages, TableReader, read_knowledge, read_table
from imagescan.rules.prepared import FILE, PreparedDocuments, prepare
from imagescan.rules.yaml_reader import MAXIMUM_DOCUMENT, Parse, read_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

MAXIMUM_DOCUMENTS = 2000  # per folder
MAXIMUM_DEPTH = 4  # folders below the given one
MAXIMUM_TABLE = 4 * 1024 * 1024  # bytes of one library table; Debian's has 300 KiB
DATA = "data"  # the subfolder that holds no rules
_SUFFIXES = (".yaml", ".yml")
_TABLE_SUFFIX = ".libraries"
_NAME = pattern(r"[a-z0-9][a-z0-9._-]*")


def load_rules(directories: Iterable[Path] = (), *, with_examples: bool = True) -> tuple[RuleDocument, ...]:
    """The built-in rules with those of the folders added, a later folder winning; ordered by id.

    To judge by, the built-in ones need no examples: the tests have proven them.

    Raises:
        RuleError: a folder or document cannot be read, or two documents of one folder clash.
    """
    rules = {rule.id: rule for rule in builtin_rules(with_examples=with_examples)}
    for directory in directories:
        added = read_folder(directory)
        rules |= {rule.id: rule for rule in added}
    return tuple(rules[identifier] for identifier in sorted(rules))


@cache
def builtin_rules(*, with_examples: bool = True) -> tuple[RuleDocument, ...]:
    """The rules that come with imagescan: from the installed package, else from the checkout."""
    return read_folder(_builtin(), with_examples=with_examples, parse=_prepared().parse)


def _builtin() -> Traversable:
    here = Path(__file__).parent
    for folder in (here / "builtin", here.parents[1] / "rules"):
        if folder.is_dir():
            return folder
    from importlib.resources import files  # slow to import, and only a zip file needs it

    return files("imagescan.rules") / "builtin"


def load_knowledge(directories: Iterable[Path] = ()) -> Knowledge:
    """What comes with imagescan, joined with the ``data`` of each folder, a later folder winning.

    Raises:
        RuleError: a document cannot be read or is wrong.
    """
    knowledge = builtin_knowledge()
    for directory in directories:
        if (directory / DATA).is_dir():
            knowledge = knowledge.joined(read_data(directory / DATA))
    return knowledge


@cache
def builtin_knowledge() -> Knowledge:
    """What comes with imagescan."""
    return read_data(_builtin() / DATA, _prepared().parse)


@cache
def _prepared() -> PreparedDocuments:
    return PreparedDocuments(partial(_read_prepared, _builtin() / FILE))


def _read_prepared(file: Path | Traversable) -> str:
    return file.read_text("utf-8") if file.is_file() else ""


def prepared_builtin() -> tuple[Path | Traversable, str]:
    """Where the prepared file of the built-in documents is, and what is to be in it."""
    folder = _builtin()
    texts = ((name, _read(path, name)) for path, name in _documents(folder, "", MAXIMUM_DEPTH))
    is_data = f"{DATA}/"
    return folder / FILE, prepare(
        (text, None if name.startswith(is_data) else EXAMPLES) for name, text in texts
    )


def read_data(folder: Path | Traversable, parse: Parse = read_yaml) -> Knowledge:
    """Every document of one data folder; library tables (``ID/VERSION_ID.libraries``) are only listed.

    Raises:
        RuleError: see ``load_knowledge``.
    """
    knowledge = Knowledge()
    for path, name in _documents(folder, f"{DATA}/", 0):
        knowledge = knowledge.joined(read_knowledge(_read(path, name), name, parse))
    tables: dict[tuple[str, str], TableReader] = {}
    for child in folder.iterdir():
        for file in child.iterdir() if child.is_dir() and _NAME.fullmatch(child.name) else ():
            if file.name.endswith(_TABLE_SUFFIX) and len(tables) < MAXIMUM_DOCUMENTS:
                key = child.name, file.name.removesuffix(_TABLE_SUFFIX)
                tables[key] = cache(partial(_read_table, file, f"{DATA}/{child.name}/{file.name}"))
    return knowledge.joined(Knowledge(tables=MappingProxyType(tables)))


def _read_table(path: Path | Traversable, name: str) -> LibraryPackages:
    return read_table(_read(path, name, MAXIMUM_TABLE).splitlines(), name)


def find_rule(rules: Iterable[RuleDocument], name: str) -> RuleDocument | None:
    """The rule of this id or alias."""
    listed = tuple(rules)
    by_id = next((rule for rule in listed if rule.id == name), None)
    return by_id or next((rule for rule in listed if name in rule.aliases), None)


def read_folder(
    folder: Path | Traversable, *, with_examples: bool = True, parse: Parse = read_yaml
) -> tuple[RuleDocument, ...]:
    """Every document below one folder, ordered by id.

    Raises:
        RuleError: see ``load_rules``.
    """
    if not folder.is_dir():
        raise RuleError("no such folder of rules", where=str(folder))
    by_name = {detector.name: detector for detector in DETECTORS}
    rules: dict[str, RuleDocument] = {}
    for path, name in _documents(folder, "", MAXIMUM_DEPTH):
        if name.startswith(f"{DATA}/"):
            continue
        rule = read_document(_read(path, name), name, by_name, with_examples=with_examples, parse=parse)
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


def _read(path: Path | Traversable, name: str, limit: int = MAXIMUM_DOCUMENT) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RuleError(f"larger than {limit} bytes", where=name)
        return raw.decode("utf-8")
    except OSError as error:
        raise RuleError(f"cannot be read: {error.strerror}", where=name) from None
    except UnicodeDecodeError:
        raise RuleError("not UTF-8 text", where=name) from None
