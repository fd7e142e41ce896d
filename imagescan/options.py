"""What a caller asks of a scan, as one frozen value; and what a scan tells while it runs.

The command line, and later the webhook and the sweep, make these; ``imagescan.scan`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from imagescan.dataclasses import dataclass

MAXIMUM_CACHE_BYTES = 2 << 30
MAXIMUM_CACHE_DAYS = 30


class Stage(StrEnum):
    """What a scan is doing."""

    FETCHING = "fetching"  # asking the source for the manifest and config
    LAYERS = "layers"  # reading layers
    JUDGING = "judging"  # link maps and rules


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a scan is. ``bytes_done`` and ``bytes_total`` count bytes of layers as stored over
    the whole image; ``bytes_total`` is 0 where the source does not know the sizes."""

    image: str
    stage: Stage
    layers_done: int = 0
    layers_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a user may want to know besides the report: a warning, or a ``detail``."""

    text: str
    detail: bool


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where earlier results are kept, how many bytes of them, and for how many days without use."""

    directory: Path
    maximum_bytes: int = MAXIMUM_CACHE_BYTES
    maximum_days: int = MAXIMUM_CACHE_DAYS


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The wishes of a caller; every default is what a plain ``imagescan IMAGE`` does.

    ``platform`` is ``OS/ARCH[/VARIANT]``, ``all``, or None for the host's. ``rules_directories``
    add or override rules, the last one winning. ``cpu`` is the CPU level that the image must run
    on (``x86-64-v2``), ``kernel`` the release of its kernel (``5.10``), ``page_size`` 4k, 16k or 64k.
    ``added`` puts local files on top (``LOCAL:PATH``), ``rebase`` names an image whose layers take the
    place of those of the image's base, ``base`` what that was: an image, or how many layers.
    ``entrypoint``, ``command`` (Cmd), ``user`` and ``working_directory`` replace what the image's config
    says, ``variables`` (``NAME=value``, or ``NAME`` to remove) its Env, as a pod's specification may
    (``overrides``). Without ``cache`` nothing is kept or looked up. ``on_progress`` and ``on_message`` are
    called from any thread and must be quick.
    """

    platform: str | None = None
    rules_directories: tuple[Path, ...] = ()
    insecure: bool = False
    cpu: str | None = None
    kernel: str | None = None
    page_size: str | None = None
    added: tuple[str, ...] = ()
    rebase: str | None = None
    base: str | None = None
    user: str | None = None
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    variables: tuple[str, ...] = ()
    working_directory: str | None = None
    cache: CacheOptions | None = None
    on_progress: Callable[[ProgressEvent], None] | None = None
    on_message: Callable[[Message], None] | None = None
