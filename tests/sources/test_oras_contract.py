"""What is used of oras, and why not more. A test that fails here after an upgrade of oras tells that a
defect was mended, or that its token flow asks in another way: look at ``registry_login`` again."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import oras.auth
import oras.auth.utils
import oras.container
import oras.provider
import pytest
import requests

from imagescan.reference import ImageReference
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry import RegistrySource
from tests.sources.faulty_registry import FaultyRegistry


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as registry:
        registry.store.image(tag="1")
        yield registry


def upstream(registry: FaultyRegistry) -> oras.provider.Registry:
    return oras.provider.Registry(hostname=registry.host, insecure=True)


def ours(registry: FaultyRegistry, name: str = "app") -> RegistrySource:
    reference = ImageReference.parse(f"{registry.host}/{name}:1")
    return RegistrySource(reference, SourceOptions(environment={}), lambda _: None)


def container(registry: FaultyRegistry, name: str = "app") -> oras.container.Container:
    return oras.container.Container(f"{registry.host}/{name}:1")


class Sessions(requests.Session):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, dict[str, object]]] = []

    def request(self, method, url, **given):
        self.seen.append((method, url, given))
        return super().request(method, url, **given)


def test_the_version_is_the_one_that_was_examined() -> None:
    assert version("oras") == "0.2.43"


@pytest.mark.parametrize("password", ["", "x"])
def test_the_token_flow_asks_its_session_once_and_for_nothing_else(
    registry: FaultyRegistry, password: str
) -> None:
    session = Sessions()
    flow = oras.auth.get_auth_backend("token", session)
    wanted = {"realm": f"{registry.url}/token", "service": "it", "scope": "repository:app:pull"}
    header = oras.auth.utils.authHeader(wanted)
    if password:
        registry.users = {"me": password}
        flow.set_basic_auth("me", password)
    token = flow.request_token(header) if password else flow.request_anonymous_token(header)
    assert registry.tokens[token][0] == "app"
    ((method, url, given),) = session.seen
    assert (method, url) == ("GET", wanted["realm"])
    assert given["params"] == {"service": "it", "scope": wanted["scope"]}
    assert ("Authorization" in (given.get("headers") or {})) is bool(password)


def test_what_oras_reads_is_what_is_read_here(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    manifest = upstream(registry).get_manifest(container(registry))
    with ours(registry) as source:
        (image,) = source.images(None)
        assert str(image.config_digest) == manifest["config"]["digest"]
        assert [str(layer.digest) for layer in image.layers] == [
            layer["digest"] for layer in manifest["layers"]
        ]
        for layer in image.layers:
            theirs = upstream(registry)
            theirs.get_manifest(container(registry))
            with source.open_layer(image, layer) as stream:
                assert stream.read() == theirs.get_blob(container(registry), str(layer.digest)).content


def test_upstream_keeps_one_token_for_all_repositories(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    session = upstream(registry)
    assert session.get_manifest(container(registry, "one"))["schemaVersion"] == 2
    with pytest.raises(Exception, match=r"Unauthorized|authentication"):
        session.get_manifest(container(registry, "two"))


def test_upstream_sends_one_registry_s_token_to_another(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    session = upstream(registry)
    with FaultyRegistry(registry.store) as other:
        session.get_manifest(container(registry))
        session.get_manifest(container(other))
        assert other.requests("/manifests/")[0].authorization


def test_upstream_asks_without_any_time_limit(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = upstream(registry)
    seen = []
    send = session.session.send

    def record(request, **settings):
        seen.append(settings["timeout"])
        return send(request, **settings)

    monkeypatch.setattr(session.session, "send", record)
    session.get_manifest(container(registry))
    assert set(seen) == {None}
