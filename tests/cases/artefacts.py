"""What PyPI and npm ship, as the files of a layer: each package is fetched once, by name and version,
with the registry's ordinary client, and never installed or run.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from samples.oci import Entry, File
from tests.oracle.cache import cache_directory, locked, publish
from tests.requirements import require_tool


@cache
def wheel(requirement: str, *platforms: str, into: str, python: str = "3.11") -> Mapping[str, Entry]:
    """The files of a wheel under the directory ``into`` (a site-packages)."""
    final = cache_directory() / "wheels" / f"{requirement}-{'-'.join(platforms)}-{python}"
    with locked(final.with_name(f"{final.name}.making")):
        if not final.exists():
            with publish(final) as unfinished:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
                command += ["--only-binary=:all:", f"--python-version={python}", f"--dest={unfinished}"]
                command += [*(f"--platform={platform}" for platform in platforms), requirement]
                subprocess.run(command, check=True)
    (archive,) = final.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        return {
            f"{into}/{member.filename}": File(
                opened.read(member), mode=0o755 if ".so" in member.filename else 0o644
            )
            for member in opened.infolist()
            if not member.is_dir()
        }


@cache
def npm(requirement: str, into: str) -> Mapping[str, Entry]:
    """The files of an npm package under the directory ``into`` (a node_modules)."""
    final = cache_directory() / "npm" / requirement.replace("/", "+")
    with locked(final.with_name(f"{final.name}.making")):
        if not final.exists():
            with publish(final) as unfinished:
                unfinished.mkdir()
                command = [
                    require_tool("npm"),
                    "pack",
                    "--silent",
                    "--pack-destination",
                    unfinished,
                    requirement,
                ]
                subprocess.run(command, check=True, capture_output=True, cwd=unfinished)
    (archive,) = final.glob("*.tgz")
    name = requirement.rpartition("@")[0]
    entries = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            content = opened.extractfile(member) if member.isfile() else None
            if content is not None:
                inside = Path(member.name).relative_to("package").as_posix()
                entries[f"{into}/{name}/{inside}"] = File(content.read(), mode=member.mode & 0o777)
    return entries
