"""``python -m benchmarks.serial WORDS``: imagescan's command line on one processor, so without children or
second threads."""

from __future__ import annotations

import os
import sys


def on_one_processor() -> None:
    """Leave this process one of the processors that it may use."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    from imagescan.__main__ import main

    on_one_processor()
    sys.exit(main())
