"""Images in a Docker or Podman engine.

A name enters; a manifest and the layers' tars leave. Follows the Docker Engine API through the
docker SDK, which is imported only here. The engine sends an image as one archive, in an order of
its own, in one of two layouts: the classic one (``ID/layer.tar``, or ``DIGEST.tar`` from Podman)
and, since Docker 25, an OCI layout. Its layers are told by content and passed on while they come.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from imagescan.dataclasses import dataclass
from imagescan.errors import (
    ImageFormatError,
    ImageScanError,
    InvalidReference,
    NotFound,
    SourceError,
    Unauthorized,
    Unavailable,
)
from imagescan.reference import Digest
from imagescan.sources.documents import INDEX_TYPES, describe_layers
from imagescan.sources.engine_history import config_of
from imagescan.sources.index import Wanted, check_platform, linux_only
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.options import SourceOptions
from imagescan.sources.streams import READ_SIZE, PieceReader
from imagescan.sources.tar_archive import Member, TranslatedReader, stream_members
from imagescan.sources.unpack import compression_of, is_tar
from imagescan.sources.values import ImageManifest, LayerDescriptor

if TYPE_CHECKING:
    import docker

EngineKind = Literal["docker", "podman"]

_TAR_BLOCK = 512
_INSTALL_ADVICE = "install it with: pip install 'imagescan[engine]'"


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where an engine may listen: a URL as in ``DOCKER_HOST``."""

    kind: EngineKind
    url: str

    @property
    def may_listen(self) -> bool:
        """Whether the socket exists; a network address is believed."""
        if not self.url.startswith("unix://"):
            return True
        try:
            return stat.S_ISSOCK(Path(self.url.removeprefix("unix://")).stat().st_mode)
        except OSError:
            return False


def engine_addresses(kind: EngineKind, environment: Mapping[str, str]) -> tuple[EngineAddress, ...]:
    """Every address of this kind of engine, the user's own choice alone where there is one."""
    runtime, home = environment.get("XDG_RUNTIME_DIR", ""), environment.get("HOME", "")
    if kind == "docker":
        chosen = environment.get("DOCKER_HOST", "")
        paths = [
            "/var/run/docker.sock",
            runtime and f"{runtime}/docker.sock",
            home and f"{home}/.docker/run/docker.sock",
        ]
    else:
        chosen = environment.get("CONTAINER_HOST", "")
        paths = [runtime and f"{runtime}/podman/podman.sock", "/run/podman/podman.sock"]
    urls = [chosen] if chosen else [f"unix://{path}" for path in paths if path]
    return tuple(EngineAddress(kind, url) for url in urls)


def sdk_is_installed() -> bool:
    """Whether the docker SDK can be imported."""
    from importlib.util import find_spec

    return find_spec("docker") is not None


class EngineSource:
    """One image of one engine; the first address that has a socket is asked."""

    random_access = False

    def __init__(self, kind: EngineKind, name: str, options: SourceOptions) -> None:
        self._kind = kind
        self._name = name
        self._options = options
        self._reference = f"{kind}:{name}"
        self._client: docker.APIClient | None = None
        self._image_id = ""

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``; an engine has one platform of an image."""
        with self._failures():
            client = self._connect()
            answer: Any = client.inspect_image(self._name)  # type: ignore[no-untyped-call]
            inspected = JsonObject(answer, "the engine's answer")
            image_id = inspected.text("Id")
            listed: Any = client.history(image_id)  # type: ignore[no-untyped-call]
            lines = JsonObject({"lines": listed}, "the engine's history").children("lines")
            config = config_of(inspected, lines)
        check_platform(config.platform, wanted, self._reference)
        layers, aligned = describe_layers(config, None)
        manifest_digest, index_digest, config_digest = _digests(inspected, image_id)
        image = ImageManifest(
            reference=self._reference,
            digest=manifest_digest,
            platform=linux_only(config.platform, self._reference),
            config=config,
            layers=layers,
            config_digest=config_digest,
            index_digest=index_digest,
            history_aligned=aligned,
        )
        self._image_id = image_id
        return (image,)

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """Not possible: see ``layer_streams``."""
        raise NotImplementedError("an engine sends its layers in an order of its own")

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``. Layers of equal content come once."""
        known = frozenset(layer.diff_id for layer in image.layers)
        with self._failures():
            version = self._connect().api_version
            client = self._open_client(self._address(), timeout=None, version=version)
            try:
                # get_image prepares the whole archive before its first byte, however long it takes.
                pieces = client.get_image(self._image_id, chunk_size=READ_SIZE)
                translated = TranslatedReader(cast(BinaryIO, PieceReader(iter(pieces))), self._broken)
                archive = cast(BinaryIO, io.BufferedReader(translated, READ_SIZE))
                for member, content in stream_members(archive, self._reference):
                    if _is_layer(member, known):
                        yield content
            finally:
                client.close()

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> EngineSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _address(self) -> EngineAddress:
        addresses = engine_addresses(self._kind, self._options.environment)
        found = next((address for address in addresses if address.may_listen), None)
        if found is None:
            places = ", ".join(address.url for address in addresses)
            raise Unavailable(
                f"no {self._kind} engine is running: nothing at {places}",
                where=self._reference,
                advice=f"start it, or write registry:{self._name}",
            )
        return found

    def _connect(self) -> docker.APIClient:
        if self._client is None:
            self._client = self._open_client(self._address(), self._options.engine_timeout)
        return self._client

    def _open_client(
        self, address: EngineAddress, timeout: float | None, version: str = "auto"
    ) -> docker.APIClient:
        if not sdk_is_installed():
            raise SourceError(
                "reading from an engine needs the docker SDK", where=self._reference, advice=_INSTALL_ADVICE
            )
        import docker
        from docker.utils import kwargs_from_env

        settings: dict[str, Any] = {"base_url": address.url}
        if address.url == self._options.environment.get("DOCKER_HOST"):
            settings = dict(kwargs_from_env(environment=dict(self._options.environment)))
        return docker.APIClient(**settings, version=version, timeout=cast(int, timeout))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """The SDK's exceptions, and those of the library below it, become ours."""
        try:
            yield
        except ImageScanError as error:
            error.where = error.where or self._reference
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("docker", "requests", "urllib3"):
                raise
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> ImageScanError:
        status = getattr(getattr(error, "response", None), "status_code", None)
        explanation = str(getattr(error, "explanation", "") or "")[:200]
        if status == 404:
            return NotFound(
                f"the {self._kind} engine has no such image", where=self._reference, advice="pull it first"
            )
        if status in (401, 403) or "Permission denied" in str(error):
            return Unauthorized(
                f"the {self._kind} engine refuses: no permission",
                where=self._reference,
                advice="use a user of the group docker, or sudo",
            )
        if status is not None:
            return SourceError(
                f"the {self._kind} engine answered {status}: {explanation}", where=self._reference
            )
        return Unavailable(
            f"the {self._kind} engine does not answer, or broke off ({type(error).__name__})",
            where=self._reference,
            advice="check that it runs",
        )


def _is_layer(member: Member, known: frozenset[Digest | None]) -> bool:
    """Whether a member is a layer: told by its name where that is a known diff ID, else by its
    content, since the documents that name the layers come last."""
    name = member.name
    stem = name.rpartition("/")[2].removesuffix(".tar")
    if any(digest is not None and digest.hex == stem for digest in known):
        return bool(member.size)
    if name.endswith("/layer.tar") or name.startswith("blobs/"):
        return is_tar(member.head) or compression_of(member.head) in ("gzip", "zstd")
    return name.endswith(".tar") and "/" not in name and is_tar(member.head)


def _digests(inspected: JsonObject, image_id: str) -> tuple[Digest | None, Digest | None, Digest | None]:
    """Digests of manifest, index and config. Where images are kept by containerd, the ID is that
    of the manifest or index, and there is a descriptor (API v1.48); otherwise it is the config's."""
    try:
        identity = Digest.parse(image_id if ":" in image_id else f"sha256:{image_id}")
    except InvalidReference:
        raise ImageFormatError("the engine's answer has an ID that is no digest") from None
    descriptor = inspected.child("Descriptor")
    if descriptor is None:
        return None, None, identity
    if descriptor.text("mediaType", "") in INDEX_TYPES:
        return None, identity, None
    return identity, None, None
