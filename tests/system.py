"""Real servers for tests: a registry, a Docker engine, a Podman engine. Each is started on its own
directory and socket, and stopped with its context."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import require, require_root, require_tool

_START_LIMIT = 60.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


@contextmanager
def _running(command: list[str | Path], ready: Callable[[], bool], directory: Path) -> Iterator[None]:
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await(ready, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


def _remove(directory: Path) -> None:
    """Delete an engine's directory, with the mounts that it leaves behind."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines if line.split()[4].startswith(f"{directory}/")]
    for point in reversed(points):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class RegistryServer:
    """A running registry; user and password are empty where it is open to all."""

    host: str
    user: str = ""
    password: str = ""

    def push(self, layout: Path, tag: str, name: str) -> None:
        """Copy ``oci:layout:tag`` to ``host/name`` with skopeo, all platforms."""
        login = ["--dest-creds", f"{self.user}:{self.password}"] if self.user else []
        command = ["skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false", *login]
        command += [f"oci:{layout}:{tag}", f"docker://{self.host}/{name}"]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def docker_registry(
    *, user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None
) -> Iterator[RegistryServer]:
    """Debian's ``docker-registry`` on loopback; with a user it demands Basic authentication, with
    a certificate (and its key) it speaks TLS."""
    program = require_tool("docker-registry")
    require_tool("skopeo")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="registry-") as name:
        directory = Path(name)
        lines = [
            "version: 0.1",
            "log: {level: error}",
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}",
        ]
        http = f"addr: '127.0.0.1:{port}'"
        if certificate:
            http += f", tls: {{certificate: '{certificate[0]}', key: '{certificate[1]}'}}"
        lines.append(f"http: {{{http}}}")
        if user:
            htpasswd = require_tool("htpasswd", "apache2-utils")
            users = subprocess.run([htpasswd, "-Bbn", user, password], check=True, capture_output=True).stdout
            (directory / "users").write_bytes(users)
            lines.append(f"auth: {{htpasswd: {{realm: test, path: {directory}/users}}}}")
        (directory / "config.yml").write_text("\n".join(lines))
        with _running([program, "serve", directory / "config.yml"], lambda: _listens(port), directory):
            yield RegistryServer(f"127.0.0.1:{port}", user, password)


@contextmanager
def docker_engine() -> Iterator[str]:
    """The address of a Docker engine: the one that runs, or else one started for the tests (as root,
    without any network of its own)."""
    for address in (os.environ.get("DOCKER_HOST", ""), "unix:///var/run/docker.sock"):
        path = Path(address.removeprefix("unix://"))
        if (
            address.startswith("unix://")
            and path.exists()
            and stat.S_ISSOCK(path.stat().st_mode)
            and _answers(path)
        ):
            yield address
            return
    program = require_tool("dockerd", "docker.io")
    require_root()
    directory = Path(tempfile.mkdtemp(prefix="dockerd-"))
    path = directory / "s"
    command: list[str | Path] = [
        program,
        "--data-root",
        directory / "data",
        "--exec-root",
        directory / "exec",
    ]
    command += [
        "--pidfile",
        directory / "pid",
        "--host",
        f"unix://{path}",
        "--bridge=none",
        "--iptables=false",
    ]
    try:
        with _running(command, lambda: _answers(path), directory):
            yield f"unix://{path}"
    finally:
        _remove(directory)


@contextmanager
def podman_engine() -> Iterator[str]:
    """The address of a Podman engine started for the tests, with storage of its own."""
    program = require_tool("podman")
    require(
        os.geteuid() == 0 or shutil.which("newuidmap") is not None, "rootless podman needs newuidmap (uidmap)"
    )
    directory = Path(tempfile.mkdtemp(prefix="podman-"))
    path = directory / "s"
    command: list[str | Path] = [program, "--root", directory / "data", "--runroot", directory / "run"]
    command += ["system", "service", "--time=0", f"unix://{path}"]
    try:
        with _running(command, lambda: _answers(path), directory):
            yield f"unix://{path}"
    finally:
        _remove(directory)


def program_root(directory: Path, program: str = "/bin/echo") -> Path:
    """A root file system that can run one dynamically linked program of this machine."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    files = [program, *(word for word in listed.split() if word.startswith("/"))]
    for file in files:
        target = directory / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return directory


def as_nobody(action: Callable[[], object]) -> str:
    """What the action raises in a child process without privileges: root may read everything."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            action()
        except BaseException as error:
            os.write(writing, f"{type(error).__name__} {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
