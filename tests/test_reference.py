"""References, digests and platforms are read as docker reads them, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescan.errors import InvalidReference
from imagescan.reference import Digest, ImageReference, Platform, is_loopback_host

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.19", "docker.io/library/alpine:3.19"),
        ("library/alpine", "docker.io/library/alpine:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("localhost/foo", "localhost/foo:latest"),
        ("localhost:5000/foo", "localhost:5000/foo:latest"),
        ("registry:5000/a/b:t", "registry:5000/a/b:t"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("Registry/a", "Registry/a:latest"),
        ("quay.io/a/b__c/d--e.f_g", "quay.io/a/b__c/d--e.f_g:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"quay.io/a:1.0@{DIGEST}", f"quay.io/a:1.0@{DIGEST}"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128),
    ],
)
def test_a_name_gets_every_default_written_out(text: str, expected: str) -> None:
    assert str(ImageReference.parse(text)) == expected
    assert ImageReference.parse(expected) == ImageReference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "/", "a:", ":a", "a//b", "/a", "a/", "a b", "foo:bad tag!", "UPPER", "a/UPPER", "a___b",
        "a..b",
        "-a", "a-", "a:.t", "a:-t", "a:" + "t" * 129, "@sha256:zz", "a@", "a@sha256:" + "AB" * 32,
        "a@sha256:" + "ab" * 31, "a@md5:" + "ab" * 16, "a@@b", "é", "a\n", "a:t\n", "\u0661.io/a",
        "-host.io/a", "host.io:port/a", "host.io:123456/a", "[::1/a", "[x]/a", "ab" * 32,
        "x/" * 126 + "xxxxx", "a" * 2000, "http://host/a", "user@host/a",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageReference.parse(text)
    assert "\n" not in str(caught.value)


def test_docker_hub_is_asked_at_its_api_host_and_others_at_their_own() -> None:
    assert ImageReference.parse("alpine").api_host == "registry-1.docker.io"
    assert ImageReference.parse("localhost:5000/a").api_host == "localhost:5000"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("localhost:5000", True), ("x.localhost", True), ("127.0.0.1:1", True),
        ("127.8.8.8", True), ("[::1]:5000", True), ("127.0.0.1.evil.example", False), ("10.0.0.1", False),
        ("localhost.example", False), ("[fe80::1]", False), ("0.0.0.0", False), ("quay.io", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback_host(host) is expected


def test_a_digest_is_lower_case_hexadecimal_of_its_algorithm_s_length() -> None:
    assert str(Digest.parse(DIGEST)) == DIGEST
    assert Digest.parse("sha512:" + "0" * 128).algorithm == "sha512"
    for text in (
        "sha256:" + "AB" * 32,
        "sha256:../../etc/passwd",
        "ab" * 32,
        DIGEST + "\n",
        "sha384:" + "0" * 96,
    ):
        with pytest.raises(InvalidReference):
            Digest.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"), ("arm64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"), ("linux/aarch64", "linux/arm64"), ("x86_64", "linux/amd64"),
        ("linux/armhf", "linux/arm/v7"), ("LINUX/AMD64", "linux/amd64"),
    ],
)  # fmt: skip
def test_platforms_are_normalised_as_containerd_does(text: str, expected: str) -> None:
    assert str(Platform.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "linux/amd64\n/x"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        Platform.parse(text)


_COMPONENT = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?", fullmatch=True)


@settings(deadline=None)
@given(
    st.sampled_from(["", "quay.io/", "localhost/", "h:5000/", "127.0.0.1:5000/", "docker.io/"]),
    st.lists(_COMPONENT, min_size=1, max_size=4),
    st.sampled_from(["", ":v1", ":1.2_3-x"]),
    st.sampled_from(["", f"@{DIGEST}"]),
)
def test_reading_what_was_written_gives_the_same_reference(
    registry: str, path: list[str], tag: str, digest: str
) -> None:
    reference = ImageReference.parse(f"{registry}{'/'.join(path)}{tag}{digest}")
    assert ImageReference.parse(str(reference)) == reference


@pytest.mark.oracle
@settings(deadline=None)
@given(
    st.one_of(
        st.text("abcxyz019._-/:@ABC", min_size=1, max_size=24),
        st.lists(
            st.sampled_from(
                ["a", "localhost", "quay.io", "h:5000", "B", "/", "/", ":", "t", "@", DIGEST, "-", "__", "."]
            ),
            max_size=8,
        ).map("".join),
    )
)
def test_the_same_names_are_accepted_as_by_docker_image_py(text: str) -> None:
    oracle = pytest.importorskip("docker_image.reference")
    try:
        theirs = oracle.Reference.parse_normalized_named(text)
    except Exception:
        theirs = None
    try:
        ours = ImageReference.parse(text)
    except InvalidReference:
        ours = None
    if theirs is None or ours is None:
        assert (theirs is None) == (ours is None), (text, theirs, ours)
        return
    assert theirs["name"] == ours.name
