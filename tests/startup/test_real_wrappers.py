"""Wrappers against the programs themselves: what each really starts, as whom, where and with what."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.filesystem.values import RootFilesystem
from imagescan.rules.examples.notation import ExampleFile
from tests.requirements import require_root
from tests.startup.real_programs import FILES, as_image, build_root, predict, run_really, with_proc

pytestmark = pytest.mark.oracle

SCRIPTS = {
    "/s": ExampleFile(b"#!/usr/bin/m -x\n", mode=0o755),
    "/e": ExampleFile(b"#!/usr/bin/env m\n", mode=0o755),
    "/e-S": ExampleFile(b"#!/usr/bin/env -S MARK=1 m -a 'b c'\n", mode=0o755),
    "/t": ExampleFile(b"#!/usr/bin/tini /usr/bin/m\n", mode=0o755),
}

COMMANDS = """
tini -s m
tini -s -- m -a --
tini -sv -e 143 -- m
tini -sp SIGTERM m x
tini -s -- absent
tini -s -- /plain
tini -s -- /gone
dumb-init m
dumb-init --rewrite 15:3 -- m a
dumb-init -c -r 15:3 m
dumb-init --single-child m -c
dumb-init --rew=15:3 m
dumb-init absent
dumb-init /private/m
catatonit -g -- m
catatonit absent
gosu app m
gosu app:staff m
gosu 100 m
gosu 4711 m
gosu 4711:4712 m
gosu root m
gosu nosuch m
gosu app:nosuch m
gosu app absent
gosu app /private/m
gosu 0 /gone
setpriv --reuid 100 --clear-groups m
setpriv --reuid app --regid 200 --init-groups m
setpriv --reuid=100 --regid=200 --groups 7,8 m
setpriv --reui=100 --clear-groups -- m
setpriv --no-new-privs m -x
setpriv --reuid nosuch --clear-groups m
setpriv absent
env m
env A=1 MARK=2 m -i
env -i m
env -i PATH=/usr/bin MARK=x m
env -u MARK m
env -uMARK PATH=/nowhere m
env --unset=MARK m
env --unset MARK m
env - MARK=x /usr/bin/m
env -C /srv m
env --chdir=/srv m
env -S 'm a "b c"'
env -S'MARK=${LC_ALL} m' x
env -vS 'm # comment'
env -S 'm \\t x'
env -S m\\\\_x
env --split-string='-u MARK m' y
env --ignore-env PATH=/bin m
env -- m
env A=1
env absent
env /plain
env -S '"m'
env --default-signal=PIPE m
nice m
nice -n 5 m
nice -5 m
nice --adjustment=5 m
nice -n5 m -n
nice absent
nohup m
nohup -- m
nohup absent
timeout 5 m
timeout -k 1 5 m
timeout --signal=KILL --kill-after 3 5s m -k
timeout -s9 5 m
timeout --foreground --preserve-status 5 m
timeout 5 absent
stdbuf -oL m
stdbuf -o L -e0 m
stdbuf --output=L m
stdbuf -oL absent
chroot / m
chroot --userspec=app:staff / m
chroot --userspec=100:200 --groups=7 / m
chroot --skip-chdir / m
chroot / absent
setsid m
setsid -w m
setsid --wait absent
ionice -c3 m
ionice -c 2 -n 7 m
ionice --class idle m
ionice absent
chrt -o 0 m
chrt --batch 0 m
taskset 1 m
taskset -c 0 m
taskset --cpu-list 0 m
prlimit --nofile=100 m
prlimit -n100 m
prlimit --nofile=100 -- m -n
flock /tmp/lock m
flock -n /tmp/lock m -n
flock -w 1 /tmp/lock absent
xargs m
xargs -n 1 m x
xargs -0 -P 1 m
runuser -u app -- m -x
runuser -u app m
runuser -u nosuch -- m
runuser -u app -- absent
runuser app -c 'm a'
runuser -c 'm a' app
runuser app -s /bin/bash -c 'exec m a'
chpst -u app m
chpst -u app:staff m
chpst -u app -n 5 m
chpst -vP m
chpst absent
chpst -u nosuch m
setuidgid app m
setuidgid nosuch m
setuidgid app absent
s6-setuidgid app m a
s6-setuidgid nosuch m
s6-setuidgid app absent
s6-setuidgid app /private/m
busybox env -u MARK m
busybox env -i MARK=x PATH=/bin m
busybox env absent
busybox env -S m
busybox timeout 5 m
busybox timeout -s 9 5 absent
busybox chroot / m
busybox setsid m
busybox xargs m a
busybox sh -c 'exec m a'
/bb/env m
/bb/env absent
/bb/timeout 5 m
/bb/setsid m
/bb/sh -c m
tini -s -- env MARK=1 nice gosu app timeout 5 m -z
gosu app tini -s -- m
tini -s -- dumb-init absent
env MARK=a sh -c 'exec env MARK=b m'
/s a
/e a
/e-S a
/t a
env /s
gosu app /s
""".strip().splitlines()

AS_A_USER = """
gosu app m
gosu 1000 m
setpriv --reuid 0 --clear-groups m
runuser -u app -- m
chpst -u app m
setuidgid app m
s6-setuidgid app m
chroot / m
env m
tini -s m
tini -s -- /private/m
env /private/m
""".strip().splitlines()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    require_root()
    with tempfile.TemporaryDirectory(prefix="wrappers-") as name:
        build_root(Path(name), {**FILES, **SCRIPTS})
        yield Path(name)


@pytest.fixture(scope="module")
def image(root: Path) -> Iterator[RootFilesystem]:
    found = as_image(root)
    with with_proc(root):
        yield found


def told(message: str) -> str:
    """A message without process numbers."""
    message = re.sub(r"tini \(\d+\)", "tini (n)", message)
    message = re.sub(r"catatonit:\d+", "catatonit:n", message)
    # How busybox's getopt says it depends on the C library; images of Alpine have musl's.
    return message.replace("invalid option -- 'S'", "unrecognized option: S")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrapper_starts_what_the_chain_says(command: str, root: Path, image: RootFilesystem) -> None:
    compare(command, root, image, 0)


@pytest.mark.parametrize("command", AS_A_USER)
def test_a_wrapper_that_is_not_root_does_what_the_chain_says(
    command: str, root: Path, image: RootFilesystem
) -> None:
    compare(command, root, image, 1000)


def compare(command: str, root: Path, image: RootFilesystem, uid: int) -> None:
    words, env = tuple(shlex.split(command)), {"MARK": "outside"}
    real = run_really(root, words, uid, env)
    model, open_ends = predict(image, words, uid, env)
    if open_ends and not model.marks:
        assert not model.message
        return
    assert (model.marks, model.users, model.directories, model.variables) == (
        real.marks,
        real.users,
        real.directories,
        real.variables,
    )
    assert told(model.message) == told(real.message)


def test_few_of_these_command_lines_are_left_open(image: RootFilesystem) -> None:
    left = [command for command in COMMANDS if predict(image, tuple(shlex.split(command)), 0, {})[1]]
    assert left == ["env -S '\"m'"]
