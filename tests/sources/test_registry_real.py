"""A real registry (distribution), written to by skopeo: open, with a password, and with TLS."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.errors import NotFound, Unauthorized, Unavailable
from imagescan.reference import Platform
from imagescan.sources.options import SourceOptions
from imagescan.sources.select import open_source
from tests.requirements import require_tool
from tests.sources.store import Store, platform, sha256, tar_of
from tests.system import RegistryServer, docker_registry

pytestmark = pytest.mark.registry

TARS = {name: tar_of({"data": os.urandom(500_000), "name": name.encode()}) for name in ("amd64", "arm64")}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store()
    images = [store.image(TARS[name], architecture=name) for name in TARS]
    store.tags["single"] = images[0]
    store.index(
        *(platform(image, f"linux/{name}") for name, image in zip(TARS, images, strict=True)), tag="multi"
    )
    return store.write_layout(tmp_path_factory.mktemp("layout"))


def options(
    tmp_path: Path, host: str = "", user: str = "", password: str = "", **others: object
) -> SourceOptions:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": encoded}} if user else {}}))
    return SourceOptions(environment={"DOCKER_CONFIG": str(tmp_path)}, attempts=2, **others)  # type: ignore[arg-type]


def layer_of(name: str, given: SourceOptions, wanted: Platform | None = None) -> bytes:
    with open_source(name, given) as source:
        (image,) = source.images(wanted)
        with source.open_layer(image, image.layers[0]) as stream:
            data = stream.read()
        assert sha256(data) == str(image.layers[0].digest)
        assert image.layers[0].created_by == "COPY 0"
        return gzip.decompress(data)


def test_an_image_without_authentication(open_registry: RegistryServer, layout: Path, tmp_path: Path) -> None:
    open_registry.push(layout, "single", "team/app:1")
    given = options(tmp_path)
    assert layer_of(f"registry:{open_registry.host}/team/app:1", given) == TARS["amd64"]
    assert layer_of(f"docker://{open_registry.host}/team/app:1", given) == TARS["amd64"]
    assert layer_of(f"{open_registry.host}/team/app:1", given) == TARS["amd64"]


def test_an_index_by_tag_and_by_digest(open_registry: RegistryServer, layout: Path, tmp_path: Path) -> None:
    open_registry.push(layout, "multi", "multi:1")
    given = options(tmp_path)
    name = f"registry:{open_registry.host}/multi"
    assert layer_of(f"{name}:1", given, Platform.parse("arm64")) == TARS["arm64"]
    with open_source(f"{name}:1", given) as source:
        images = source.images("all")
        assert [str(image.platform) for image in images] == ["linux/amd64", "linux/arm64"]
        with pytest.raises(NotFound, match="choose with --platform from: linux/amd64, linux/arm64"):
            source.images(Platform.parse("linux/riscv64"))
    assert layer_of(f"{name}@{images[0].index_digest}", given, Platform.parse("amd64")) == TARS["amd64"]
    assert layer_of(f"{name}@{images[1].digest}", given) == TARS["arm64"]


def test_names_that_the_registry_does_not_have(open_registry: RegistryServer, tmp_path: Path) -> None:
    name = f"registry:{open_registry.host}/nothing:1"
    with (
        open_source(name, options(tmp_path)) as source,
        pytest.raises(NotFound, match=r"404: (MANIFEST|NAME)_UNK"),
    ):
        source.images(None)


def test_a_password_opens_the_registry(
    guarded_registry: RegistryServer, layout: Path, tmp_path: Path
) -> None:
    guarded_registry.push(layout, "single", "app:1")
    host = guarded_registry.host
    assert layer_of(f"registry:{host}/app:1", options(tmp_path, host, "me", "se:cret")) == TARS["amd64"]


def test_a_wrong_password_and_none_are_told_apart(guarded_registry: RegistryServer, tmp_path: Path) -> None:
    host = guarded_registry.host
    for user, says in (("me", "stored credentials are wrong"), ("", "no permission without credentials")):
        given = options(tmp_path, host, user, "wrong")
        with open_source(f"registry:{host}/app:1", given) as source, pytest.raises(Unauthorized, match=says):
            source.images(None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    openssl = require_tool("openssl")
    directory = tmp_path_factory.mktemp("tls")
    paths = (directory / "certificate.pem", directory / "key.pem")
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def tls_registry(certificate: tuple[Path, Path]) -> Iterator[RegistryServer]:
    with docker_registry(certificate=certificate) as server:
        yield server


def test_a_certificate_is_verified_unless_told_otherwise(
    tls_registry: RegistryServer,
    certificate: tuple[Path, Path],
    layout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls_registry.push(layout, "single", "app:1")
    name = f"registry:{tls_registry.host}/app:1"
    with open_source(name, options(tmp_path)) as source, pytest.raises(Unavailable) as caught:
        source.images(None)
    assert "the certificate of 127.0.0.1 is not trusted" in str(caught.value)
    assert layer_of(name, options(tmp_path, insecure=True)) == TARS["amd64"]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert layer_of(name, options(tmp_path)) == TARS["amd64"]
