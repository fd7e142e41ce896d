"""``python -m benchmarks.serial WORDS``: imagescan's command line with one worker, no second thread."""

from __future__ import annotations

import sys
from functools import partial

from imagescan.__main__ import main
from imagescan.layers import parallel

if __name__ == "__main__":
    parallel.index_image = partial(parallel.index_image, workers=1)
    sys.exit(main())
