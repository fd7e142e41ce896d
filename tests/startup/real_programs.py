"""A root file system with real wrappers and shells, as a directory to run them in and as an image.

Every program that a case starts is the marker: it prints its command line, user, directory and some
variables, so that what really happens can be laid beside what the chain says.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from imagescan.content import FileInspector
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import Credentials, RootFilesystem
from imagescan.layers.index import index_layer
from imagescan.rules.examples.image import write_layer
from imagescan.rules.examples.notation import ExampleFile, ExampleLayer
from imagescan.sources.values import LayerDescriptor
from imagescan.startup.chain import executions
from imagescan.startup.execution import Launch
from imagescan.startup.lookup import Surroundings
from tests.requirements import require_tool
from tests.system import program_root

MARKER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void text(const char *t) {
  putchar('"');
  for (; t && *t; t++) {
    if (*t == '"' || *t == '\\') printf("\\%c", *t);
    else if (*t < 32) printf("\\u%04x", *t);
    else putchar(*t);
  }
  putchar('"');
}
int main(int count, char **words) {
  char directory[4096];
  gid_t groups[64];
  int number = getgroups(64, groups);
  printf("{\"words\": [");
  for (int i = 0; i < count; i++) { if (i) printf(", "); text(words[i]); }
  printf("], \"uid\": %d, \"gids\": [%d", geteuid(), getegid());
  for (int i = 0; i < number; i++) printf(", %d", groups[i]);
  printf("], \"directory\": "); text(getcwd(directory, sizeof directory));
  printf(", \"path\": "); text(getenv("PATH"));
  printf(", \"mark\": "); text(getenv("MARK"));
  printf("}\n");
  return 42;
}
"""
PASSWD = "root:x:0:0::/:/bin/sh\napp:x:100:200::/:/bin/sh\nnoshell:x:101:201::/:/bin/absent\n"
GROUP = "root:x:0:\nwheel:x:10:root,app\napp:x:200:\nstaff:x:50:app\n"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {
    "tini": "tini", "dumb-init": "dumb-init", "gosu": "gosu", "catatonit": "catatonit", "env": "coreutils",
    "nice": "coreutils", "nohup": "coreutils", "timeout": "coreutils", "stdbuf": "coreutils",
    "chroot": "coreutils", "id": "coreutils", "dirname": "coreutils", "basename": "coreutils",
    "setpriv": "util-linux", "setsid": "util-linux", "ionice": "util-linux", "chrt": "util-linux",
    "taskset": "util-linux", "prlimit": "util-linux", "flock": "util-linux", "runuser": "util-linux",
    "xargs": "findutils", "chpst": "runit", "setuidgid": "daemontools", "busybox": "busybox-static",
    "dash": "dash", "bash": "bash", "mksh": "mksh", "mkdir": "coreutils", "true": "coreutils",
    "false": "coreutils", "readlink": "coreutils", "s6-setuidgid": "s6", "s6-envuidgid": "s6",
    "s6-applyuidgid": "s6",
}  # fmt: skip
FILES = {
    "/srv": ExampleFile(is_directory=True, mode=0o755),
    "/private": ExampleFile(is_directory=True, mode=0o700),
    "/private/m": ExampleFile(b"#!/usr/bin/m\n", mode=0o755),
    "/plain": ExampleFile(b"x\n", mode=0o644),
    "/gone": ExampleFile(b"#!/absent/interpreter\n", mode=0o755),
}


@dataclass(frozen=True)
class Seen:
    """What a marker printed, or the last line of standard error when none ran."""

    marks: tuple[tuple[str, ...], ...]
    users: tuple[tuple[int, tuple[int, ...]], ...] = ()
    directories: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    message: str = ""


def build_root(folder: Path, extra: Mapping[str, ExampleFile]) -> None:
    """Copy every program with its libraries, the marker as /bin/m, accounts, and ``extra`` files."""
    folder.chmod(0o755)
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "tmp", "dev"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    for name, package in PROGRAMS.items():
        found = require_tool(name, package)
        if name in ("busybox", "catatonit", "gosu"):
            target = folder / str(found)[1:]
            shutil.copy(found, target)
        else:
            program_root(folder, str(found))
    stdbuf = Path("/usr/libexec/coreutils/libstdbuf.so")
    if stdbuf.exists():
        (folder / "usr/libexec/coreutils").mkdir(parents=True)
        shutil.copy(stdbuf, folder / "usr/libexec/coreutils")
    (folder / "usr/bin/sh").symlink_to("dash")
    (folder / "proc").mkdir()
    os.mknod(folder / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "dev/null").chmod(0o666)
    permit = next(iter(sorted(Path("/usr/lib").glob("*/security/pam_permit.so"))), None)
    if permit is not None:
        (folder / str(permit.parent)[1:]).mkdir(parents=True, exist_ok=True)
        shutil.copy(permit, folder / str(permit)[1:])
        (folder / "etc/pam.d").mkdir()
        lines = (f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "session"))
        (folder / "etc/pam.d/runuser").write_text("".join(lines))
    (folder / "bb").mkdir()
    for applet in ("sh", "env", "timeout", "chroot", "setsid", "ionice", "setpriv", "xargs", "taskset"):
        (folder / "bb" / applet).symlink_to("/usr/bin/busybox")
    # s6 takes the missing file for an error.
    (folder / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\n")
    (folder / "etc/passwd").write_text(PASSWD)
    (folder / "etc/group").write_text(GROUP)
    _compile(folder / "usr/bin/m")
    for path, file in extra.items():
        place = folder / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_directory:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(file.content)
        os.chown(place, file.uid, file.gid)
        place.chmod(file.mode)


@contextmanager
def with_proc(folder: Path) -> Iterator[None]:
    """/proc in the root file system, which gosu asks who it is."""
    subprocess.run(["mount", "-t", "proc", "proc", str(folder / "proc")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder / "proc")], check=True)


def _compile(target: Path) -> None:
    require_tool("gcc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "m.c"
        source.write_text(MARKER)
        subprocess.run(["gcc", "-static", "-s", "-o", str(target), str(source)], check=True)


def as_image(folder: Path) -> RootFilesystem:
    """The same tree as an image has it."""
    files: dict[str, ExampleFile] = {}
    for place in sorted(folder.rglob("*")):
        status = place.lstat()
        path = f"/{place.relative_to(folder)}"
        mode = stat.S_IMODE(status.st_mode)
        if place.is_symlink():
            files[path] = ExampleFile(link=os.readlink(place))
        elif not stat.S_ISREG(status.st_mode) and not place.is_dir():
            continue
        elif place.is_dir():
            files[path] = ExampleFile(is_directory=True, mode=mode, uid=status.st_uid, gid=status.st_gid)
        else:
            files[path] = ExampleFile(place.read_bytes(), mode=mode, uid=status.st_uid, gid=status.st_gid)
    blob = write_layer(ExampleLayer(files))
    descriptor = LayerDescriptor(0, None, len(blob), "application/vnd.oci.image.layer.v1.tar", None)
    return merge([index_layer(BytesIO(blob), descriptor, FileInspector())])


def run_really(folder: Path, words: tuple[str, ...], uid: int, env: Mapping[str, str]) -> Seen:
    """Execute a command line in the root file system as a user, by the name's path."""

    def enter() -> None:
        os.chroot(folder)
        os.chdir("/")
        os.umask(0o022)
        os.setgroups([])
        if uid:
            os.setgid(uid)
            os.setuid(uid)

    program = f"/usr/bin/{words[0]}" if "/" not in words[0] else words[0]
    if "/" not in words[0] and not (folder / program[1:]).exists():
        program = f"/usr/sbin/{words[0]}"
    done = subprocess.run(
        list(words),
        executable=program,
        preexec_fn=enter,
        env={"PATH": PATH, "LC_ALL": "C", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=20,
        check=False,
    )
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"words"')]
    errors = [line for line in done.stderr.splitlines() if "WARN" not in line and "Zombie" not in line]
    return Seen(
        tuple(tuple(one["words"]) for one in printed),
        tuple((one["uid"], _groups(one["gids"])) for one in printed),
        tuple(one["directory"] for one in printed),
        tuple((one["path"], one["mark"]) for one in printed),
        "" if printed else next((line for line in errors if line), ""),
    )


def _groups(gids: list[int]) -> tuple[int, ...]:
    """The group, then the others sorted, each once."""
    return (gids[0], *sorted(set(gids[1:]) - {gids[0]}))


def predict(
    filesystem: RootFilesystem, words: tuple[str, ...], uid: int, env: Mapping[str, str]
) -> tuple[Seen, list[str]]:
    """What the chain says of the same command line, and its open ends."""
    variables = {"PATH": PATH, "LC_ALL": "C", **env}
    who = Credentials(uid, (uid,)) if uid else Credentials()
    launch = Launch(words, Surroundings(filesystem, who, "/", PATH, variables))
    marks, users, directories, seen_variables, messages = [], [], [], [], []
    open_ends: list[str] = []
    for execution, following in executions(launch):
        open_ends += following.open_ends
        failing = [step for step in (*execution.steps, *following.steps) if step.fault]
        messages += [step.fault.message for step in failing if step.fault]
        if any(step.certain for step in failing):
            break
        program = execution.program
        if execution.failed or program is None or program.path != "/usr/bin/m":
            continue
        around = execution.launch.around
        marks.append(execution.words)
        users.append((around.user.uid, _groups(list(around.user.gids))))
        directories.append(around.directory)
        seen_variables.append((around.variables.get("PATH", ""), around.variables.get("MARK", "")))
    seen = Seen(
        tuple(marks),
        tuple(users),
        tuple(directories),
        tuple(seen_variables),
        "" if marks else next(iter(messages), ""),
    )
    return seen, open_ends
