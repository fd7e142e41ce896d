"""A real registry on loopback: downloading an image alone, and scanning it from there.

Needs Debian's docker-registry and skopeo. The registry serves from a temporary directory.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.images import CACHE, TAG, layers, layout
from benchmarks.measure import Cost, Service, run

_CONFIGURATION = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_BUFFER = 256 << 10


@contextmanager
def serving(image: str, compression: str) -> Iterator[str]:
    """A registry that has the image; gives its name there."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".registry-") as directory:
        port = _free_port()
        configuration = Path(directory, "registry.yml")
        configuration.write_text(_CONFIGURATION.format(root=directory, port=port))
        with Service(["docker-registry", "serve", configuration]):
            _wait_for(port)
            name = f"127.0.0.1:{port}/{compression}-{image}:{TAG}"
            source = f"oci:{layout(image, compression)}:{TAG}"
            target = f"docker://{name}"
            subprocess.run(
                ["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", source, target],
                check=True,
            )
            yield name


def download(name: str, image: str, compression: str) -> Cost:
    """Fetch every layer's blob with two plain connections and look at none of the bytes."""
    digests = [f"sha256:{layer.blobs[compression][0]}" for layer in layers(image)]
    return run([sys.executable, "-m", "benchmarks.registry", name, *digests])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("benchmarks: the registry does not answer")


def _fetch(host: str, repository: str, digest: str) -> None:
    connection = http.client.HTTPConnection(host)
    connection.request("GET", f"/v2/{repository}/blobs/{digest}")
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"benchmarks: status {answer.status} for {digest}")
    buffer = bytearray(_BUFFER)
    while answer.readinto(buffer):
        pass


def main(words: Sequence[str]) -> None:
    """``NAME DIGEST...``: the measured download."""
    host, _, repository = words[0].rpartition(":")[0].partition("/")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda digest: _fetch(host, repository, digest), words[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
