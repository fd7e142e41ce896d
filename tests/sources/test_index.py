"""Which image of an index is meant: by platform, never silently another one."""

from __future__ import annotations

from typing import Any

import pytest

from imagescan.errors import DigestMismatch, ImageFormatError, NotFound, SizeMismatch, UnsupportedImage
from imagescan.reference import Platform
from imagescan.sources.documents import (
    CONFIG_SIZE_LIMIT,
    MANIFEST_SIZE_LIMIT,
    OCI_INDEX,
    Descriptor,
    Document,
    digest_of,
)
from imagescan.sources.index import INDEX_DEPTH_LIMIT, ImageReader, Wanted, match_rank
from imagescan.sources.values import ImageManifest
from tests.sources.store import Store, platform

ATTESTATION = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}


def images(store: Store, top: dict[str, Any], wanted: Wanted) -> tuple[ImageManifest, ...]:
    def read(descriptor: Descriptor, what: str) -> bytes:
        return store.blobs[str(descriptor.digest)]

    data = store.blobs[top["digest"]]
    return ImageReader("example/app:1", read).images(
        Document(data, digest_of(data), top["mediaType"]), wanted
    )


def several(*platforms: str) -> tuple[Store, dict[str, Any]]:
    store = Store()
    entries = []
    for text in platforms:
        _, architecture, *variant = text.split("/")
        entries.append(platform(store.image(architecture=architecture, variant="".join(variant)), text))
    return store, store.index(*entries)


def chosen(wanted: str, *platforms: str) -> str:
    store, top = several(*platforms)
    (image,) = images(store, top, Platform.parse(wanted))
    return str(image.platform)


def test_the_platform_wanted_is_chosen() -> None:
    assert chosen("linux/arm64", "linux/amd64", "linux/arm64", "linux/s390x") == "linux/arm64"


def test_without_a_wish_it_is_this_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    store, top = several("linux/amd64", "linux/arm64", "linux/riscv64")
    for machine, expected in (("aarch64", "arm64"), ("x86_64", "amd64"), ("riscv64", "riscv64")):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert images(store, top, None)[0].platform.architecture == expected
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(NotFound):
        images(store, top, None)


def test_without_a_wish_an_only_image_is_taken_whatever_it_is() -> None:
    store = Store()
    top = store.index(
        platform(store.image(architecture="s390x"), "linux/s390x"),
        platform(store.image(architecture="x"), "unknown/unknown", **ATTESTATION),
    )
    (image,) = images(store, top, None)
    assert str(image.platform) == "linux/s390x"
    assert str(image.index_digest) == top["digest"]


def test_an_absent_platform_is_an_error_that_names_those_that_exist() -> None:
    store, top = several("linux/amd64", "linux/arm/v7")
    with pytest.raises(NotFound) as caught:
        images(store, top, Platform.parse("linux/s390x"))
    message = "no image for linux/s390x (choose with --platform from: linux/amd64, linux/arm/v7)"
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), "linux/arm/v6"),
        ("linux/arm/v7", ("linux/arm/v6", "linux/arm/v7", "linux/arm64"), "linux/arm/v7"),
        ("linux/arm", ("linux/arm/v6", "linux/arm/v7"), "linux/arm/v7"),
        ("linux/arm/v6", ("linux/arm/v5", "linux/arm/v7"), "linux/arm/v5"),
        ("linux/arm64/v8", ("linux/arm64",), "linux/arm64"),
        ("linux/arm64", ("linux/arm64/v8",), "linux/arm64"),
        ("linux/amd64/v3", ("linux/amd64", "linux/amd64/v2"), "linux/amd64/v2"),
        ("linux/amd64", ("linux/amd64/v3", "linux/amd64/v1"), "linux/amd64/v1"),
    ],
)
def test_the_best_variant_that_runs_there_is_chosen(
    wanted: str, offered: tuple[str, ...], expected: str
) -> None:
    assert chosen(wanted, *offered) == expected


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ("linux/arm/v6", "linux/arm/v7"), ("linux/amd64", "linux/amd64/v3"), ("linux/amd64", "linux/386"),
        ("linux/arm64", "linux/arm/v7"), ("windows/amd64", "linux/amd64"), ("linux/arm64", "linux/arm64/v9"),
    ],
)  # fmt: skip
def test_what_does_not_run_there_is_never_chosen(wanted: str, offered: str) -> None:
    assert match_rank(Platform.parse(wanted), Platform.parse(offered)) is None


def test_all_means_each_linux_image_and_no_attestation() -> None:
    store = Store()
    top = store.index(
        platform(store.image(architecture="amd64"), "linux/amd64"),
        platform(store.image(architecture="x1"), "unknown/unknown", **ATTESTATION),
        platform(store.image(architecture="x2"), "linux/amd64", **ATTESTATION),
        platform(store.image(architecture="x3"), "linux/amd64", artifactType="application/x"),
        platform(store.image(architecture="amd64", os="windows"), "windows/amd64"),
        platform(store.image(architecture="arm64"), "linux/arm64"),
    )
    assert [str(image.platform) for image in images(store, top, "all")] == ["linux/amd64", "linux/arm64"]


def test_an_index_of_attestations_alone_holds_no_image() -> None:
    store = Store()
    top = store.index(platform(store.image(), "unknown/unknown", **ATTESTATION))
    with pytest.raises(NotFound, match="holds no image"):
        images(store, top, None)


def test_entries_without_a_platform_are_asked_for_their_config_s() -> None:
    store = Store()
    top = store.index(store.image(architecture="amd64"), store.image(architecture="arm64"))
    assert str(images(store, top, Platform.parse("arm64"))[0].platform) == "linux/arm64"


def test_nested_indexes_are_looked_into_to_a_limit() -> None:
    store = Store()
    top = store.index(platform(store.image(architecture="arm64"), "linux/arm64"))
    for _ in range(INDEX_DEPTH_LIMIT - 1):
        top = store.index(top)
    assert str(images(store, top, Platform.parse("arm64"))[0].platform) == "linux/arm64"
    with pytest.raises(ImageFormatError, match="nested more than"):
        images(store, store.index(top), None)


def test_the_platform_of_a_single_image_is_checked_too() -> None:
    store = Store()
    top = store.image(architecture="arm64")
    assert str(images(store, top, None)[0].platform) == "linux/arm64"
    with pytest.raises(NotFound, match="from: linux/arm64"):
        images(store, top, Platform.parse("amd64"))


def test_images_of_other_systems_are_refused_as_such() -> None:
    store = Store()
    top = store.index(platform(store.image(os="windows"), "windows/amd64"))
    with pytest.raises(UnsupportedImage, match="only Linux"):
        images(store, top, Platform.parse("windows/amd64"))
    with pytest.raises(NotFound, match="no image for Linux"):
        images(store, top, "all")


def test_the_index_s_word_stands_beside_the_config_s_where_they_differ() -> None:
    store = Store()
    top = store.index(platform(store.image(architecture="amd64"), "linux/arm64"))
    (image,) = images(store, top, None)
    assert (image.platform.architecture, image.config.platform.architecture) == ("arm64", "amd64")


def test_every_document_below_the_first_is_verified() -> None:
    store, top = several("linux/amd64")
    (image,) = images(store, top, "all")
    for digest in (image.digest, image.config_digest):
        kept = store.blobs[str(digest)]
        store.blobs[str(digest)] = kept.replace(b"2", b"3", 1)
        with pytest.raises(DigestMismatch):
            images(store, top, "all")
        store.blobs[str(digest)] = kept + b" "
        with pytest.raises(SizeMismatch):
            images(store, top, "all")
        store.blobs[str(digest)] = kept


def test_documents_that_claim_to_be_huge_are_never_asked_for() -> None:
    store = Store()
    huge = {**store.image(), "size": MANIFEST_SIZE_LIMIT + 1}
    with pytest.raises(ImageFormatError, match="are allowed"):
        images(store, store.index(platform(huge, "linux/amd64")), None)
    config = {**store.add(b"{}", "application/vnd.oci.image.config.v1+json"), "size": CONFIG_SIZE_LIMIT + 1}
    with pytest.raises(ImageFormatError, match="are allowed"):
        images(store, store.image(manifest={"config": config}), None)


def test_an_entry_that_promises_a_manifest_is_not_allowed_to_be_an_index() -> None:
    store, inner = several("linux/amd64")
    entry = platform({**inner, "mediaType": "application/vnd.oci.image.manifest.v1+json"}, "linux/amd64")
    with pytest.raises(ImageFormatError):
        images(store, store.index(entry), None)
    assert inner["mediaType"] == OCI_INDEX
