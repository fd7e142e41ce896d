"""One line on a terminal's standard error that says how far a scan is, and vanishes after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from imagescan.options import Message, ProgressEvent, Stage
from imagescan.reports.visible import visible

INTERVAL = 0.1  # seconds between two drawings
_ERASE = "\r\x1b[K"


class ProgressLine:
    """Draws events; safe to call from several threads."""

    def __init__(self, stream: TextIO, width: int) -> None:
        self._stream = stream
        self._width = width
        self._lock = threading.Lock()
        self._next = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        """Draw the event, unless the last drawing is only a moment ago."""
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                return
            self._next = now + INTERVAL
            self._stream.write(_ERASE + line(event)[: self._width - 1])
            self._stream.flush()

    def above(self, say: Callable[[Message], None]) -> Callable[[Message], None]:
        """The same listener, with the line taken away while it writes."""

        def say_above(message: Message) -> None:
            self.clear()
            say(message)

        return say_above

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            self._next = 0.0
            self._stream.write(_ERASE)
            self._stream.flush()


def line(event: ProgressEvent) -> str:
    """An event in words: stage, image, layers, bytes."""
    parts = [f"{event.stage.value} {visible(event.image)}"]
    if event.stage is Stage.LAYERS:
        parts.append(f"{event.layers_done}/{event.layers_total} layers")
        if event.bytes_total:
            parts.append(f"{_megabytes(event.bytes_done)} of {_megabytes(event.bytes_total)} MB")
        else:
            parts.append(f"{_megabytes(event.bytes_done)} MB")
    return "  ".join(parts)


def _megabytes(number: int) -> str:
    return f"{number / 1_000_000:,.1f}"
