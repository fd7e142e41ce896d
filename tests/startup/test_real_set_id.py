"""What a set-id program may read of its libraries, against the kernel and the real loader."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.filesystem.values import Credentials
from imagescan.layers.values import ImagePath
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from tests.requirements import require, require_root, require_tool
from tests.startup.real_programs import as_image
from tests.system import program_root

pytestmark = pytest.mark.oracle

USER = Credentials(1000, (1000,))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    require_root()
    require_tool("gcc")
    with tempfile.TemporaryDirectory(prefix="set-id-", dir="/var/tmp") as name:
        require(not os.statvfs(name).f_flag & os.ST_NOSUID, "/var/tmp is mounted nosuid")
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "opt").mkdir()
        source, library = folder / "x.c", folder / "opt/libown.so.1"
        source.write_text("int own(void) { return 42; }\n")
        shared = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libown.so.1"]
        subprocess.run([*shared, "-o", str(library), str(source)], check=True)
        source.write_text("int own(void); int main(void) { return own(); }\n")
        linked = ["-Wl,-rpath,/opt", "-Wl,--enable-new-dtags", str(library)]
        subprocess.run(["gcc", "-o", str(folder / "app"), str(source), *linked], check=True)
        source.unlink()
        program_root(folder)
        yield folder


@pytest.mark.parametrize("program_mode", [0o755, 0o4755, 0o2755, 0o4711, 0o2745])
@pytest.mark.parametrize("owner", [(0, 0), (1000, 0), (7, 8)])
@pytest.mark.parametrize(
    "library", [(0o600, 0, 0), (0o640, 0, 0), (0o640, 7, 8), (0o600, 7, 8), (0o644, 0, 0)]
)
def test_a_set_id_program_reads_its_libraries_as_the_model_says(
    root: Path, program_mode: int, owner: tuple[int, int], library: tuple[int, int, int]
) -> None:
    mode, uid, gid = library
    os.chown(root / "opt/libown.so.1", uid, gid)
    (root / "opt/libown.so.1").chmod(mode)
    os.chown(root / "app", *owner)
    (root / "app").chmod(program_mode)
    link_map = Simulation(as_image(root), ProcessEnvironment(credentials=USER)).link_map(ImagePath("/app"))
    done = subprocess.run(["/app"], preexec_fn=lambda: _enter(root), capture_output=True, check=False)
    assert done.returncode in (42, 127)
    assert (not link_map.missing) == (done.returncode == 42), done.stderr


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(1000)
    os.setuid(1000)
