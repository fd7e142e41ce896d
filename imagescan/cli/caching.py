"""``imagescan cache info|prune|clear``: what earlier scans keep on the user's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagescan.cli.cache_wishes import cache_options
from imagescan.errors import UsageError
from imagescan.gate import ExitCode
from imagescan.reports.visible import visible

if TYPE_CHECKING:
    from imagescan.cache.directory import CacheDirectory
    from imagescan.cli.context import Context
    from imagescan.options import CacheOptions

_WORDS = {
    "layers": "layers",
    "blobs": "digests of blobs",
    "answers": "answers",
    "links": "link maps",
    "outputs": "outputs",
}


def run(context: Context, action: str) -> ExitCode:
    """Show the cache, make it as small as the settings say, or empty it.

    Raises:
        UsageError: there is no cache, or it cannot be used.
    """
    from imagescan.cache.directory import CacheDirectory, Unusable

    wishes = cache_options(context.settings, context.environment)
    if wishes is None:
        raise UsageError("there is no cache", advice="name its directory with --cache-dir")
    if not wishes.directory.is_dir():
        context.say(f"{visible(str(wishes.directory))}: empty\n")
        return ExitCode.PASSED
    try:
        directory = CacheDirectory(wishes.directory, create=False)
    except Unusable as error:
        raise UsageError(f"the cache cannot be used: {error}") from error
    try:
        if action == "info":
            _show(context, directory, wishes)
        else:
            _remove(context, directory, wishes, everything=action == "clear")
    finally:
        directory.close()
    return ExitCode.PASSED


def _show(context: Context, directory: CacheDirectory, wishes: CacheOptions) -> None:
    files = list(directory.files())
    lines = [visible(str(wishes.directory))]
    for kind, words in _WORDS.items():
        sizes = [one.size for one in files if one.kind == kind]
        lines.append(f"  {words:<18}{len(sizes):>7,}  {_megabytes(sum(sizes)):>10} MB")
    limit = f"limit {_megabytes(wishes.maximum_bytes)} MB, {wishes.maximum_days} days"
    lines.append(
        f"  {'all':<18}{len(files):>7,}  {_megabytes(sum(one.size for one in files)):>10} MB  ({limit})"
    )
    context.say("\n".join(lines) + "\n")


def _remove(context: Context, directory: CacheDirectory, wishes: CacheOptions, *, everything: bool) -> None:
    from imagescan.cache.pruning import Pruned, prune

    if everything:
        files = list(directory.files())
        for one in files:
            directory.remove(one.kind, one.name)
        pruned = Pruned(len(files), sum(one.size for one in files), 0, 0)
    else:
        pruned = prune(directory, wishes.maximum_bytes, wishes.maximum_days)
    removed = f"removed {pruned.removed:,} files, {_megabytes(pruned.removed_bytes)} MB"
    context.say(f"{removed}; {pruned.kept:,} files, {_megabytes(pruned.kept_bytes)} MB stay\n")


def _megabytes(number: int) -> str:
    return f"{number / 1_000_000:,.1f}"
