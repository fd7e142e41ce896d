"""Memory that was freed goes back to the system. Nothing enters or leaves.

Values that come and go by the hundred thousand leave holes between those that stay, and glibc gives only the
end of its heap back by itself: an eighth of what the scan of a very large image has taken would be nobody's.
Other C libraries have no ``malloc_trim``; there nothing is done.
"""

from __future__ import annotations

import sys

WORTH_TRIMMING_BYTES = 96 << 20  # peak of resident memory below which nothing is done: it takes milliseconds


def give_back_freed_memory() -> None:
    """Give all free pages of the heap back, where this process has been large (malloc_trim(3))."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but on macOS bytes
    if sys.platform != "linux" or peak << 10 < WORTH_TRIMMING_BYTES:
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
