"""Names of things that images are addressed by: digests and platforms.

Text enters, frozen values leave. Follows the OCI image specification (descriptor.md for
digests, image-index.md for platforms) and containerd's platform normalisation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagescan.errors import InvalidReference

_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")

# containerd/platforms: names that uname and Debian use for what the index calls otherwise.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v5"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "ppc64el": ("ppc64le", ""),
}


@dataclass(frozen=True, slots=True)
class Digest:
    """A content address such as ``sha256:...``."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``algorithm:hex``.

        Raises:
            InvalidReference: not a sha256 or sha512 digest in lower-case hexadecimal.
        """
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise InvalidReference(f"not a digest: {text[:100]!r}", advice="write sha256:<64 hex digits>")
        algorithm, _, digits = text.partition(":")
        return cls(algorithm, digits)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Platform:
    """``os/architecture[/variant]`` as an image index names it."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm/v7``, or an architecture alone (then the system is linux).

        Raises:
            InvalidReference: empty parts, or more than three.
        """
        parts = text.strip().lower().split("/")
        if len(parts) == 1:
            parts = ["linux", *parts]
        if len(parts) > 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
            raise InvalidReference(
                f"not a platform: {text[:100]!r}", advice="write os/architecture[/variant], such as linux/arm64"
            )
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        return cls(parts[0], architecture, parts[2] if len(parts) == 3 else variant).normalised()

    @classmethod
    def host(cls) -> Platform:
        """The platform of containers on this machine: linux, with this machine's architecture."""
        import platform

        return cls.parse(f"linux/{platform.machine()}")

    def normalised(self) -> Platform:
        """The same platform in the form that compares equal: arm64/v8 is arm64, arm is arm/v7."""
        if self.architecture == "arm64" and self.variant == "v8":
            return Platform(self.os, "arm64")
        if self.architecture == "arm" and not self.variant:
            return Platform(self.os, "arm", "v7")
        return self

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
