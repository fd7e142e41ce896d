"""Symbols that nothing in a program's link map defines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Certainty, Tier, TrailLine
from imagescan.loader.missing_symbols import Binding, MissingSymbol
from imagescan.loader.values import How, LinkMap
from imagescan.rules.blame import blame_environment, blame_older, blame_present
from imagescan.rules.detectors.common import (
    built_for_another_libc,
    certainty_of,
    loaded_object,
    troubled_subjects,
    whole,
)
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.messages import symbol_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

VALUES = frozenset({"needed_by", "program", "libraries"})
MAXIMUM_SCOPE = 40  # objects of a scope that the trail names
_WHEN_CALLED = "when the program first calls it"


def missing_symbols(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Strong undefined symbols of programs; one cause is one object that asks for them.

    Parameter ``binding``: immediate (noticed at start) or lazy (at the first call). A plugin is
    judged in the programs that open it; one whose hosts are unknown is left alone, because the
    program that loads it may export what it asks for.
    """
    wanted = Binding(text(parameters, "binding"))
    providers: dict[str, tuple[str, ...]] = {}

    def concerned(found: ObjectFacts, linked: LinkMap) -> bool:
        hosted = found.tier is not Tier.PLUGIN or found.opened is not None
        absent = _absent(linked)
        return hosted and any(
            not _is_explained(library, absent) for library in linked.missing_symbols.libraries(wanted)
        )

    for found, linked in troubled_subjects(facts, concerned):
        link_map = whole(linked)
        requesters: dict[str, list[MissingSymbol]] = {}
        for symbol in _unexplained(link_map):
            if symbol.binding is wanted:
                requesters.setdefault(symbol.needed_by, []).append(symbol)
        for symbols in requesters.values():
            asking = symbols[0].needed_by
            if asking not in providers:
                providers[asking] = expected_in(link_map, symbols)
            observed = _observe(facts, found, link_map, symbols)
            blame = (*observed.blame, *_blame_providers(facts, link_map, symbols, providers[asking]))
            yield replace(observed, providers=providers[asking], blame=tuple(dict.fromkeys(blame)))


def _unexplained(link_map: LinkMap) -> Iterator[MissingSymbol]:
    """Symbols whose absence no missing library or version of the same link map explains.

    A library that lacks a version that is asked of it is too old: its missing symbols are the same cause.
    """
    absent = _absent(link_map)
    for missed in link_map.missing_symbols.objects:
        asking = loaded_object(link_map, missed.needed_by)
        if asking is not None and built_for_another_libc(link_map, asking):
            continue  # told by the rule for mixed builds
        yield from (symbol for symbol in missed if not _is_explained(symbol.library, absent))


def _absent(link_map: LinkMap) -> set[str]:
    """The libraries that are missing or too old."""
    absent = {library.needed for library in link_map.missing}
    return absent | {one.library for one in link_map.missing_versions if not one.weak}


def _is_explained(library: str, absent: set[str]) -> bool:
    """Whether a library that is absent would have had a symbol that was expected in some library ("": not
    known), or may have had."""
    return library in absent if library else bool(absent)


def expected_in(link_map: LinkMap, symbols: list[MissingSymbol]) -> tuple[str, ...]:
    """The loaded libraries that should have had these symbols, by path, the likeliest only.

    A versioned reference names its library. Of an unversioned one (musl) the name's first word tells:
    SSL_get0_group_name belongs where the requester finds most of its other SSL_ symbols.
    """
    named = {symbol.library for symbol in symbols if symbol.library}
    if named:
        return tuple(one.real for one in link_map.objects if one.path.rpartition("/")[2] in named)
    asking = next((one for one in link_map.objects if one.path == symbols[0].needed_by), None)
    table = asking.elf.symbols if asking else None
    if asking is None or table is None:
        return ()
    words = {_word(symbol.symbol.encode("utf-8", "surrogateescape")) for symbol in symbols} - {b""}
    wanted = {one.name for one in table.references() if _word(one.name) in words}
    found: Counter[str] = Counter()
    for one in link_map.objects:
        if one is not asking and one.elf.symbols is not None and wanted:
            found[one.real] = sum(symbol.name in wanted for symbol in one.elf.symbols.definitions())
    return tuple(path for path, count in found.most_common(1) if count)


def _word(symbol: bytes) -> bytes:
    """The first word of a symbol's name with its underscore; "" where a name has none."""
    word, separator, _ = symbol.partition(b"_")
    return word + separator if separator and len(word) > 1 else b""


def _observe(
    facts: ImageFacts, found: ObjectFacts, link_map: LinkMap, symbols: list[MissingSymbol]
) -> Observation:
    first = symbols[0]
    loaded = next((one for one in link_map.objects if one.path == first.needed_by), link_map.objects[0])
    lazy = first.binding is Binding.LAZY
    certainty, condition = (Certainty.LATENT, _WHEN_CALLED) if lazy else certainty_of(found)
    libraries = sorted({symbol.library for symbol in symbols if symbol.library}) or list(loaded.elf.needed)
    return Observation(
        cause=(loaded.real,),
        object=loaded.real,
        tier=found.tier,
        certainty=certainty,
        items=tuple(f"{one.symbol}@{one.version}" if one.version else one.symbol for one in symbols),
        related=(found.path,) if found.path != loaded.real else (),
        values={
            "needed_by": loaded.real,
            "program": found.opened.host if found.opened else found.path,
            "libraries": phrase(libraries, 6) or "no library",
        },
        runtime_message=symbol_missing(link_map, first),
        trail=_scope(link_map, first),
        blame=blame_present(facts, loaded.real),
        condition=condition,
    )


def _scope(link_map: LinkMap, symbol: MissingSymbol) -> tuple[TrailLine, ...]:
    """The objects in which the loader looks for a symbol, in its order (the global scope)."""
    name = f"{symbol.symbol}@{symbol.version}" if symbol.version else symbol.symbol
    lines = [
        TrailLine("global scope", one.path, f"does not define {name}")
        for one in link_map.objects[:MAXIMUM_SCOPE]
    ]
    hidden = len(link_map.objects) - len(lines)
    if hidden:
        lines.append(TrailLine("global scope", f"{hidden} more objects", f"do not define {name}"))
    return tuple(lines)


def _blame_providers(
    facts: ImageFacts, link_map: LinkMap, symbols: list[MissingSymbol], providers: tuple[str, ...]
) -> list[Blame]:
    """The layers of the libraries that should have had the symbols."""
    names = {symbol.symbol.encode("utf-8", "surrogateescape") for symbol in symbols}

    def defines_all(elf: ElfFacts) -> bool:
        return elf.symbols is not None and names <= {one.name for one in elf.symbols.definitions()}

    blame: list[Blame] = []
    for one in link_map.objects:
        if one.real in providers:
            blame += blame_older(facts, one.path, defines_all)
            if one.how is How.LIBRARY_PATH:
                blame += blame_environment(facts, "LD_LIBRARY_PATH")
    return blame


MISSING_SYMBOL = Detector("missing-symbol", missing_symbols, {"binding": str}, VALUES)
