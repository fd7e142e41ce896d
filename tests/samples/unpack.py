"""Unpack a layout that ``samples`` wrote: only for images that we built, never for a stranger's."""

import io
import json
import shutil
import tarfile
from pathlib import Path


def blob(layout: Path, descriptor: dict) -> bytes:
    return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()


def config_of(layout: Path) -> dict:
    manifest = _manifest(layout)
    return json.loads(blob(layout, manifest["config"]))


def unpack(layout: Path, root: Path) -> Path:
    for layer in _manifest(layout)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(layout, layer))) as archive:
            for member in archive:
                name = Path(member.name)
                if name.name.startswith(".wh."):
                    (root / name.parent / name.name.removeprefix(".wh.")).unlink()
                else:
                    _replace(root / name, member)
                    archive.extract(member, root, filter="fully_trusted")
    return root


def _replace(path: Path, member: tarfile.TarInfo) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    elif path.is_dir() and not member.isdir():
        shutil.rmtree(path)


def _manifest(layout: Path) -> dict:
    index = json.loads((layout / "index.json").read_bytes())
    return json.loads(blob(layout, index["manifests"][0]))
