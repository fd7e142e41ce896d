"""What a wrong word was meant to be."""

from __future__ import annotations

from collections.abc import Sequence


def suggestion(word: str, known: Sequence[str], otherwise: str = "see imagescan --help") -> str:
    """Advice that names the known word nearest to a wrong one, if one is near."""
    import difflib

    near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else otherwise
