"""Docker and Podman engines: real ones, and one that answers as told."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagescan.errors import ImageFormatError, ImageScanError, NotFound, SourceError, Unavailable
from imagescan.reference import Platform
from imagescan.sources import engine as engine_module
from imagescan.sources.archive import ArchiveSource
from imagescan.sources.directory import DirectorySource
from imagescan.sources.options import SourceOptions
from imagescan.sources.select import open_source
from imagescan.sources.values import ImageManifest
from tests.sources.fake_engine import FakeEngine, fake_engine
from tests.sources.store import Store, sha256, tar_of
from tests.system import RegistryServer, as_nobody, program_root

TAR = "application/vnd.oci.image.layer.v1.tar"


def options(docker: str = "", podman: str = "", **others: str) -> SourceOptions:
    absent = "unix:///nowhere/engine.sock"
    environment = {"DOCKER_HOST": docker or absent, "CONTAINER_HOST": podman or absent, **others}
    return SourceOptions(environment=environment, attempts=1)


def read(
    name: str, given: SourceOptions, wanted: Platform | None = None
) -> tuple[ImageManifest, dict[str, bytes]]:
    """The image, and its layers' tars by digest."""
    with open_source(name, given) as source:
        (image,) = source.images(wanted)
        assert not source.random_access
        streams = [stream.read() for stream in source.layer_streams(image)]
    return image, {sha256(data): data for data in streams}


def files(tars: dict[str, bytes], image: ImageManifest) -> list[set[str]]:
    """Names of the entries of each layer in the image's order."""
    found = []
    for layer in image.layers:
        with tarfile.open(fileobj=io.BytesIO(tars[str(layer.diff_id)])) as archive:
            found.append({member.name.removeprefix("./") for member in archive if not member.isdir()})
    return found


# Real engines

DOCKERFILE = """\
FROM {base}
ENV A=1
COPY one /one
LABEL of=test
COPY two /two
WORKDIR /work
COPY one /one
USER 1000
ENTRYPOINT ["/bin/echo", "hello"]
HEALTHCHECK CMD ["/bin/echo"]
"""


@pytest.fixture(scope="module")
def docker_client(docker_address: str) -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=docker_address, version="auto", timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="module")
def built(docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a base layer, three more, one of them twice, and lines that make none."""
    base, name = (f"imagescan-test/{uuid.uuid4().hex[:8]}:1" for _ in range(2))
    root = program_root(tmp_path_factory.mktemp("root"))
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        tar = source.open_layer(image, image.layers[0]).read()
    docker_client.api.import_image_from_data(tar, *base.split(":"))
    dockerfile = DOCKERFILE.format(base=base).encode()
    context = tar_of({"Dockerfile": dockerfile, "one": os.urandom(300_000), "two": b"2"})
    docker_client.images.build(fileobj=io.BytesIO(context), custom_context=True, tag=name, rm=True)
    yield name
    docker_client.images.remove(name, force=True)
    docker_client.images.remove(base, force=True)


@pytest.mark.engine
def test_docker_gives_every_layer_with_its_line(built: str, docker_address: str) -> None:
    image, tars = read(f"docker:{built}", options(docker_address))
    assert set(tars) == {str(layer.diff_id) for layer in image.layers}
    assert image.history_aligned
    assert files(tars, image)[1:] == [{"one"}, {"two"}, set(), {"one"}]
    lines = [layer.created_by for layer in image.layers[1:]]
    assert ["COPY" in line or "WORKDIR" in line for line in lines] == [True] * 4
    config = image.config
    assert (config.entrypoint, config.user, config.working_dir) == (("/bin/echo", "hello"), "1000", "/work")
    assert config.healthcheck == ("CMD", "/bin/echo")
    assert "A=1" in config.env
    assert config.labels == (("of", "test"),)


@pytest.mark.engine
def test_a_plain_name_is_found_in_the_engine_first(built: str, docker_address: str) -> None:
    image, _ = read(built, options(docker_address))
    assert image.reference == f"docker:{built}"


@pytest.mark.engine
def test_an_image_id_is_a_name_too(built: str, docker_address: str) -> None:
    image, _ = read(f"docker:{built}", options(docker_address))
    for text in (str(image.config_digest), image.config_digest.hex[:12]):  # type: ignore[union-attr]
        assert read(f"docker:{text}", options(docker_address))[0].config == image.config


@pytest.mark.engine
def test_what_docker_saves_to_a_file_is_the_same_image(
    built: str, docker_address: str, docker_client: Any, tmp_path: Path
) -> None:
    path = tmp_path / "saved.tar"
    with path.open("wb") as file:
        file.writelines(docker_client.images.get(built).save(named=True))
    image, tars = read(f"docker:{built}", options(docker_address))
    with ArchiveSource(path, built) as source:
        (saved,) = source.images(None)
        streams = {sha256(source.open_layer(saved, layer).read()) for layer in saved.layers}
    assert streams == set(tars)
    assert (saved.config_digest, saved.layers) == (image.config_digest, image.layers)
    assert saved.config.entrypoint == image.config.entrypoint
    assert [entry.empty_layer for entry in saved.config.history] == [
        entry.empty_layer for entry in image.config.history
    ]


@pytest.mark.engine
@pytest.mark.registry
def test_what_docker_pushes_is_the_same_image(
    built: str, docker_address: str, docker_client: Any, open_registry: RegistryServer
) -> None:
    name = f"{open_registry.host}/pushed"
    docker_client.images.get(built).tag(name, "1")
    pushed = docker_client.api.push(name, tag="1")
    docker_client.images.remove(f"{name}:1")
    image, tars = read(f"docker:{built}", options(docker_address))
    with open_source(f"registry:{name}:1", options()) as source:
        (remote,) = source.images(None)
        streams = {
            sha256(gzip.decompress(source.open_layer(remote, layer).read())) for layer in remote.layers
        }
    assert streams == set(tars), pushed
    assert remote.config_digest == image.config_digest
    assert [layer.created_by for layer in remote.layers] == [layer.created_by for layer in image.layers]


@pytest.mark.engine
def test_what_is_read_is_what_runs(built: str, docker_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    containers = pytest.importorskip("testcontainers.core.container")
    monkeypatch.setenv("DOCKER_HOST", docker_address)
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)
    with containers.DockerContainer(built).with_kwargs(network_mode="none") as container:
        container.get_wrapped_container().wait(timeout=60)
        assert container.get_logs()[0].strip() == b"hello"
    image, tars = read(f"docker:{built}", options(docker_address))
    assert "bin/echo" in files(tars, image)[0]


@pytest.mark.engine
def test_docker_says_what_it_does_not_have(built: str, docker_address: str) -> None:
    with pytest.raises(NotFound, match="the docker engine has no such image"):
        read("docker:imagescan-test/nothing:1", options(docker_address))
    with pytest.raises(NotFound, match="choose with --platform from: linux/"):
        read(f"docker:{built}", options(docker_address), Platform.parse("linux/s390x"))


@pytest.mark.engine
def test_podman_gives_the_image_that_docker_had(
    built: str, docker_address: str, docker_client: Any, podman_address: str
) -> None:
    docker = pytest.importorskip("docker")
    podman = docker.APIClient(base_url=podman_address, version="auto", timeout=120)
    podman.load_image(b"".join(docker_client.images.get(built).save(named=True)))
    # Podman of Debian 12 loads a name without registry as localhost/NAME, later ones as docker.io/NAME.
    name = next(tag for found in podman.images() for tag in found["RepoTags"] if tag.endswith(built))
    podman.close()
    theirs, tars = read(f"docker:{built}", options(docker_address))
    image, streams = read(f"podman:{name}", options(podman=podman_address))
    assert set(streams) == set(tars)
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in theirs.layers]
    assert image.config.entrypoint == theirs.config.entrypoint
    with pytest.raises(NotFound, match="the podman engine has no such image"):
        read("podman:localhost/nothing:1", options(podman=podman_address))


# An engine that answers as told

TARS = (tar_of({"a": b"1" * 50_000}), tar_of({"b": b"2"}))


def inspected(**members: Any) -> dict[str, Any]:
    return {
        "Id": "sha256:" + "1" * 64,
        "Os": "linux",
        "Architecture": "amd64",
        "Config": {"Cmd": ["/a"]},
        "RootFS": {"Layers": [sha256(tar) for tar in TARS]},
        **members,
    }


HISTORY = [
    {"CreatedBy": "COPY b", "Size": 1},
    {"CreatedBy": "ENV A=1", "Size": 0},
    {"CreatedBy": "COPY a", "Size": 5},
]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as engine:
        yield engine


def oci_in_tar(compress: Any = None) -> bytes:
    """As Docker 25 and later save: an OCI layout, with documents among the blobs and links last."""
    store = Store()
    for tar in TARS:
        store.add(compress(tar) if compress else tar, TAR)
    store.add({"schemaVersion": 2, "config": {}, "layers": []}, "manifest")
    store.add({"architecture": "amd64", "rootfs": {}}, "config")
    store.add({"_type": "https://in-toto.io/Statement/v0.1"}, "attestation")
    return tar_of({**store.layout_files(), "manifest.json": b"[]", "repositories": b"{}"})


def test_an_oci_layout_in_the_engine_s_archive_gives_its_layers_alone(engine: FakeEngine) -> None:
    engine.image("app:1", inspected(), HISTORY, oci_in_tar())
    image, tars = read("docker:app:1", options(engine.address))
    assert set(tars) == {sha256(tar) for tar in TARS}
    assert [layer.created_by for layer in image.layers] == ["COPY a", "COPY b"]


def test_layers_that_containerd_keeps_compressed_come_as_they_are(engine: FakeEngine) -> None:
    index = {"Descriptor": {"mediaType": "application/vnd.oci.image.index.v1+json"}}
    engine.image("app:1", inspected(**index), HISTORY, oci_in_tar(gzip.compress))
    image, tars = read("docker:app:1", options(engine.address))
    assert {sha256(gzip.decompress(data)) for data in tars.values()} == {sha256(tar) for tar in TARS}
    assert (str(image.index_digest), image.config_digest) == ("sha256:" + "1" * 64, None)


def test_an_archive_that_breaks_off_is_an_error_not_an_end(engine: FakeEngine) -> None:
    archive = oci_in_tar()
    engine.image("app:1", inspected(), HISTORY, archive)
    for cut in (1, 40_000):
        engine.cut = cut
        with pytest.raises(Unavailable, match="broke off"):
            read("docker:app:1", options(engine.address))
    engine.cut = None
    for end in (700, 30_000, 55_000):
        engine.image("app:1", inspected(), HISTORY, archive[:end])
        with pytest.raises(ImageFormatError, match="damaged or truncated"):
            read("docker:app:1", options(engine.address))


@pytest.mark.parametrize(
    ("history", "lines"),
    [
        ([("RUN mkdir /x", 0), ("ENV A=1", 0), ("COPY a", 5)], ["COPY a", "RUN mkdir /x"]),
        (
            [("/bin/sh -c #(nop)  CMD [x]", 0), ("/bin/sh -c mkdir /x", 0), ("ADD a", 5)],
            ["ADD a", "/bin/sh -c mkdir /x"],
        ),
        ([("COPY everything", 5)], ["", ""]),
        ([], ["", ""]),
    ],
)
def test_lines_are_joined_to_layers_only_when_they_fit(
    engine: FakeEngine, history: list[tuple[str, int]], lines: list[str]
) -> None:
    engine.image("app:1", inspected(), [{"CreatedBy": text, "Size": size} for text, size in history], b"")
    with open_source("docker:app:1", options(engine.address)) as source:
        (image,) = source.images(None)
    assert [layer.created_by for layer in image.layers] == lines
    assert image.history_aligned is all(lines)


@pytest.mark.parametrize(
    "members",
    [
        {"Architecture": ""},
        {"Id": "../x"},
        {"Id": None},
        {"RootFS": {"Layers": ["x"]}},
        {"Config": []},
        {"Os": "a b"},
    ],
)
def test_answers_of_another_kind_are_refused(engine: FakeEngine, members: dict[str, Any]) -> None:
    answer = inspected(**members)
    engine.image("app:1", {**answer, "Id": str(answer["Id"])}, HISTORY, b"")
    engine.answers["/images/app:1/json"] = (200, answer)
    with pytest.raises(ImageScanError) as caught:
        read("docker:app:1", options(engine.address))
    assert "\n" not in str(caught.value)


def test_an_engine_s_own_error_is_passed_on_in_one_line(engine: FakeEngine) -> None:
    engine.answers["/images/app:1/json"] = (500, {"message": "disk on fire"})
    with pytest.raises(SourceError, match="the docker engine answered 500: disk on fire"):
        read("docker:app:1", options(engine.address))


def test_a_socket_that_is_not_for_us_is_told_as_such(engine: FakeEngine) -> None:
    path = Path(engine.address.removeprefix("unix://"))
    path.parent.chmod(0o755)
    path.chmod(0)
    said = as_nobody(lambda: read("docker:app:1", options(engine.address)))
    assert said.startswith("Unauthorized")
    assert "the docker engine refuses: no permission" in said


def test_a_plain_name_for_another_platform_goes_on_to_the_registry(engine: FakeEngine) -> None:
    engine.image("127.0.0.1:1/app:1", inspected(), HISTORY, oci_in_tar())
    with pytest.raises(Unavailable, match=r"no answer from 127.*no image for linux/arm64"):
        read("127.0.0.1:1/app:1", options(engine.address), Platform.parse("linux/arm64"))


def test_without_the_sdk_the_error_says_how_to_get_it(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "sdk_is_installed", lambda: False)
    with pytest.raises(SourceError, match=r"pip install 'imagescan\[engine\]'"):
        read("docker:app:1", options(engine.address))


def test_podman_is_asked_where_docker_does_not_have_it(engine: FakeEngine) -> None:
    engine.image("app:1", inspected(), HISTORY, oci_in_tar())
    with fake_engine() as docker:
        image, _ = read("app:1", options(docker.address, engine.address))
    assert image.reference == "podman:app:1"
