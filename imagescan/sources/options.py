"""How sources are to behave: one frozen value, the same for all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Choices of the user, and limits of patience (in seconds).

    ``insecure`` allows plain HTTP and unverified certificates for every registry. ``attempts``
    is how often a request to a registry is tried, ``retry_wait`` the first pause between two
    tries (each later one is twice as long), ``retry_after_limit`` the longest pause that a
    registry may ask for. ``environment`` is where sockets and credentials files are named.
    """

    insecure: bool = False
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    attempts: int = 5
    retry_wait: float = 0.5
    retry_after_limit: float = 60.0
    helper_timeout: float = 30.0
    engine_timeout: float = 30.0
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
