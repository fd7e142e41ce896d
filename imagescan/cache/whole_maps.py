"""Whole link maps that rules asked for, so that explaining the same finding again simulates nothing.

Whole link maps enter, and leave equal to what a simulation would give. The facts of a loaded file are not
written: they are those of the image's file at its path, and a map of which that is not so is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from imagescan.cache.codec import Codecs
from imagescan.dataclasses import dataclass, replace
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkProblems, LoadedObject, LoaderIdentity, Resolution, WholeLinkMap

MAXIMUM_KEPT_REQUESTS = 20_000  # of the whole link maps of one image; others are made again when asked for

MAXIMUM_REQUESTS_AT_HAND = 8_000  # of whole maps that are remembered with the facts of their objects


@dataclass(frozen=True, slots=True)
class Asked:
    """Which link map: that of a file, or that of plugins (the last one's) which a program opens."""

    path: ImagePath
    plugins: tuple[ImagePath, ...] = ()
    now: bool = False


@dataclass(frozen=True, slots=True)
class KeptMap:
    """A ``WholeLinkMap`` whose loader is the path that asks for it, and whose objects have no facts."""

    asked: Asked
    program: ImagePath
    loader: str | None
    objects: tuple[LoadedObject, ...]
    resolutions: tuple[Resolution, ...]
    problems: LinkProblems


class WholeMaps:
    """The whole link maps of one image that are known.

    Args:
        filesystem: the image.
        identify: the loader that a path leads to.
        read: gives those that were kept, when one is first asked for.
    """

    def __init__(
        self,
        filesystem: RootFilesystem,
        identify: Callable[[str], LoaderIdentity],
        read: Callable[[], Iterable[KeptMap]],
    ) -> None:
        self._filesystem, self._identify, self._read = filesystem, identify, read
        self._known: dict[Asked, KeptMap] | None = None
        self._requests = 0
        self._at_hand: dict[Asked, WholeLinkMap] = {}
        self._requests_at_hand = 0
        self.has_grown = False

    @property
    def kept(self) -> Sequence[KeptMap]:
        """All that are known."""
        return tuple(self._maps().values())

    def get(self, asked: Asked, make: Callable[[], WholeLinkMap]) -> WholeLinkMap:
        """A link map, made where it is not known."""
        found = self._at_hand.get(asked)
        if found is None:
            kept = self._maps().get(asked)
            found = self._restored(kept) if kept is not None else None
            if found is None:
                found = make()
                self._add(asked, found)
            self._take_in_hand(asked, found)
        return found

    def _take_in_hand(self, asked: Asked, found: WholeLinkMap) -> None:
        """Remember a whole map for those who ask next, the oldest ones forgotten."""
        self._at_hand[asked] = found
        self._requests_at_hand += 1 + len(found.resolutions)
        while self._requests_at_hand > MAXIMUM_REQUESTS_AT_HAND:
            oldest = self._at_hand.pop(next(iter(self._at_hand)))
            self._requests_at_hand -= 1 + len(oldest.resolutions)

    def _maps(self) -> dict[Asked, KeptMap]:
        if self._known is None:
            self._known = {one.asked: one for one in self._read()}
            self._requests = sum(len(one.resolutions) for one in self._known.values())
        return self._known

    def _restored(self, kept: KeptMap) -> WholeLinkMap | None:
        objects = []
        for one in kept.objects:
            elf = self._facts(one.real)
            if elf is None:
                return None
            objects.append(replace(one, elf=elf))
        loader = None if kept.loader is None else self._identify(kept.loader)
        return WholeLinkMap(kept.program, loader, tuple(objects), kept.resolutions, kept.problems)

    def _add(self, asked: Asked, found: WholeLinkMap) -> None:
        loader = found.loader.requested if found.loader else None
        room = self._requests + len(found.resolutions) <= MAXIMUM_KEPT_REQUESTS
        if not room or (loader is not None and self._identify(loader) != found.loader):
            return
        if any(self._facts(one.real) is not one.elf for one in found.objects):
            return
        self._maps()[asked] = KeptMap(
            asked, found.program, loader, found.objects, found.resolutions, found.problems
        )
        self._requests += len(found.resolutions)
        self.has_grown = True

    def _facts(self, path: ImagePath) -> ElfFacts | None:
        entry = self._filesystem.resolve(path).entry
        return entry.content if entry is not None and isinstance(entry.content, ElfFacts) else None


def codecs() -> Codecs:
    """How kept maps are written."""
    return Codecs(outside=(ElfFacts,))
