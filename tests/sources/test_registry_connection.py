"""How servers are reached: connections that are kept, trusted authorities, time limits and proxies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from imagescan.errors import SourceError, Unavailable
from imagescan.reference import ImageReference
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry import RegistrySource
from imagescan.sources.registry_connection import Connections
from tests.sources.faulty_registry import FaultyRegistry, redirect
from tests.sources.store import sha256, tar_of


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as registry:
        registry.store.image(tar_of({"big": os.urandom(600_000)}), tag="1")
        yield registry


@pytest.fixture
def waits() -> list[float]:
    return []


def source(registry: FaultyRegistry, waits: list[float], **wishes: object) -> RegistrySource:
    options = SourceOptions(environment={}, connect_timeout=5, read_timeout=5, **wishes)  # type: ignore[arg-type]
    return RegistrySource(ImageReference.parse(f"{registry.host}/app:1"), options, waits.append)


def first_layer(registry: FaultyRegistry, waits: list[float], **wishes: object) -> str:
    with source(registry, waits, **wishes) as opened:
        (image,) = opened.images(None)
        with opened.open_layer(image, image.layers[0]) as stream:
            assert sha256(stream.read()) == str(image.layers[0].digest)
    return str(image.layers[0].digest)


@contextmanager
def counted_connections(registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The connections that reach the registry for documents, each by its client's address."""
    seen: list[object] = []
    serve = registry._server.RequestHandlerClass._serve  # type: ignore[attr-defined]

    def noted(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.client_address)
        serve(handler)

    monkeypatch.setattr(registry._server.RequestHandlerClass, "_serve", noted)
    yield seen


def test_manifest_and_config_come_over_one_connection(
    registry: FaultyRegistry, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_connections(registry, monkeypatch) as seen, source(registry, waits) as opened:
        opened.images(None)
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_a_kept_connection_that_the_server_closed_is_not_used_again() -> None:
    connections = Connections(SourceOptions(environment={}))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        for _ in range(2):
            client, _address = listener.accept()
            with client:
                client.recv(10_000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        first = connections.send("GET", f"http://127.0.0.1:{port}/", {}, None)
        assert first.read(10) == b"hi"
        first.close()
        while not connections._idle or _is_open(connections):
            pass
        second = connections.send("GET", f"http://127.0.0.1:{port}/", {}, None)
        assert second.read(10) == b"hi"
        second.close()
    finally:
        thread.join()
        listener.close()
        connections.close()


def _is_open(connections: Connections) -> bool:
    """Whether the kept connection has not heard of its end yet."""
    (connection,) = connections._idle.values()
    try:
        return connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True


def test_a_chunked_document_that_breaks_off_is_asked_for_again(
    registry: FaultyRegistry, waits: list[float]
) -> None:
    manifest = registry.store.blobs[registry.store.tags["1"]["digest"]]

    def chunked(whole: bool):
        def fault(handler) -> bool:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(f"{len(manifest):x}\r\n".encode() + manifest[: None if whole else 10])
            handler.wfile.write(b"\r\n0\r\n\r\n" if whole else b"")
            handler.close_connection = not whole
            return True

        return fault

    registry.on("/manifests/", chunked(False), chunked(True))
    with source(registry, waits) as opened:
        assert len(opened.images(None)) == 1
    assert len(waits) == 1


def test_nobody_who_accepts_is_told_after_the_limit(waits: list[float]) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            options = SourceOptions(environment={}, connect_timeout=0.2, attempts=1)
            reference = ImageReference.parse(f"127.0.0.1:{port}/app:1")
            with (
                RegistrySource(reference, options, waits.append) as opened,
                pytest.raises(Unavailable, match="it did not accept a connection in time"),
            ):
                opened.images(None)
        finally:
            for filler in fillers:
                filler.close()


def test_a_url_that_no_request_can_hold_is_an_error_of_the_registry(
    registry: FaultyRegistry, waits: list[float]
) -> None:
    registry.on("/manifests/", redirect(lambda handler: f"http://{'x' * 70}.localhost:1/a"))
    with source(registry, waits, insecure=True) as opened, pytest.raises(SourceError):
        opened.images(None)


def test_a_redirect_with_letters_that_urls_do_not_have_is_followed(
    registry: FaultyRegistry, waits: list[float]
) -> None:
    with source(registry, waits) as opened:
        digest = str(opened.images(None)[0].layers[0].digest)
    registry.on(digest, redirect(lambda handler: f"/v2/a b/blobs/{digest}?x=%2F+&y=a b"))
    first_layer(registry, waits)
    assert registry.requests("/a%20b/")[0].query == {"x": ["/ "], "y": ["a b"]}


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_told(
    waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    options = SourceOptions(environment={}, connect_timeout=1, attempts=1)
    with (
        RegistrySource(ImageReference.parse("registry.example/app:1"), options, waits.append) as opened,
        pytest.raises(SourceError, match="trusted authorities cannot be read") as caught,
    ):
        opened.images(None)
    assert str(bundle) in str(caught.value)


def test_an_open_registry_is_read_with_the_standard_library_alone(registry: FaultyRegistry) -> None:
    code = (
        "import sys; from imagescan.sources.select import open_source, SourceOptions\n"
        f"with open_source('registry:{registry.host}/app:1', SourceOptions()) as source:\n"
        "    (image,) = source.images(None)\n"
        "    source.open_layer(image, image.layers[0]).read()\n"
        "print(sorted({'oras', 'requests', 'urllib3', 'certifi', 'jsonschema'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"


class _Proxy(BaseHTTPRequestHandler):
    """Forwards plain requests, which come to a proxy with whole URLs. Of one with ``cut`` in it only the
    first 1,000 bytes arrive, once."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str]]
    ranges: list[str]
    cut = "nothing"

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Proxy-Authorization", "")))
        asked = self.headers.get("Range", "")
        request = Request(self.path, headers={"Range": asked} if asked else {})
        with build_opener(ProxyHandler({})).open(request) as answer:
            body = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Range", "Content-Length", "Docker-Content-Digest"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
        self.end_headers()
        if self.cut in self.path:
            self.ranges.append(asked)
            body = body[:1000] if len(self.ranges) == 1 else body
            self.close_connection = True
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.seen.append((self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_error(502)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Proxy]]:
    handler = type("Bound", (_Proxy,), {"seen": [], "ranges": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name.lower(), f"http://me:secret@127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield handler
    server.shutdown()
    server.server_close()


def test_the_proxy_that_the_environment_names_is_used_with_its_password(
    registry: FaultyRegistry, waits: list[float], proxy: type[_Proxy]
) -> None:
    layer = first_layer(registry, waits)
    asked = [url for url, _ in proxy.seen]
    assert asked[0] == registry.host  # whether it speaks TLS is asked through the proxy, too
    assert asked[1] == f"{registry.url}/v2/app/manifests/1"
    assert asked[-1] == f"{registry.url}/v2/app/blobs/{layer}"
    assert {password for _, password in proxy.seen} == {"Basic bWU6c2VjcmV0"}


def test_hosts_that_are_exempt_are_reached_without_the_proxy(
    registry: FaultyRegistry, waits: list[float], proxy: type[_Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    first_layer(registry, waits)
    assert proxy.seen == []


def test_a_proxy_that_is_not_there_is_told(
    registry: FaultyRegistry, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with (
        source(registry, waits) as opened,
        pytest.raises(Unavailable, match="no answer from 127\\.0\\.0\\.1: Connection refused"),
    ):
        opened.images(None)


def test_a_layer_that_breaks_off_behind_a_proxy_is_resumed(
    registry: FaultyRegistry, waits: list[float], proxy: type[_Proxy]
) -> None:
    with source(registry, waits) as opened:
        proxy.cut = str(opened.images(None)[0].layers[0].digest)
    first_layer(registry, waits)
    assert proxy.ranges == ["", "bytes=1000-"]
