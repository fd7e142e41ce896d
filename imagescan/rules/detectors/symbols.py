"""Symbols that nothing in a program's link map defines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Certainty, Tier
from imagescan.loader.values import Binding, LinkMap, MissingSymbol
from imagescan.rules.blame import blame_present
from imagescan.rules.detectors.common import certainty_of, linked_subjects
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.messages import symbol_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

VALUES = frozenset({"needed_by", "program", "libraries"})
_WHEN_CALLED = "when the program first calls it"


def missing_symbols(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Strong undefined symbols of programs; one cause is one object that asks for them.

    Parameter ``binding``: immediate (noticed at start) or lazy (at the first call). A plugin is
    judged in the programs that open it; one whose hosts are unknown is left alone, because the
    program that loads it may export what it asks for.
    """
    wanted = Binding(text(parameters, "binding"))
    for found, link_map in linked_subjects(facts):
        if found.tier is Tier.PLUGIN and found.opened is None:
            continue
        requesters: dict[str, list[MissingSymbol]] = {}
        for symbol in _unexplained(link_map):
            if symbol.binding is wanted:
                requesters.setdefault(symbol.needed_by, []).append(symbol)
        for symbols in requesters.values():
            yield _observe(facts, found, link_map, symbols)


def _unexplained(link_map: LinkMap) -> Iterator[MissingSymbol]:
    """Symbols whose absence no missing library or version of the same link map explains."""
    absent = {resolution.needed for resolution in link_map.missing}
    versions = {(one.library, one.version) for one in link_map.missing_versions}
    for symbol in link_map.missing_symbols:
        explained = symbol.library in absent if symbol.library else bool(absent)
        if not explained and (symbol.library, symbol.version) not in versions:
            yield symbol


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
        blame=blame_present(facts, loaded.real),
        condition=condition,
    )


MISSING_SYMBOL = Detector("missing-symbol", missing_symbols, {"binding": str}, VALUES)
