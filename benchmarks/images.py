"""Build the images that are measured: real Debian images as OCI layouts, in gzip and in zstd.

``python -m benchmarks.images [small|medium|large|xl ...]`` fills the cache directory
(``IMAGESCAN_BENCH_CACHE``, default ``/var/cache/imagescan-bench``); what is there already is kept.
One layer for each step: a bootstrap, then one ``apt-get install`` or removal each, taken from the
upper directory of an overlay mount, so whiteouts are the kernel's own. Needs root, mmdebstrap,
pigz and zstd. A layout is ``CACHE/COMPRESSION-IMAGE`` with one tag, ``latest``; larger images
stand on the smaller ones' layers and share their blobs by hard links.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

CACHE = Path(os.environ.get("IMAGESCAN_BENCH_CACHE", "/var/cache/imagescan-bench"))
COMPRESSIONS = ("gzip", "zstd")
SUITE = "bookworm"
TAG = "latest"
_CREATED = "2026-01-01T00:00:00Z"
_MEDIA = "application/vnd.oci.image"
_COPY = 1 << 20


@dataclass(frozen=True)
class Step:
    """What one layer is made by: packages to install, or paths to empty."""

    name: str
    packages: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


STEPS = (
    Step("base"),
    Step("tools", ("curl", "python3-minimal", "ca-certificates")),
    Step("slim", remove=("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")),
    Step("science", ("python3-scipy", "python3-pandas")),
    Step("languages", ("nodejs", "openjdk-17-jre-headless", "gcc", "g++", "libboost-all-dev")),
    Step("office", ("libreoffice", "libvtk9-dev", "octave")),
    Step("media", ("inkscape", "gimp", "vlc", "r-base-core", "r-recommended", "gstreamer1.0-plugins-bad",
                   "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-ugly")),
    Step("servers", ("samba", "weechat-plugins", "apache2", "netpbm", "collectd-core", "swh-plugins",
                     "xscreensaver-gl-extra", "xscreensaver-data-extra", "texlive-fonts-recommended",
                     "erlang-base", "grass-core")),
)  # fmt: skip
IMAGES = {"small": 3, "medium": 5, "large": len(STEPS)}


@dataclass(frozen=True)
class Layer:
    """One layer's blobs: digest and size for each compression, and the digest of the tar."""

    created_by: str
    diff_id: str
    uncompressed: int
    members: int
    elf_files: int
    blobs: dict[str, tuple[str, int]]


def layout(image: str, compression: str) -> Path:
    """The layout's directory of an image."""
    return CACHE / f"{compression}-{image}"


def reference(image: str, compression: str) -> str:
    """The image as imagescan's user names it."""
    return f"oci:{layout(image, compression)}:{TAG}"


def layers(image: str) -> list[Layer]:
    """What an image that is built consists of, lowest layer first."""
    facts = json.loads((CACHE / f"{image}.json").read_text())
    return [Layer(**{**one, "blobs": {k: tuple(v) for k, v in one["blobs"].items()}}) for one in facts]


def blob_files(image: str, compression: str) -> list[Path]:
    """The blobs of an image's layers, lowest layer first."""
    where = layout(image, compression) / "blobs" / "sha256"
    return [where / one.blobs[compression][0] for one in layers(image)]


def is_built(image: str) -> bool:
    """Whether the image is in the cache, whole."""
    return (CACHE / f"{image}.json").is_file()


def require(names: Sequence[str]) -> None:
    """Build whatever of these images is missing."""
    chain = [name for name in IMAGES if name in names and not is_built(name)]
    if chain:
        _build_chain(IMAGES[chain[-1]])
    if "xl" in names and not is_built("xl"):
        from benchmarks.synthetic import build_xl

        require(("large",))
        build_xl()


def _build_chain(count: int) -> None:
    """Build the first ``count`` steps, and write every image that they complete."""
    _check_machine()
    CACHE.mkdir(parents=True, exist_ok=True)
    work = CACHE / "work"
    uppers: list[Path] = []
    done: list[Layer] = []
    for step in STEPS[:count]:
        upper = work / step.name
        if not (work / f"{step.name}.json").is_file():
            _make_upper(step, upper, uppers, work)
            layer = pack(f"RUN {step.name}", lambda stream, root=upper: _write_tree(stream, root))
            _write_atomically(work / f"{step.name}.json", json.dumps(asdict(layer)).encode())
        done.append(Layer(**json.loads((work / f"{step.name}.json").read_text())))
        uppers.append(upper)
        for image, layer_count in IMAGES.items():
            if layer_count == len(done) and not is_built(image):
                write_image(image, done)
    if count == len(STEPS):
        shutil.rmtree(work)


def _check_machine() -> None:
    missing = [tool for tool in ("mmdebstrap", "pigz", "zstd", "unshare") if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        raise SystemExit(
            f"benchmarks: building images needs root and: {', '.join(missing) or 'nothing else'}"
        )
    if shutil.disk_usage(CACHE.parent).free < 25 << 30:
        raise SystemExit(f"benchmarks: building images needs 25 GB free at {CACHE.parent}")


def _make_upper(step: Step, upper: Path, lowers: Sequence[Path], work: Path) -> None:
    made = work / f"{step.name}.made"
    if made.is_file():
        return
    shutil.rmtree(upper, ignore_errors=True)
    print(f"benchmarks: building layer {step.name}", file=sys.stderr, flush=True)
    _run_step(step, upper, lowers, work)
    made.touch()


def _run_step(step: Step, upper: Path, lowers: Sequence[Path], work: Path) -> None:
    upper.parent.mkdir(parents=True, exist_ok=True)
    if not lowers:
        include = "--aptopt=APT::Sandbox::User root"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, upper], check=True)
        (upper / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (upper / "usr/sbin/policy-rc.d").chmod(0o755)
        return
    upper.mkdir()
    with _overlay(upper, lowers, work) as root:
        if step.packages:
            subprocess.run(
                ["unshare", "-m", "sh", "-ec", _INSTALL, "install", root, *step.packages], check=True
            )
        for path in step.remove:
            shutil.rmtree(root / path)
            (root / path).mkdir()


_INSTALL = """root=$1; shift
mount --rbind /dev "$root/dev"; mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"; cp /etc/hosts "$root/etc/hosts"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq -y --no-install-recommends install "$@" >/dev/null 2>&1 ||
    { echo "benchmarks: cannot install $*" >&2; exit 1; }
chroot "$root" apt-get -qq clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt
"""


@contextmanager
def _overlay(upper: Path, lowers: Sequence[Path], work: Path) -> Iterator[Path]:
    scratch, merged = work / ".overlay", work / ".merged"
    for directory in (scratch, merged):
        directory.mkdir(exist_ok=True)
    lower = ":".join(str(path) for path in reversed(lowers))
    options = f"lowerdir={lower},upperdir={upper},workdir={scratch}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)
        shutil.rmtree(scratch)


class _Counted:
    """A sink that counts and digests what passes, and hands it to every compressor."""

    def __init__(self, sinks: Sequence[BinaryIO]) -> None:
        self._sinks, self._hash, self.size = sinks, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        for sink in self._sinks:
            sink.write(data)
        return len(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


_COMMANDS = {"gzip": ("pigz", "-6", "-n", "-p", "2"), "zstd": ("zstd", "-3", "-q", "-T2")}


def pack(
    created_by: str,
    write: Callable[[BinaryIO], tuple[int, int]],
    compressions: Sequence[str] = COMPRESSIONS,
    level: int | None = None,
) -> Layer:
    """Write one tar through every compressor at once, into the blob store.

    Args:
        created_by: the line of history.
        write: writes the tar; returns the numbers of members and of ELF files.
        compressions: which blobs to make.
        level: of the compressors, if not their usual one.
    """
    store = CACHE / "blobs"
    store.mkdir(parents=True, exist_ok=True)
    parts = {name: store / f".{os.getpid()}.{name}" for name in compressions}
    processes = []
    for name, part in parts.items():
        command = [
            word if level is None or word not in ("-6", "-3") else f"-{level}" for word in _COMMANDS[name]
        ]
        with part.open("wb") as out:
            processes.append(
                subprocess.Popen(["nice", "-n", "10", *command, "-c"], stdin=subprocess.PIPE, stdout=out)
            )
    counted = _Counted([process.stdin for process in processes if process.stdin])
    members, elf_files = write(counted)  # type: ignore[arg-type]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        if process.wait():
            raise SystemExit(f"benchmarks: {process.args} failed")
    blobs = {name: _store(part) for name, part in parts.items()}
    return Layer(created_by, counted.digest(), counted.size, members, elf_files, blobs)


def _store(part: Path) -> tuple[str, int]:
    with part.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = part.stat().st_size
    part.rename(part.parent / digest)
    return digest, size


def _write_tree(stream: BinaryIO, root: Path) -> tuple[int, int]:
    """The tar of an overlay's upper directory, with its whiteouts in the OCI form."""
    members = elf_files = 0
    seen: dict[int, str] = {}
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_COPY) as archive:
        for path in _walk(root):
            members += 1
            elf_files += _add_member(archive, path, path.relative_to(root).as_posix(), seen)
    return members, elf_files


def _walk(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _add_member(archive: tarfile.TarFile, path: Path, name: str, seen: dict[int, str]) -> int:
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        parent, slash, last = name.rpartition("/")
        archive.addfile(tarfile.TarInfo(f"{parent}{slash}.wh.{last}"))
        return 0
    if stat.S_ISSOCK(status.st_mode):
        return 0
    member = archive.gettarinfo(path, name)
    archive.inodes.clear()
    member.mtime = int(member.mtime)  # as the engines do; a fraction would need a PAX header for each
    if member.isreg() and status.st_nlink > 1:
        first = seen.setdefault(status.st_ino, name)
        if first != name:
            member.type, member.linkname, member.size = tarfile.LNKTYPE, first, 0
    if not member.isreg():
        archive.addfile(member)
        if member.isdir() and _is_opaque(path):
            archive.addfile(tarfile.TarInfo(f"{name}/.wh..wh..opq"))
        return 0
    with path.open("rb") as content:
        is_elf = content.read(4) == b"\x7fELF"
        content.seek(0)
        archive.addfile(member, content)
    return is_elf


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def write_image(
    image: str,
    parts: Sequence[Layer],
    compressions: Sequence[str] = COMPRESSIONS,
    command: Sequence[str] = ("/bin/sh",),
) -> None:
    """Write an image's layouts, and last the file that says that it is whole."""
    for compression in compressions:
        directory = layout(image, compression)
        shutil.rmtree(directory, ignore_errors=True)
        blobs = directory / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for digest in {layer.blobs[compression][0] for layer in parts}:
            (blobs / digest).hardlink_to(CACHE / "blobs" / digest)
        manifest = _manifest(blobs, parts, compression, command)
        manifest["annotations"] = {"org.opencontainers.image.ref.name": TAG}
        index = {"schemaVersion": 2, "mediaType": f"{_MEDIA}.index.v1+json", "manifests": [manifest]}
        (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (directory / "index.json").write_text(json.dumps(index))
    _write_atomically(CACHE / f"{image}.json", json.dumps([asdict(layer) for layer in parts]).encode())


def _manifest(
    blobs: Path, parts: Sequence[Layer], compression: str, command: Sequence[str]
) -> dict[str, object]:
    configuration = {
        "created": _CREATED,
        "os": "linux",
        "architecture": "amd64",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": [*command]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in parts]},
        "history": [{"created": _CREATED, "created_by": layer.created_by} for layer in parts],
    }
    descriptors = [
        {
            "mediaType": f"{_MEDIA}.layer.v1.tar+{compression}",
            "digest": f"sha256:{layer.blobs[compression][0]}",
            "size": layer.blobs[compression][1],
        }
        for layer in parts
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": _put(blobs, configuration, f"{_MEDIA}.config.v1+json"),
        "layers": descriptors,
    }
    return _put(blobs, document, f"{_MEDIA}.manifest.v1+json")


def _put(blobs: Path, document: object, media_type: str) -> dict[str, object]:
    data = json.dumps(document, indent=1).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _write_atomically(file: Path, data: bytes) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_bytes(data)
    part.rename(file)


def main(words: Sequence[str]) -> int:
    """Build the images named, or all real ones; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("images", nargs="*", choices=[*IMAGES, "xl", []], metavar="IMAGE")
    names = parser.parse_args(words).images or list(IMAGES)
    require(names)
    for name in names:
        parts = layers(name)
        sizes = [f"{sum(p.blobs[c][1] for p in parts) >> 20} MB {c}" for c in parts[-1].blobs]
        sizes.append(f"{sum(p.uncompressed for p in parts) >> 20} MB uncompressed")
        counts = f"{sum(p.members for p in parts):,} members, {sum(p.elf_files for p in parts):,} ELF files"
        print(f"{name}: {len(parts)} layers, {', '.join(sizes)}, {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
