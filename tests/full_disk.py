"""A disk that fills up, for tests: what is written by position finds room for so many bytes only."""

from __future__ import annotations

import os
from errno import ENOSPC

import pytest


def disk_of(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files find no room beyond so many bytes."""
    pwrite = os.pwrite

    def limited(file: int, data: bytes, offset: int) -> int:
        if offset >= room:
            raise OSError(ENOSPC, "No space left on device")
        return pwrite(file, data[: room - offset], offset)

    monkeypatch.setattr(os, "pwrite", limited)
    monkeypatch.setattr(os, "pwritev", lambda file, parts, offset: limited(file, b"".join(parts), offset))
