"""The images of one index, told of each other.

Manifests enter, the same manifests leave, each with those for other architectures as its siblings. Follows
the OCI image specification (image-index.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from imagescan.dataclasses import replace
from imagescan.sources.values import ImageManifest, SiblingImage


def with_siblings(manifests: Sequence[ImageManifest]) -> tuple[ImageManifest, ...]:
    """The manifests in their order; a variant of an architecture (arm/v6, arm/v7) is no sibling of another,
    because one may run what was built for the other."""
    return tuple(
        replace(
            one,
            siblings=tuple(
                SiblingImage(other.platform, other.config.diff_ids)
                for other in manifests
                if other.platform.architecture != one.platform.architecture
            ),
        )
        for one in manifests
    )
