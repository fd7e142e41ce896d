"""What is overridden of oras and why. A test that fails here after an upgrade of oras tells that a
defect was mended, or that the choke point moved: look at ``registry_session`` again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import version

import oras.container
import oras.provider
import pytest

from imagescan.sources.credentials import FoundCredential
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_session import RegistrySession
from tests.sources.faulty_registry import FaultyRegistry


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as registry:
        registry.store.image(tag="1")
        yield registry


def upstream(registry: FaultyRegistry) -> oras.provider.Registry:
    return oras.provider.Registry(hostname=registry.host, insecure=True)


def ours(registry: FaultyRegistry) -> RegistrySession:
    options = SourceOptions(environment={})
    session = RegistrySession(registry.host, options, lambda _: FoundCredential(None), lambda _: None)
    session.base_url()
    return session


def container(registry: FaultyRegistry, name: str = "app") -> oras.container.Container:
    return oras.container.Container(f"{registry.host}/{name}:1")


def test_the_version_is_the_one_that_was_examined() -> None:
    assert version("oras") == "0.2.43"


def test_the_choke_point_has_the_signature_that_is_overridden() -> None:
    theirs = inspect.signature(oras.provider.Registry.do_request)
    assert list(theirs.parameters) == list(inspect.signature(RegistrySession.do_request).parameters)


@pytest.mark.parametrize("method", ["get_manifest", "get_blob", "get_tags", "upload_manifest", "put_upload"])
def test_every_request_of_oras_goes_through_the_choke_point(method: str) -> None:
    source = inspect.getsource(getattr(oras.provider.Registry, method))
    assert "session.request" not in source and "requests." not in source.replace("requests.Response", "")


def test_oras_own_methods_work_through_our_session(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    manifest = ours(registry).get_manifest(container(registry))
    blob = ours(registry).get_blob(container(registry), manifest["config"]["digest"])
    assert (blob.status_code, len(blob.content)) == (200, manifest["config"]["size"])


def test_upstream_keeps_one_token_for_all_repositories(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    session = upstream(registry)
    assert session.get_manifest(container(registry, "one"))["schemaVersion"] == 2
    with pytest.raises(Exception, match=r"Unauthorized|authentication"):
        session.get_manifest(container(registry, "two"))
    mended = ours(registry)
    for name in ("one", "two"):
        assert mended.get_manifest(container(registry, name))["schemaVersion"] == 2


def test_upstream_sends_one_registry_s_token_to_another(registry: FaultyRegistry) -> None:
    registry.auth = "token"
    with FaultyRegistry(registry.store) as other:
        for session, leaks in ((upstream(registry), True), (ours(registry), False)):
            session.get_manifest(container(registry))
            other.seen.clear()
            session.get_manifest(container(other))
            assert bool(other.requests("/manifests/")[0].authorization) is leaks


def test_upstream_asks_without_any_time_limit(
    registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session, limit in ((upstream(registry), None), (ours(registry), (10.0, 60.0))):
        seen = []
        send = session.session.send

        def record(request, seen=seen, send=send, **settings):
            seen.append(settings["timeout"])
            return send(request, **settings)

        monkeypatch.setattr(session.session, "send", record)
        session.get_manifest(container(registry))
        assert set(seen) == {limit}
