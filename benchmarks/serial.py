"""``python -m benchmarks.serial WORDS``: imagescan's command line with one worker, no second thread."""

from __future__ import annotations

import sys
from functools import partial

from imagescan import scan
from imagescan.__main__ import main

if __name__ == "__main__":
    scan.index_image = partial(scan.index_image, workers=1)
    sys.exit(main())
