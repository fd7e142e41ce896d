"""A registry that misbehaves: what is retried, what is resumed, what is refused, and where secrets go."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from imagescan.errors import (
    DigestMismatch,
    ImageFormatError,
    ImageScanError,
    NotFound,
    RateLimited,
    SizeMismatch,
    SourceError,
    Unauthorized,
    Unavailable,
)
from imagescan.reference import ImageReference, Platform
from imagescan.sources.documents import MANIFEST_SIZE_LIMIT
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry import RegistrySource
from imagescan.sources.registry_blob import RESUME_LIMIT
from imagescan.sources.streams import READ_SIZE
from imagescan.sources.values import ImageManifest
from tests.sources.faulty_registry import (
    FaultyRegistry,
    answer,
    drop,
    drop_at,
    hang_at,
    passes,
    redirect,
    status,
)
from tests.sources.store import Store, platform, sha256, tar_of


@dataclass
class Client:
    """Opens sources, and keeps what they would have waited."""

    options: SourceOptions
    waits: list[float] = field(default_factory=list)

    def open(self, registry: FaultyRegistry, name: str = "app:1") -> RegistrySource:
        return RegistrySource(
            ImageReference.parse(f"{registry.host}/{name}"), self.options, self.waits.append
        )

    def image(self, registry: FaultyRegistry, name: str = "app:1") -> ImageManifest:
        with self.open(registry, name) as source:
            return source.images(None)[0]

    def layer(self, registry: FaultyRegistry, name: str = "app:1") -> bytes:
        with self.open(registry, name) as source:
            (image,) = source.images(None)
            with source.open_layer(image, image.layers[0]) as stream:
                return stream.read()


@pytest.fixture
def client() -> Client:
    return Client(SourceOptions(environment={}, read_timeout=5, connect_timeout=5))


@pytest.fixture(scope="module")
def big_image() -> Store:
    store = Store()
    store.image(tar_of({"big": os.urandom(2_000_000)}), tag="1")
    return store


@pytest.fixture
def registry(big_image: Store) -> Iterator[FaultyRegistry]:
    with FaultyRegistry(deepcopy(big_image)) as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as registry:
        registry.store.image(tag="1")
        yield registry


def logged_in(client: Client, home: Path, **auths: dict[str, str]) -> None:
    """Give the client credentials; ``auths`` by host with ``_`` for ``:`` are awkward, so by dict."""
    path = home / "auth.json"
    path.write_text(json.dumps({"auths": auths}))
    client.options = replace(client.options, environment={"REGISTRY_AUTH_FILE": str(path)})


def password(name: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{secret}".encode()).decode()}


# What a sound registry gives


def test_an_image_is_read_with_the_digest_of_its_raw_manifest(
    registry: FaultyRegistry, client: Client
) -> None:
    image = client.image(registry)
    assert image.reference == f"{registry.host}/app:1"
    assert str(image.digest) == registry.store.tags["1"]["digest"]
    data = client.layer(registry)
    assert sha256(data) == str(image.layers[0].digest)
    assert sha256(gzip.decompress(data)) == str(image.layers[0].diff_id)


def test_an_index_is_read_for_the_platform_wanted(registry: FaultyRegistry, client: Client) -> None:
    store = registry.store
    entries = [platform(store.image(architecture=name), f"linux/{name}") for name in ("amd64", "arm64")]
    digest = store.index(*entries, tag="many")["digest"]
    with client.open(registry, "app:many") as source:
        (image,) = source.images(Platform.parse("arm64"))
        assert str(image.digest) == entries[1]["digest"]
        assert str(image.index_digest) == digest
        assert len(source.images("all")) == 2
    with (
        client.open(registry, f"app@{digest}") as source,
        pytest.raises(NotFound, match="linux/amd64, linux/arm64"),
    ):
        source.images(Platform.parse("s390x"))


def test_a_digest_in_the_reference_decides_over_the_tag(registry: FaultyRegistry, client: Client) -> None:
    digest = registry.store.tags["1"]["digest"]
    assert str(client.image(registry, f"app:other@{digest}").digest) == digest


def test_layers_are_read_by_several_threads_at_once(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    registry.store.image(*(tar_of({"f": os.urandom(300_000)}) for _ in range(4)), tag="many")
    with client.open(registry, "app:many") as source, ThreadPoolExecutor(4) as pool:
        (image,) = source.images(None)
        digests = pool.map(lambda layer: sha256(source.open_layer(image, layer).read()), image.layers * 3)
        assert list(digests) == [str(layer.digest) for layer in image.layers] * 3


def test_a_layer_s_stream_fills_buffers_of_any_size(registry: FaultyRegistry, client: Client) -> None:
    with client.open(registry) as source:
        (image,) = source.images(None)
        for size in (1000, 256 * 1024):
            seen = hashlib.sha256()
            buffer = bytearray(size)
            with source.open_layer(image, image.layers[0]) as stream:
                while count := stream.readinto(buffer):  # type: ignore[attr-defined]
                    seen.update(memoryview(buffer)[:count])
                assert stream.read(1) == b""
            assert seen.hexdigest() == image.layers[0].digest.hex  # type: ignore[union-attr]


# Names and documents that are not there or not true


def test_an_unknown_name_is_told_with_the_registry_s_own_word(
    registry: FaultyRegistry, client: Client
) -> None:
    with pytest.raises(NotFound) as caught:
        client.image(registry, "app:2")
    assert str(caught.value).startswith(f"{registry.host}/app:2: the registry answered 404: MANIFEST_UNKNOWN")
    assert client.waits == []


def test_a_missing_layer_is_told_when_it_is_opened(registry: FaultyRegistry, client: Client) -> None:
    with client.open(registry) as source:
        (image,) = source.images(None)
        del registry.store.blobs[str(image.layers[0].digest)]
        with pytest.raises(NotFound, match=f"layer {image.layers[0].digest}"):
            source.open_layer(image, image.layers[0])


def test_a_manifest_that_is_not_what_its_digest_promises_is_refused(
    registry: FaultyRegistry, client: Client
) -> None:
    digest = registry.store.tags["1"]["digest"]
    corrupt = registry.store.blobs[digest].replace(b"gzip", b"zstd")
    registry.on("/manifests/", answer(200, corrupt), answer(200, corrupt, Docker_Content_Digest=digest))
    with pytest.raises(DigestMismatch):
        client.image(registry, f"app@{digest}")
    with pytest.raises(DigestMismatch):
        client.image(registry)


def test_a_config_that_is_not_what_its_digest_promises_is_refused(
    registry: FaultyRegistry, client: Client
) -> None:
    image = client.image(registry)
    config = registry.store.blobs[str(image.config_digest)]
    registry.on("/blobs/", answer(200, config.replace(b"PATH", b"HTAP")), answer(200, config + b" "))
    with pytest.raises(DigestMismatch):
        client.image(registry)
    with pytest.raises(SizeMismatch):
        client.image(registry)


@pytest.mark.parametrize("length", [True, False])
def test_a_manifest_without_end_is_read_only_so_far(
    registry: FaultyRegistry, client: Client, length: bool
) -> None:
    body = b" " * (MANIFEST_SIZE_LIMIT + 100_000)
    headers = {} if length else {"Content_Length": str(1 << 40)}
    registry.on("/manifests/", answer(200, body, **headers))
    with pytest.raises(ImageFormatError, match="longer than"):
        client.image(registry)


# Patience


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_a_failing_server_is_asked_again_with_growing_pauses(
    registry: FaultyRegistry, client: Client, code: int
) -> None:
    registry.on("/manifests/", status(code), status(code), status(code))
    client.image(registry)
    assert len(registry.requests("/manifests/")) == 4
    assert [0.25 * 2**number <= wait <= 0.5 * 2**number for number, wait in enumerate(client.waits)] == [
        True
    ] * 3


def test_pauses_differ_so_that_clients_do_not_come_back_together(
    registry: FaultyRegistry, client: Client
) -> None:
    for _ in range(5):
        registry.on("/manifests/", status(503))
        client.image(registry)
    assert len(set(client.waits)) == 5


def test_retry_after_is_obeyed_as_seconds_and_as_a_date(registry: FaultyRegistry, client: Client) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    registry.on("/manifests/", status(503, Retry_After="7"), status(429, Retry_After=then))
    client.image(registry)
    assert client.waits[0] == 7
    assert 25 < client.waits[1] <= 30


def test_a_registry_that_asks_for_an_hour_is_not_waited_for(registry: FaultyRegistry, client: Client) -> None:
    registry.on("/manifests/", status(429, Retry_After="3600"))
    with pytest.raises(RateLimited, match="come back in 3600 s"):
        client.image(registry)
    assert client.waits == []


@pytest.mark.parametrize(("code", "error"), [(429, RateLimited), (503, Unavailable)])
def test_patience_ends(
    registry: FaultyRegistry, client: Client, code: int, error: type[ImageScanError]
) -> None:
    registry.on("/manifests/", *[status(code)] * 9)
    with pytest.raises(error, match=f"answered {code}: FAULT fault"):
        client.image(registry)
    assert len(registry.requests("/manifests/")) == client.options.attempts


def test_a_dropped_connection_is_asked_again(registry: FaultyRegistry, client: Client) -> None:
    registry.on("/manifests/", drop, answer(200, b"{", Content_Length="100000"), passes)
    registry.faults[0][1][1] = lambda handler: (
        handler.reply(200, b"{", Content_Length="9999"),
        drop(handler),
    )[1]
    client.image(registry)
    assert len(registry.requests("/manifests/")) == 3


def test_nobody_listening_is_told_at_once(client: Client, other: FaultyRegistry) -> None:
    host = other.host
    other.__exit__()
    try:
        with pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1: Connection refused"):
            RegistrySource(ImageReference.parse(f"{host}/x"), client.options, client.waits.append).images(
                None
            )
        assert client.waits == []
    finally:
        other.__enter__()


# Blobs


def test_two_drops_are_resumed_where_they_happened(registry: FaultyRegistry, client: Client) -> None:
    layer = str(client.image(registry).layers[0].digest)
    registry.on(layer, drop_at(1_000_000), drop_at(1_500_000))
    assert sha256(client.layer(registry)) == layer
    assert [seen.headers.get("range") for seen in registry.requests(layer)] == [
        None, "bytes=1000000-", "bytes=1500000-",
    ]  # fmt: skip


def test_a_server_that_ignores_ranges_is_read_again_from_the_start(
    registry: FaultyRegistry, client: Client
) -> None:
    registry.ranges = False
    layer = str(client.image(registry).layers[0].digest)
    registry.on(layer, drop_at(1_000_000), drop_at(700_000), drop_at(1_500_000))
    assert sha256(client.layer(registry)) == layer
    assert len(registry.requests(layer)) == 4


def test_a_hung_blob_is_given_up_and_resumed(registry: FaultyRegistry, client: Client) -> None:
    client.options = replace(client.options, read_timeout=0.3)
    layer = str(client.image(registry).layers[0].digest)
    released = threading.Event()
    registry.on(layer, hang_at(500_000, released))
    start = time.monotonic()
    assert sha256(client.layer(registry)) == layer
    assert time.monotonic() - start < 5
    assert registry.requests(layer)[1].headers["range"] == f"bytes={500_000 // READ_SIZE * READ_SIZE}-"
    released.set()


def test_a_blob_that_never_goes_on_is_given_up(registry: FaultyRegistry, client: Client) -> None:
    layer = client.image(registry).layers[0]
    registry.on(str(layer.digest), *[drop_at(1000)] * 50)
    with pytest.raises(Unavailable, match=f"broke off after 1000 of {layer.size} bytes"):
        client.layer(registry)
    assert len(registry.requests(str(layer.digest))) == client.options.attempts


def test_a_blob_that_goes_on_too_slowly_is_given_up(registry: FaultyRegistry, client: Client) -> None:
    layer = str(client.image(registry).layers[0].digest)
    registry.on(layer, *[drop_at(number * 1000) for number in range(1, 100)])
    with pytest.raises(Unavailable, match="broke off after"):
        client.layer(registry)
    assert len(registry.requests(layer)) == RESUME_LIMIT + 1


def test_a_blob_of_another_length_is_an_error(registry: FaultyRegistry, client: Client) -> None:
    layer = client.image(registry).layers[0]
    data = registry.store.blobs[str(layer.digest)]
    for wrong in (data[:-1], data + b"x"):
        registry.on(str(layer.digest), answer(200, wrong))
        with pytest.raises(SizeMismatch):
            client.layer(registry)


def test_without_a_length_the_promised_size_decides(registry: FaultyRegistry, client: Client) -> None:
    layer = client.image(registry).layers[0]
    data = registry.store.blobs[str(layer.digest)]

    def unmarked(body: bytes):
        def fault(handler) -> bool:
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(body)
            handler.close_connection = True
            return True

        return fault

    registry.on(str(layer.digest), unmarked(data))
    assert client.layer(registry) == data
    registry.on(str(layer.digest), unmarked(data + b"x"))
    with pytest.raises(SizeMismatch, match="longer than"):
        client.layer(registry)
    registry.on(str(layer.digest), unmarked(data[:-5]))
    assert client.layer(registry) == data


@pytest.mark.parametrize("content_range", ["bytes 5-9/10", "nonsense", ""])
def test_another_range_than_asked_for_is_refused(
    registry: FaultyRegistry, client: Client, content_range: str
) -> None:
    layer = str(client.image(registry).layers[0].digest)
    registry.on(layer, drop_at(1000), answer(206, b"x", Content_Range=content_range))
    with pytest.raises(SourceError, match="another range"):
        client.layer(registry)


# Credentials and tokens


def test_an_anonymous_token_is_fetched_for_the_repository(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    client.layer(registry, "team/app:1")
    (token,) = registry.requests("/token")
    assert token.query == {"service": ["it"], "scope": ["repository:team/app:pull"]}
    assert token.authorization == ""


def test_an_expired_token_is_renewed(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    registry.token_uses = 1
    layer = str(client.image(registry).layers[0].digest)
    registry.seen.clear()
    registry.on(layer, drop_at(1_000_000))
    assert sha256(client.layer(registry)) == layer
    # One each for manifest, config and the rest of the layer; the fault answered before any check.
    assert len(registry.requests("/token")) == 3


def test_each_repository_gets_a_token_of_its_own(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    with client.open(registry, "one:1") as source:
        source.images(None)
        session = source._session
        for name in ("one", "two", "one", "two"):
            url = f"{session.base_url()}/v2/{name}/manifests/1"
            assert session.get(url, {}).status == 200
    scopes = [seen.query["scope"][0] for seen in registry.requests("/token")]
    assert scopes == ["repository:one:pull", "repository:two:pull"]


def test_a_token_is_never_sent_to_another_host(
    registry: FaultyRegistry, other: FaultyRegistry, client: Client
) -> None:
    registry.auth = "token"
    with client.open(registry) as source:
        source.images(None)
        source._session.get(f"{other.url}/v2/app/manifests/1", {})
    assert [seen.authorization for seen in other.seen] == [""]


def test_a_redirect_to_a_blob_store_carries_no_credentials(
    registry: FaultyRegistry, other: FaultyRegistry, client: Client
) -> None:
    registry.auth = "token"
    other.store = registry.store
    layer = str(client.image(registry).layers[0].digest)
    to_store = redirect(lambda handler: f"{other.url}{handler.seen.path}?signature=hunter2")
    with_token = [passes, to_store, to_store]
    registry.on(layer, *with_token)
    registry.faults[-1][1].pop(0)
    other.on(layer, drop_at(1_000_000))
    assert sha256(client.layer(registry)) == layer
    assert [seen.authorization for seen in other.requests(layer)] == ["", ""]
    assert [seen.headers.get("range") for seen in other.requests(layer)] == [None, "bytes=1000000-"]
    assert all(seen.authorization for seen in registry.requests(layer))


def test_a_redirect_back_does_not_bring_the_credentials_back(
    registry: FaultyRegistry, other: FaultyRegistry, client: Client, tmp_path: Path
) -> None:
    registry.auth, registry.users = "basic", {"me": "x"}
    logged_in(client, tmp_path, **{registry.host: password("me", "x")})
    layer = str(client.image(registry).layers[0].digest)
    registry.on(layer, redirect(lambda handler: f"{other.url}/away"))
    other.on("/away", redirect(lambda handler: f"{registry.url}/back/blobs/{layer}"))
    client.layer(registry)
    assert other.requests("/away")[0].authorization == ""
    assert registry.requests("/back/")[0].authorization == ""


def test_a_challenge_of_a_blob_store_gets_no_credentials(
    registry: FaultyRegistry, other: FaultyRegistry, client: Client, tmp_path: Path
) -> None:
    registry.auth, registry.users = "basic", {"me": "x"}
    logged_in(client, tmp_path, **{registry.host: password("me", "x")})
    layer = str(client.image(registry).layers[0].digest)
    other.auth = "token"
    registry.on(layer, redirect(lambda handler: f"{other.url}{handler.seen.path}"))
    with pytest.raises(Unauthorized):
        client.layer(registry)
    assert [seen.authorization for seen in other.seen] == [""]
    assert other.requests("/token") == []


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://registry.example/x",
        "http://169.254.169.254/latest",
    ],
)
def test_redirects_to_strange_places_are_not_followed(
    registry: FaultyRegistry, client: Client, target: str
) -> None:
    registry.on("/manifests/", redirect(lambda handler: target))
    with pytest.raises(SourceError, match="the registry names a redirect"):
        client.image(registry)


def test_a_circle_of_redirects_ends(registry: FaultyRegistry, client: Client) -> None:
    registry.on("/manifests/", *[redirect(lambda handler: handler.seen.path)] * 20)
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        client.image(registry)


def test_a_secret_in_a_redirect_is_not_shown(registry: FaultyRegistry, client: Client) -> None:
    registry.on("/manifests/", redirect(lambda handler: "http://me:hunter2@cdn.example/x?signature=hunter3"))
    with pytest.raises(SourceError) as caught:
        client.image(registry)
    assert "http://cdn.example/x" in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_basic_credentials_are_sent_after_they_are_asked_for(
    registry: FaultyRegistry, client: Client, tmp_path: Path
) -> None:
    registry.auth, registry.users = "basic", {"me": "se:cret"}
    logged_in(client, tmp_path, **{registry.host: password("me", "se:cret")})
    client.layer(registry)
    assert [bool(seen.authorization) for seen in registry.requests("/app/")] == [False, True, True, True]


def test_a_password_buys_a_token(registry: FaultyRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth, registry.users = "token", {"me": "x"}
    logged_in(client, tmp_path, **{registry.host: password("me", "x")})
    client.layer(registry)
    assert registry.requests("/token")[0].authorization.startswith("Basic ")
    assert all(not seen.authorization.startswith("Basic") for seen in registry.requests("/app/"))


def test_an_identity_token_buys_a_token(registry: FaultyRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth, registry.identity_tokens = "token", {"t0k"}
    logged_in(client, tmp_path, **{registry.host: {"identitytoken": "t0k"}})
    client.layer(registry)
    (token,) = registry.requests("/token")
    assert token.method == "POST"
    assert "grant_type=refresh_token" in token.body


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_a_wrong_password_fails_at_once(
    registry: FaultyRegistry, client: Client, tmp_path: Path, auth: str
) -> None:
    registry.auth, registry.users = auth, {"me": "right"}
    logged_in(client, tmp_path, **{registry.host: password("me", "hunter2")})
    with pytest.raises(Unauthorized, match="the stored credentials are wrong") as caught:
        client.image(registry)
    assert len(registry.requests("/app/")) + len(registry.requests("/token")) == 2
    assert client.waits == []
    assert "hunter2" not in str(caught.value)
    assert "docker login" in str(caught.value)


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_no_credentials_are_told_as_such(registry: FaultyRegistry, client: Client, auth: str) -> None:
    registry.auth, registry.users = auth, {"me": "right"}
    with pytest.raises(Unauthorized, match="no permission without credentials"):
        client.image(registry)


def test_a_helper_s_trouble_is_told_with_the_refusal(
    registry: FaultyRegistry, client: Client, tmp_path: Path
) -> None:
    registry.auth, registry.users = "basic", {"me": "right"}
    (tmp_path / "config.json").write_text('{"credsStore": "absent"}')
    client.options = replace(client.options, environment={"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(Unauthorized, match="docker-credential-absent is not installed"):
        client.image(registry)
    registry.auth = ""
    client.image(registry)


def test_a_refusal_for_a_fresh_token_is_final(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    registry.token_uses = 0
    with pytest.raises(Unauthorized):
        client.image(registry)
    assert len(registry.requests("/token")) == 1


def test_a_token_that_a_registry_forbids_later_is_renewed_once(
    registry: FaultyRegistry, client: Client
) -> None:
    registry.auth = "token"
    with client.open(registry) as source:
        source.images(None)
        registry.token_uses = 0
        registry.on("/manifests/", status(403))
        with pytest.raises(Unauthorized):
            source.images(None)


def test_a_token_answer_without_end_is_not_read(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    body = json.dumps({"token": "x" * 100_000}).encode()
    registry.on("/token", answer(200, body), answer(200, b"{", Content_Length=str(1 << 40)))
    with pytest.raises(ImageScanError, match="longer than 65536"):
        client.image(registry)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}']
)
def test_a_token_answer_without_a_token_is_told(
    registry: FaultyRegistry, client: Client, body: bytes
) -> None:
    registry.auth = "token"
    registry.on("/token", answer(200, body))
    with pytest.raises(Unavailable, match="the token server"):
        client.image(registry)


def test_a_token_server_in_trouble_is_asked_again(registry: FaultyRegistry, client: Client) -> None:
    registry.auth = "token"
    registry.on("/token", status(503, Retry_After="2"), drop)
    client.image(registry)
    assert client.waits[0] == 2
    assert len(registry.requests("/token")) == 3


def test_an_error_answer_without_end_is_read_only_so_far(registry: FaultyRegistry, client: Client) -> None:
    body = b'{"errors": [{"code": "' + b"x" * 1_000_000 + b'"}]}'
    registry.on("/manifests/", answer(400, body))
    with pytest.raises(SourceError) as caught:
        client.image(registry)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "realm",
    ["http://auth.example/token", "https://169.254.169.254/token", "http://10.0.0.1/token", "token", ""],
)
def test_a_password_is_not_sent_to_a_strange_token_server(
    registry: FaultyRegistry, client: Client, tmp_path: Path, realm: str
) -> None:
    registry.auth, registry.users = "token", {"me": "x"}
    logged_in(client, tmp_path, **{registry.host: password("me", "x")})
    client.options = replace(client.options, connect_timeout=0.5, attempts=1)
    registry.realm = realm or "ftp://x/"
    with pytest.raises(SourceError):
        client.image(registry)


def test_netrc_is_not_read(
    registry: FaultyRegistry, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.layer(registry)
    assert {seen.authorization for seen in registry.seen} == {""}
