"""A registry in this process that misbehaves as told: the faults that a real one cannot be made to show."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sources.store import Store


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str = ""

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


Fault = Callable[["Handler"], bool]
"""Answers a request itself and returns True, or returns False to let it be answered as usual."""


@dataclass
class FaultyRegistry:
    """Serves a store. ``auth`` is "", "basic" or "token"; ``users`` maps names to passwords.

    Each token is good for one repository and for ``token_uses`` requests. ``realm`` overrides
    where clients are sent for tokens.
    """

    store: Store = field(default_factory=Store)
    auth: str = ""
    users: dict[str, str] = field(default_factory=dict)
    identity_tokens: set[str] = field(default_factory=set)
    token_uses: int = 1_000_000
    realm: str = ""
    ranges: bool = True
    seen: list[Seen] = field(default_factory=list)
    tokens: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[tuple[str, list[Fault]]] = field(default_factory=list)

    def __enter__(self) -> FaultyRegistry:
        registry = self

        class Bound(Handler):
            pass

        Bound.registry = registry
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def on(self, part: str, *faults: Fault) -> None:
        """The next requests whose path holds ``part`` meet these faults, one each."""
        self.faults.append((part, list(faults)))

    def requests(self, part: str) -> list[Seen]:
        return [seen for seen in self.seen if part in seen.path]

    def next_fault(self, path: str) -> Fault | None:
        for part, faults in self.faults:
            if part in path and faults:
                return faults.pop(0)
        return None


class Handler(BaseHTTPRequestHandler):
    registry: FaultyRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _serve(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Seen(self.command, parts.path, urllib.parse.parse_qs(parts.query), headers, body)
        self.registry.seen.append(self.seen)
        fault = self.registry.next_fault(parts.path)
        if fault is not None and fault(self):
            return
        if parts.path == "/token":
            self._token()
        elif self._allowed(parts.path):
            self._content(parts.path)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status: int, code: str, **headers: str) -> None:
        self.reply(
            status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), **headers
        )

    def repository(self, path: str) -> str:
        return (
            path.removeprefix("/v2/").rpartition("/manifests/")[0]
            or path.removeprefix("/v2/").rpartition("/blobs/")[0]
        )

    def _token(self) -> None:
        registry = self.registry
        form = urllib.parse.parse_qs(self.seen.body)
        if self.seen.method == "POST":
            if form.get("refresh_token", [""])[0] not in registry.identity_tokens:
                return self.error(401, "UNAUTHORIZED")
            scope = form["scope"][0]
        else:
            if registry.users and not self._knows_user():
                return self.error(401, "UNAUTHORIZED")
            scope = self.seen.query["scope"][0]
        token = f"token{len(registry.tokens)}"
        registry.tokens[token] = [scope.split(":")[1], registry.token_uses]
        return self.reply(200, json.dumps({"token": token, "expires_in": 60}).encode())

    def _knows_user(self) -> bool:
        scheme, _, value = self.seen.authorization.partition(" ")
        if scheme != "Basic":
            return False
        name, _, password = base64.b64decode(value).decode().partition(":")
        return self.registry.users.get(name) == password

    def _allowed(self, path: str) -> bool:
        registry = self.registry
        repository = self.repository(path)
        if registry.auth == "basic" and not self._knows_user():
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="it"')
            return False
        if registry.auth == "token":
            token = registry.tokens.get(self.seen.authorization.removeprefix("Bearer "))
            if token is None or token[0] != repository or token[1] <= 0:
                realm = registry.realm or f"{registry.url}/token"
                scope = f"repository:{repository}:pull"
                challenge = f'Bearer realm="{realm}",service="it",scope="{scope}"'
                self.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
                return False
            token[1] -= 1
        return True

    def _content(self, path: str) -> None:
        store = self.registry.store
        name = path.rpartition("/")[2]
        if "/manifests/" in path and (name in store.tags or name in store.blobs):
            digest = store.tags[name]["digest"] if name in store.tags else name
            self.reply(
                200, store.blobs[digest], Content_Type=store.types[digest], Docker_Content_Digest=digest
            )
        elif "/blobs/" in path and name in store.blobs:
            self._blob(store.blobs[name])
        elif path == "/v2/":
            self.reply(200, b"{}")
        else:
            self.error(404, "MANIFEST_UNKNOWN" if "/manifests/" in path else "BLOB_UNKNOWN")

    def _blob(self, data: bytes, cut: int | None = None) -> None:
        asked = self.seen.headers.get("range", "")
        if asked and self.registry.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.reply(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : len(data) if cut is None else cut])
        if cut is not None:
            abort(self)
        return None


def abort(handler: Handler) -> None:
    """Break the connection off."""
    handler.wfile.flush()
    # A pause of the server's own: what was written must leave before the reset overtakes it.
    handler.connection.shutdown(socket.SHUT_WR)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    handler.close_connection = True


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.error(code, "FAULT", **headers)
        return True

    return fault


def answer(code: int, body: bytes = b"", **headers: str) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.reply(code, body, **headers)
        return True

    return fault


def drop_at(position: int) -> Fault:
    """Serve the blob up to a position, then break off."""

    def fault(handler: Handler) -> bool:
        name = handler.seen.path.rpartition("/")[2]
        handler._blob(handler.registry.store.blobs[name], position)
        return True

    return fault


def drop(handler: Handler) -> bool:
    """Break off before any answer."""
    abort(handler)
    return True


def hang_at(position: int, released: threading.Event) -> Fault:
    """Serve the blob up to a position, then say nothing until released."""

    def fault(handler: Handler) -> bool:
        data = handler.registry.store.blobs[handler.seen.path.rpartition("/")[2]]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:position])
        handler.wfile.flush()
        released.wait(30)
        handler.close_connection = True
        return True

    return fault


def redirect(target: Callable[[Handler], str], code: int = 307) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.reply(code, Location=target(handler))
        return True

    return fault


def passes(handler: Handler) -> bool:
    """No fault."""
    return False
