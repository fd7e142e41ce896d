"""Dynamic string tokens in run paths and names.

A raw string enters, its expansion leaves, or None when the element cannot be used. Mirrors
glibc ``is_dst`` and ``_dl_dst_substitute`` (elf/dl-load.c) and musl ``fixup_rpath``
(ldso/dynlink.c); ``loader.md`` sections 4.7, 4.12 and 7.3.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.patterns import pattern

# A token name ends where an identifier would: $ORIGINx is not $ORIGIN.
_GLIBC_TOKEN = pattern(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_MUSL_TOKEN = pattern(r"\$(?:ORIGIN|\{ORIGIN\})")


@dataclass(frozen=True, slots=True)
class TokenValues:
    """What the tokens stand for, for one object. An empty value cannot be expanded."""

    origin: str
    library: str
    platform: str


def has_token(text: str) -> bool:
    """Whether glibc would expand something in this text."""
    return "$" in text and _GLIBC_TOKEN.search(text) is not None


def expand(text: str, values: TokenValues) -> str | None:
    """Expand glibc's tokens; None when one of them has no value. Other dollars stay literal."""
    if "$" not in text:
        return text
    known = {"ORIGIN": values.origin, "LIB": values.library, "PLATFORM": values.platform}
    names = [match.group(1) or match.group(2) for match in _GLIBC_TOKEN.finditer(text)]
    if not all(known[name] for name in names):
        return None
    return _GLIBC_TOKEN.sub(lambda match: known[match.group(1) or match.group(2)], text)


def origin_is_first_component(text: str) -> bool:
    """Whether ``$ORIGIN`` is the whole first component: all that secure mode allows."""
    match = _GLIBC_TOKEN.match(text)
    return (
        match is not None and "ORIGIN" in match.group(0) and text[match.end() : match.end() + 1] in ("", "/")
    )


def expand_musl(text: str, origin: str) -> str | None:
    """Expand musl's only token in a whole run path; None when any other dollar occurs in it."""
    if "$" not in text:
        return text
    if "$" in _MUSL_TOKEN.sub("", text):
        return None
    return _MUSL_TOKEN.sub(lambda _: origin, text)
