"""Where the cache is and how large it may grow, by the user's settings and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imagescan.errors import UsageError
from imagescan.options import MAXIMUM_CACHE_BYTES, MAXIMUM_CACHE_DAYS, CacheOptions
from imagescan.patterns import pattern

if TYPE_CHECKING:
    from imagescan.cli.settings import Settings

_SIZE = pattern(r"(\d{1,9})\s*(?:([KMGT])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)
_DAYS = pattern(r"\d{1,5}", re.ASCII)


def cache_options(settings: Settings, environment: Mapping[str, str]) -> CacheOptions | None:
    """None where the user wants no cache, or where there is no place for one.

    Raises:
        UsageError: a size or a number of days that is none.
    """
    directory = settings.cache_dir or default_directory(environment)
    maximum_bytes, maximum_days = _size(settings.cache_size), _days(settings.cache_days)
    if settings.no_cache or directory is None:
        return None
    return CacheOptions(directory, maximum_bytes, maximum_days)


def default_directory(environment: Mapping[str, str]) -> Path | None:
    """``imagescan`` in the user's directory for caches (XDG base directory specification)."""
    base, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if base.startswith("/"):
        return Path(base, "imagescan")
    return Path(home, ".cache", "imagescan") if home.startswith("/") else None


def _size(text: str) -> int:
    if not text:
        return MAXIMUM_CACHE_BYTES
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a size: {text[:40]!r}", where="--cache-size", advice="say 500M or 2G")
    return int(match[1]) << 10 * " KMGT".index((match[2] or " ").upper())


def _days(text: str) -> int:
    if not text:
        return MAXIMUM_CACHE_DAYS
    if not _DAYS.fullmatch(text):
        raise UsageError(f"not a number of days: {text[:40]!r}", where="--cache-days", advice="say 30")
    return int(text)
