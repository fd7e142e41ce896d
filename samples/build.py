"""``python -m samples.build [NAME...] --into DIR``: write the samples as OCI layouts.

One layout for each sample, ``DIR/NAME``. A sample is a folder with ``recipe.py`` (a function
``build``) and ``expected.yaml`` (the findings that it must give). Its name is the folder's with
hyphens.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from samples.oci import ImageBuilder, Index, write_layout
from samples.workshop import SampleError, Workshop

TAG = "latest"
Recipe = Callable[[Workshop], ImageBuilder | Index]


def names() -> tuple[str, ...]:
    """Every sample, in order."""
    folders = (recipe.parent.name for recipe in Path(__file__).parent.glob("*/recipe.py"))
    return tuple(sorted(folder.replace("_", "-") for folder in folders))


def folder(name: str) -> Path:
    """Where a sample's recipe is."""
    return Path(__file__).parent / name.replace("-", "_")


def build(name: str, into: Path) -> Path:
    """Build one sample; returns its layout directory.

    Raises:
        SampleError: this machine lacks what the recipe needs.
    """
    recipe = cast(Recipe, importlib.import_module(f"samples.{folder(name).name}.recipe").build)
    image = recipe(Workshop(into / ".workshop"))
    layout = into / name
    shutil.rmtree(layout, ignore_errors=True)
    return write_layout(layout, {TAG: image})


def main(words: Sequence[str]) -> int:
    """Build the samples named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m samples.build", description="Build sample images.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="samples (default: all)")
    parser.add_argument("--into", type=Path, default=Path("build/samples"), metavar="DIR")
    parsed = parser.parse_args(words)
    known = names()
    unknown = [name for name in parsed.names if name not in known]
    if unknown:
        parser.error(f"no sample {unknown[0]!r}; there are {', '.join(known)}")
    for name in parsed.names or known:
        try:
            print(build(name, parsed.into))
        except SampleError as reason:
            print(f"samples: {name}: {reason}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
