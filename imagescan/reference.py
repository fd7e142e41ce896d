"""Names of things that images are addressed by: references, digests and platforms.

Text enters, frozen values leave. Follows the OCI image specification (descriptor.md for
digests, image-index.md for platforms), the OCI distribution specification and the grammar of
distribution/reference for image names, and containerd's platform normalisation.
"""

from __future__ import annotations

import re

from imagescan.dataclasses import dataclass
from imagescan.errors import InvalidReference
from imagescan.patterns import pattern

_DIGEST = pattern(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")

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

ARCHITECTURES = (
    "amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "loong64", "mips64le", "mips64", "mipsle",
    "mips", "ppc64", "sparc64", "wasm",
)  # fmt: skip
SYSTEMS = ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "wasi", "wasip1")

DOCKER_HUB = "docker.io"
_DOCKER_HUB_API_HOST = "registry-1.docker.io"
_DEFAULT_TAG = "latest"
_NAME_LENGTH_LIMIT = 255
_REFERENCE_LENGTH_LIMIT = 1024

# The productions of distribution/reference: domain, path and tag.
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = pattern(
    rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?", re.ASCII
)
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = pattern(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*", re.ASCII)
_TAG = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_IMAGE_ID = pattern(r"[0-9a-f]{64}")


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
                f"not a platform: {text[:100]!r}",
                advice="write os/architecture[/variant], such as linux/arm64",
            )
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        return cls(parts[0], architecture, parts[2] if len(parts) == 3 else variant).normalised()

    @classmethod
    def wished(cls, text: str) -> Platform:
        """Read what a user asks for: a system and an architecture that Go knows (GOOS, GOARCH).

        Raises:
            InvalidReference: as ``parse``, or nothing is built for such a platform.
        """
        wanted = cls.parse(text)
        if wanted.os not in SYSTEMS or wanted.architecture not in ARCHITECTURES:
            raise InvalidReference(
                f"no such platform: {text[:100]!r}",
                advice=f"say all, or linux/ and one of {', '.join(ARCHITECTURES)}",
            )
        return wanted

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


def canonical_platform(text: str) -> str:
    """A platform's text in the form that compares equal; text that is none stays as it is."""
    try:
        return str(Platform.parse(text))
    except InvalidReference:
        return text


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Where an image is in a registry, with every default written out.

    ``registry`` is a host with an optional port (``docker.io`` for Docker Hub), ``repository``
    the path below it. At least one of ``tag`` and ``digest`` is set; where both are, the digest
    decides which image is meant.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read ``[registry/]name[:tag][@digest]`` as docker does: ``alpine`` is
        ``docker.io/library/alpine:latest``.

        Mirrors ParseNormalizedNamed and TagNameOnly of distribution/reference.

        Raises:
            InvalidReference: the text is no such name.
        """
        if len(text) > _REFERENCE_LENGTH_LIMIT:
            raise _not_a_reference(text, f"it is longer than {_REFERENCE_LENGTH_LIMIT} characters")
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _not_a_reference(text, "the tag is not one")
        if _IMAGE_ID.fullmatch(name):
            raise _not_a_reference(text, "64 hexadecimal digits are an image ID, not a name")
        registry, repository = _split_registry(name)
        if not _DOMAIN.fullmatch(registry):
            raise _not_a_reference(text, "the registry is not a host name")
        if not _PATH.fullmatch(repository):
            lower = " (it must be lower case)" if repository.lower() != repository else ""
            raise _not_a_reference(text, f"the repository name is not one{lower}")
        if len(registry) + 1 + len(repository) > _NAME_LENGTH_LIMIT:
            raise _not_a_reference(text, f"the name is longer than {_NAME_LENGTH_LIMIT} characters")
        if tag is None and digest is None:
            tag = _DEFAULT_TAG
        return cls(registry, repository, tag, digest)

    @property
    def api_host(self) -> str:
        """The host, with port where given, that serves the registry's API."""
        return _DOCKER_HUB_API_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is this machine, so that plain HTTP crosses no network."""
        return is_loopback_host(self.registry)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def host_without_port(host: str) -> str:
    """The host of ``host[:port]``, without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback_host(host: str) -> bool:
    """Whether ``host[:port]`` is ``localhost`` or a literal loopback address; nothing is resolved."""
    from ipaddress import ip_address

    bare = host_without_port(host).lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


def _split_tag(text: str) -> tuple[str, str | None]:
    """Part name and tag: a colon before the last slash belongs to a port."""
    colon = text.rfind(":")
    if colon > text.rfind("/"):
        return text[:colon], text[colon + 1 :]
    return text, None


def _split_registry(name: str) -> tuple[str, str]:
    """Part registry and repository; mirrors splitDockerDomain of distribution/reference."""
    first, slash, rest = name.partition("/")
    is_registry = slash and (
        any(character in first for character in ".:") or first == "localhost" or first.lower() != first
    )
    registry, repository = (first, rest) if is_registry else (DOCKER_HUB, name)
    if registry == "index.docker.io":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _not_a_reference(text: str, reason: str) -> InvalidReference:
    return InvalidReference(
        f"not an image reference: {text[:100]!r}: {reason}", advice="write [registry/]name[:tag][@digest]"
    )
