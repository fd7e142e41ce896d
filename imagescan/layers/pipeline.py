"""Chunks enter, the same chunks leave, made in a thread of their own.

Inflating and hashing release the interpreter's lock, so one thread that reads and hashes a blob, one that
inflates it and one that hashes and walks what is in it use two processors for one layer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from types import TracebackType

CHUNKS_AHEAD = 8  # chunks that wait for the consumer: 2 MiB


class Pipeline:
    """Runs an iterator in a thread; use it as a context manager, and iterate over it once.

    Leaving the context stops the producer at its next chunk and waits for it. What the producer
    raises is raised from the iteration.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._source = chunks
        self._ready: SimpleQueue[bytes | None] = SimpleQueue()
        self._room: SimpleQueue[bool] = SimpleQueue()
        self._error: BaseException | None = None
        self._stopped = False
        for _ in range(CHUNKS_AHEAD):
            self._room.put(True)
        self._thread = threading.Thread(target=self._produce, name="imagescan-ahead", daemon=True)

    def __enter__(self) -> Iterator[bytes]:
        self._thread.start()
        return self._consume()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._room.put(True)
        self._thread.join()

    def _consume(self) -> Iterator[bytes]:
        while (chunk := self._ready.get()) is not None:
            self._room.put(True)
            yield chunk
        if self._error is not None:
            raise self._error

    def _produce(self) -> None:
        try:
            for chunk in self._source:
                self._room.get()
                if self._stopped:
                    return
                self._ready.put(chunk)
        except BaseException as error:
            self._error = error
        finally:
            self._ready.put(None)
