"""Objects whose segments are laid out for smaller pages than the kernel has."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.elf.facts import ElfFacts, LoadSegment
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Certainty, Tier, TrailLine
from imagescan.loader.values import LoaderKind
from imagescan.plugins.platforms import runs_on
from imagescan.rules.blame import blame_present
from imagescan.rules.detectors.registry import Detector, Parameters
from imagescan.rules.observation import Observation

VALUES = frozenset({"alignment", "page"})
MAXIMUM_SEGMENTS = 16  # shown in a trail

# The largest page of each architecture whose kernels have a choice (Kconfig of arch/arm64, powerpc,
# loongarch and mips); elsewhere pages have 4 KiB whatever is stated.
LARGEST_PAGE = {"arm64": 65536, "ppc64le": 65536, "loong64": 65536, "mips64le": 65536}
_CHECKS_CONGRUENCE = (2, 35)  # glibc, elf/dl-load.c; before, p_align itself was looked at


def small_alignments(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Programs and libraries that cannot be mapped with the stated pages; without a statement, with the
    largest that kernels of the platform have. All of one layer have one cause: how they were linked."""
    largest = LARGEST_PAGE.get(facts.platform.architecture)
    if largest is None:
        return
    page = min(facts.page_size or largest, largest)
    stated = facts.page_size is not None
    for found in facts.objects:
        alignment = smallest_alignment(found.elf)
        if found.tier is Tier.DORMANT or not runs_on(found.elf, facts.platform) or alignment >= page:
            continue
        yield Observation(
            cause=(str(page), *(one.created_by for one in blame_present(facts, found.path))),
            object=found.path,
            tier=found.tier,
            certainty=Certainty.CERTAIN if stated else Certainty.CONDITIONAL,
            items=(found.path,),
            values={"alignment": _size(alignment), "page": _size(page)},
            runtime_message=_message(facts, found, page),
            trail=tuple(
                TrailLine("PT_LOAD", f"{one.address:#x}", f"p_align {one.alignment:#x}")
                for one in found.elf.segments[:MAXIMUM_SEGMENTS]
            ),
            blame=blame_present(facts, found.path),
            condition="" if stated else f"on a kernel with pages of {_size(page)}",
        )


def smallest_alignment(elf: ElfFacts) -> int:
    """The largest page that all loadable segments are laid out for, in bytes; no limit where one
    segment is all that there is."""
    segments = [one for one in elf.segments if one.memory_size]
    if len(segments) < 2:
        return 1 << 30
    return min(_alignment(one) for one in segments)


def _alignment(segment: LoadSegment) -> int:
    """What ``p_align`` promises, and less where address and offset do not keep it (gABI, p_align)."""
    alignment = max(segment.alignment, 1)
    difference = abs(segment.address - segment.offset)
    kept = difference & -difference if difference else alignment
    return min(alignment, kept)


def _message(facts: ImageFacts, found: ObjectFacts, page: int) -> str:
    """A program dies as the kernel maps it, a library is refused by the loader."""
    if found.elf.interpreter is not None or found.tier is Tier.STARTUP:
        return "Segmentation fault"
    versions = [one.version for one in facts.loaders if one.kind is LoaderKind.GLIBC]
    if not versions:
        return f"Error loading shared library {found.path}: Invalid argument"
    old = bool(versions[0]) and versions[0] < _CHECKS_CONGRUENCE
    text = "alignment not page-aligned" if old else "address/offset not page-aligned"
    return f"{found.path}: ELF load command {text}"


def _size(number: int) -> str:
    return f"{number >> 10} KiB" if number >= 1024 else f"{number} bytes"


SMALL_ALIGNMENT = Detector("small-alignment", small_alignments, values=VALUES)
