"""An example's image on the way that every image goes: tar, layer index, merged tree, link maps.

``ExampleImage`` enters, ``ImageFacts`` leave. Only the source is missing: the layers are written
here, in memory, as uncompressed tars.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from io import BytesIO

from imagescan.content import FileInspector
from imagescan.dataclasses import replace
from imagescan.facts import Extraction, ImageFacts, gather_facts
from imagescan.filesystem.added import WithFiles
from imagescan.filesystem.merge import merge
from imagescan.layers.index import index_layer
from imagescan.loader.simulate import Simulation
from imagescan.machine import stated_machine
from imagescan.options import ScanOptions
from imagescan.reference import Digest
from imagescan.rules.catalogue import builtin_knowledge
from imagescan.rules.examples.notation import ExampleFile, ExampleImage, ExampleLayer
from imagescan.sources.values import HistoryEntry, ImageConfig, ImageManifest, LayerDescriptor, SiblingImage
from imagescan.startup.chain import environment
from imagescan.startup.credentials import configured_user
from imagescan.startup.processes import in_process

_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"


def example_facts(image: ExampleImage) -> ImageFacts:
    """The facts of an example's image, as a scan would gather them."""
    blobs = [write_layer(layer) for layer in image.layers]
    descriptors = tuple(
        LayerDescriptor(index, digest := _digest(blob), len(blob), _MEDIA_TYPE, digest, layer.created_by)
        for index, (layer, blob) in enumerate(zip(image.layers, blobs, strict=True))
    )
    config = ImageConfig(
        platform=image.platform,
        entrypoint=image.entrypoint,
        cmd=image.cmd,
        env=image.env,
        user=image.user,
        working_dir=image.working_dir,
        healthcheck=image.healthcheck,
        history=(
            *(HistoryEntry(layer.created_by, empty_layer=False) for layer in image.layers),
            *(HistoryEntry(line, empty_layer=True) for line in _instructions(image)),
        ),
        diff_ids=tuple(_digest(blob) for blob in blobs),
    )
    siblings = tuple(SiblingImage(platform, config.diff_ids) for platform in image.shared_with)
    manifest = ImageManifest(
        "example",
        None,
        image.platform,
        config,
        descriptors,
        siblings=siblings,
        config_digest=_digest(b"the config of an example"),
    )
    inspector = FileInspector()
    layers = [
        index_layer(BytesIO(blob), descriptor, inspector)
        for blob, descriptor in zip(blobs, descriptors, strict=True)
    ]
    filesystem = merge(layers)
    user = configured_user(config.user, filesystem)
    machine = stated_machine(ScanOptions(kernel=image.kernel, page_size=image.page_size))
    process = replace(
        machine,
        variables=environment(config),
        working_directory=config.working_dir or "/",
        credentials=user.credentials,
    )
    simulation = Simulation(filesystem, process)
    extraction = Extraction(
        builtin_knowledge().bundles,
        lambda files: Simulation(WithFiles(filesystem, files), process).plugin_map,
    )
    facts = gather_facts(
        manifest,
        filesystem,
        simulation.closures(),
        simulation,
        (),
        extraction,
        lambda one: Simulation(filesystem, in_process(process, one)),
    )
    return replace(facts, page_size=process.page_size, kernel=process.stated_kernel)


def _instructions(image: ExampleImage) -> Iterator[str]:
    """The lines of a Dockerfile that make no layer."""
    for variable in image.env:
        yield f"ENV {variable}"
    if image.working_dir:
        yield f"WORKDIR {image.working_dir}"
    if image.user:
        yield f"USER {image.user}"
    for name, words in (("ENTRYPOINT", image.entrypoint), ("CMD", image.cmd)):
        if words:
            yield f"{name} {json.dumps(words)}"
    if image.healthcheck:
        yield f"HEALTHCHECK {json.dumps(image.healthcheck)}"


def _digest(blob: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(blob).hexdigest())


def write_layer(layer: ExampleLayer) -> bytes:
    """One layer as an uncompressed tar, whiteouts after the files."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, file in layer.files.items():
            archive.addfile(_member(path, file), BytesIO(file.content))
        for path in layer.removed:
            directory, _, name = path.lstrip("/").rpartition("/")
            archive.addfile(tarfile.TarInfo(f"{directory}/.wh.{name}".lstrip("/")))
    return stream.getvalue()


def _member(path: str, file: ExampleFile) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.mode, member.uid, member.gid = file.mode, file.uid, file.gid
    if file.link is not None:
        member.type, member.linkname = tarfile.SYMTYPE, file.link
    elif file.is_directory:
        member.type = tarfile.DIRTYPE
    else:
        member.size = len(file.content)
    return member
