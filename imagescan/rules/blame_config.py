"""Which instruction of the Dockerfile said it: lines of the history that make no layer.

``ImageFacts`` and the name of an instruction enter, ``Blame`` values leave. OCI image specification,
config.md: ``history``.
"""

from __future__ import annotations

import re

from imagescan.facts import ImageFacts
from imagescan.findings import SET, Blame


def blame_instruction(facts: ImageFacts, instruction: str, word: str = "") -> tuple[Blame, ...]:
    """The last instruction of a kind (``ENTRYPOINT``, ``USER``), where it has ``word`` in it.

    () where the history does not say, or the value is not from it (an override). It makes no layer:
    ``layer_index`` is the layer below it (0 where there is none), and there is no ``layer_digest``.
    """
    if not facts.manifest.history_aligned:
        return ()
    pattern = re.compile(rf"(?:/bin/sh -c )?(?:#\(nop\)\s+)?{instruction}\s")
    layer = -1
    found: tuple[Blame, ...] = ()
    for line in facts.manifest.config.history:
        layer += not line.empty_layer
        if pattern.match(line.created_by):
            named = (Blame(max(layer, 0), "", line.created_by, SET, instruction),)
            found = named if word in line.created_by else ()
    return found


def blame_command(facts: ImageFacts, word: str) -> tuple[Blame, ...]:
    """The ENTRYPOINT or CMD that names a program."""
    return blame_instruction(facts, "ENTRYPOINT", word) or blame_instruction(facts, "CMD", word)
