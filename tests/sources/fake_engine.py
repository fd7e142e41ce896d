"""An engine's API on a socket, answering with what a test gives it: for engines that cannot be
installed everywhere (Docker 25 and later, containerd's image store) and for broken ones."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


@dataclass
class FakeEngine:
    """Answers by path (without the API version): a status with JSON, or bytes of an archive.

    ``cut`` breaks the archive off after so many bytes."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    cut: int | None = None
    address: str = ""

    def image(
        self, name: str, inspected: dict[str, Any], history: list[dict[str, Any]], archive: bytes
    ) -> None:
        for key in (name, inspected["Id"]):
            self.answers[f"/images/{key}/json"] = (200, inspected)
            self.answers[f"/images/{key}/history"] = (200, history)
            self.answers[f"/images/{key}/get"] = (200, archive)


class _Handler(BaseHTTPRequestHandler):
    engine: FakeEngine
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/version"):
            return self._json(200, {"ApiVersion": "1.48", "Version": "28.0.0"})
        path = "/" + path.split("/", 2)[2] if path.startswith("/v") else path
        status, body = self.engine.answers.get(path, (404, {"message": "No such image"}))
        if not isinstance(body, bytes):
            return self._json(status, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 30_000):
            if self.engine.cut is not None and start >= self.engine.cut:
                self.close_connection = True
                return None
            piece = body[start : start + 30_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _json(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()

    class Bound(_Handler):
        pass

    Bound.engine = engine
    with tempfile.TemporaryDirectory(prefix="engine-") as directory:
        path = Path(directory) / "s"
        with _Server(str(path), Bound) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            engine.address = f"unix://{path}"
            try:
                yield engine
            finally:
                server.shutdown()
