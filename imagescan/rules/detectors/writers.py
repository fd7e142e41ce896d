"""Who else could put a library into a directory that a loader searches.

A directory's path enters, an account of the image leaves, or nobody. Follows path_resolution(7) and
unlink(2): who may write and search a directory may create names in it, and replace those that are there
unless its sticky bit keeps other people's; and the same holds for every directory above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from imagescan.dataclasses import dataclass
from imagescan.facts import ImageFacts
from imagescan.filesystem.values import Credentials, FileEntry, PathError
from imagescan.layers.values import EntryKind
from imagescan.startup.credentials import accounts

ANYBODY = "any user"
_WRITE_AND_SEARCH, _WRITE = 3, 2
_STICKY = 0o1000
_GROUP_OR_OTHERS_WRITE = 0o022
# Somebody whom no image knows: what is open to it is open to all.
_STRANGER = Credentials(uid=(1 << 31) - 2, gids=((1 << 31) - 2,))


@dataclass(frozen=True, slots=True)
class Opening:
    """Where somebody could get in: ``account`` may write ``path``, and ``absent`` says that the
    directory searched does not exist below it and could be made."""

    account: str
    path: str
    absent: bool


class Writers:
    """Answers for one image; every directory is looked at once."""

    def __init__(self, facts: ImageFacts) -> None:
        self._filesystem = facts.filesystem
        self._accounts = [(ANYBODY, _STRANGER)]
        self._accounts += [one for one in accounts(facts.filesystem) if one[1].uid != 0]
        self._known: dict[str, tuple[tuple[Credentials, Opening], ...]] = {}

    def opening(self, directory: str, keepers: tuple[str, ...], runs_as: int) -> Opening | None:
        """Whether an account could put a file into a directory (an absolute path).

        ``keepers`` are files: who could change one of them anyway gains nothing here. ``runs_as`` is
        the user ID that nobody needs to take over: its own.
        """
        for who, opening in self._openings(directory):
            if who.uid != runs_as and not any(self._could_change(who, path) for path in keepers):
                return opening
        return None

    def _openings(self, directory: str) -> tuple[tuple[Credentials, Opening], ...]:
        if directory not in self._known:
            self._known[directory] = tuple(self._look(directory))
        return self._known[directory]

    def _look(self, directory: str) -> Iterator[tuple[Credentials, Opening]]:
        found = self._filesystem.resolve(directory)
        absent = found.entry is None
        if absent and found.error is not PathError.ENOENT:
            return
        deepest = found.entry.path if found.entry else found.stopped_at.rpartition("/")[0] or "/"
        chain = self._chain(deepest)
        if not chain or chain[0].kind is not EntryKind.DIRECTORY or not any(map(_is_open, chain)):
            return
        for name, who in self._accounts:
            path = _writable(chain, who)
            if path and self._filesystem.resolve(path, who=who).entry is not None:
                yield who, Opening(name, path, absent and path == deepest)

    def _chain(self, path: str) -> list[FileEntry]:
        """A directory and those above it, the deepest first."""
        chain = []
        while path:
            entry = self._filesystem.resolve(path, follow=False).entry
            if entry is not None:
                chain.append(entry)
            path = path.rpartition("/")[0] or ("/" if path != "/" else "")
        return chain

    def _could_change(self, who: Credentials, path: str) -> bool:
        """Whether somebody could change a file, or put another in its place."""
        entry = self._filesystem.resolve(path).entry
        if entry is None:
            return False
        chain = self._chain(entry.path)
        return entry.permits(who, _WRITE) or bool(_replaces(chain, who))


def _is_open(entry: FileEntry) -> bool:
    """Whether anybody but root may write a directory."""
    return entry.uid != 0 or bool(entry.mode & _GROUP_OR_OTHERS_WRITE)


def _writable(chain: list[FileEntry], who: Credentials) -> str:
    """The directory in which somebody could create a name, or of a chain exchange the next; or ""."""
    if chain[0].permits(who, _WRITE_AND_SEARCH) or chain[0].uid == who.uid:
        return chain[0].path
    return _replaces(chain, who)


def _replaces(chain: list[FileEntry], who: Credentials) -> str:
    """The directory of a chain in which somebody could exchange the entry below; or ""."""
    for below, above in pairwise(chain):
        kept = above.mode & _STICKY and who.uid not in (below.uid, above.uid)
        if above.permits(who, _WRITE_AND_SEARCH) and not kept:
            return above.path
    return ""
