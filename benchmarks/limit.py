"""The yardstick: compiles ``native/limit.c`` once, and measures L1 and L2 with it.

L1 is one process, L2 two processes over the layers of an image. Needs a C compiler and the
development files of ISA-L, Zstandard and OpenSSL (Debian: libisal-dev libzstd-dev libssl-dev).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.images import CACHE, blob_files, layers
from benchmarks.measure import Cost, Failed, run

_SOURCE = Path(__file__).parent / "native" / "limit.c"
_FLAGS = ("-O3", "-march=native", "-Wall", "-Wextra")
_LIBRARIES = ("-lisal", "-lzstd", "-lcrypto")


def program() -> Path:
    """The compiled yardstick."""
    version = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    binary = CACHE / f"limit-{version}"
    if not binary.is_file():
        part = binary.with_suffix(".part")
        subprocess.run(["cc", *_FLAGS, "-o", part, _SOURCE, *_LIBRARIES], check=True)
        part.rename(binary)
    return binary


def measure(image: str, compression: str, processes: int = 1, options: Sequence[str] = ()) -> Cost:
    """One pass over an image's blobs.

    Raises:
        Failed: the content is not what the image's config promises, so the yardstick is wrong.
    """
    with tempfile.NamedTemporaryFile() as output:
        command = [program(), "-p", str(processes), *options, *blob_files(image, compression)]
        cost = run(command, output=Path(output.name))
        found = set(json.loads(Path(output.name).read_text())["diff_ids"])
    if not options and found != {layer.diff_id for layer in layers(image)}:
        raise Failed(f"the yardstick read {compression}-{image} wrongly")
    return cost
