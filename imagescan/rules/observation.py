"""What a detector saw: a fact with a cause, before any rule document gives it a severity."""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field
from imagescan.findings import Blame, Certainty, Tier, TrailLine


@dataclass(frozen=True, slots=True)
class Observation:
    """One object that suffers from one cause.

    ``cause`` is equal for all observations that are one finding, and stable across rebuilds of
    an image (names, never digests or layer numbers): the fingerprint is made of it. ``object`` is
    the path that suffers, ``related`` other paths that suffer with it: among them is the file that
    ``tier`` is of (``restarting`` counts on it). ``items`` are what is missing or wrong, ``values`` what
    the document's templates may name. ``providers`` are the paths of libraries that should have had what
    is missing.
    """

    cause: tuple[str, ...]
    object: str
    tier: Tier
    certainty: Certainty = Certainty.CERTAIN
    items: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    runtime_message: str = ""
    trail: tuple[TrailLine, ...] = ()
    blame: tuple[Blame, ...] = ()
    condition: str = ""
    providers: tuple[str, ...] = ()
