"""Entrypoint scripts against the shells: what each really starts, with which words, as whom, and how
it fails; under dash, bash and busybox, each as its own interpreter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.filesystem.values import RootFilesystem
from imagescan.rules.examples.notation import ExampleFile
from tests.requirements import require_root
from tests.startup.real_programs import FILES, as_image, build_root, predict, run_really, with_proc

pytestmark = pytest.mark.oracle

SHELLS = {"dash": "/bin/dash", "bash": "/bin/bash", "busybox": "/bb/sh", "mksh": "/usr/bin/mksh"}

# Each script's text after the first line, and the arguments that it is started with.
SCRIPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "arguments": ('exec "$@"', ("m", "a b", "c")),
    "arguments without quotes": ("exec $@", ("m", "a")),
    "no arguments": ('exec "$@"\nm end', ()),
    "set -e": ('set -e\n# a comment\nexec "$@"', ("m",)),
    "set -eu -o pipefail": ('set -eu\nexec "$@"', ("m",)),
    "options first": ('if [ "${1#-}" != "$1" ]; then\n\tset -- m "$@"\nfi\nexec "$@"', ("-v", "x")),
    "no options first": ('if [ "${1#-}" != "$1" ]; then\n\tset -- m "$@"\nfi\nexec "$@"', ("m", "-x")),
    "options or a file": (
        'if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then\n set -- m "$@"\nfi\nexec "$@"',
        ("my.conf",),
    ),
    "as root become app": (
        'if [ "$1" = m -a "$(id -u)" = 0 ]; then\n exec gosu app "$0" "$@"\nfi\nexec "$@"',
        ("m", "x"),
    ),
    "as root become app, backquotes": (
        'if [ `id -u` -eq 0 ]; then exec gosu app "$0" "$@"; fi\nexec "$@" -r',
        ("m",),
    ),
    "case": ('case "$1" in\n a|b) exec m ab ;;\n -*) exec m option "$@" ;;\n *) exec "$@" ;;\nesac', ("b",)),
    "case, option": ('case "$1" in\n a|b) exec m ab ;;\n (-*) exec m option "$@" ;;\nesac', ("-z",)),
    "case, nothing": ('case "$1" in\n a) exec m ab ;;\nesac\nexec m after', ("q",)),
    "elif": ('if [ "$1" = a ]; then exec m a; elif [ "$1" = b ]; then exec m b; else exec m c; fi', ("b",)),
    "else": ('if [ "$1" = a ]; then exec m a; elif [ "$1" = b ]; then exec m b; else exec m c; fi', ("d",)),
    "and": ('[ "$1" = a ] && exec m yes\nexec m no', ("a",)),
    "and, not": ('[ "$1" = a ] && exec m yes\nexec m no', ("b",)),
    "or": ('[ "$1" = a ] || exec m no\nexec m yes', ("b",)),
    "not": ('if ! [ "$1" = a ]; then exec m not; fi\nexec m a', ("b",)),
    "empty": ('if [ -z "$1" ]; then set -- m default; fi\nexec "$@"', ()),
    "count": ("if [ $# -gt 1 ]; then exec m many; fi\nexec m few", ("a", "b")),
    "file there": ("if [ -f /etc/passwd ]; then exec m there; fi\nexec m not", ()),
    "program there": ("if command -v m >/dev/null 2>&1; then exec m there; fi\nexec m not", ()),
    "shift": ('shift\nexec m "$@"', ("a", "b", "c")),
    "shift 2": ('shift 2\nexec m "$@"', ("a", "b", "c")),
    "variable": ('app="m"\nexec $app "x y" \'z\'', ()),
    "variable split": ('app="m -a"\nexec $app "$app"', ()),
    "default": ('exec "${APP:-m}" "${1:-none}"', ()),
    "default, given": ('exec "${APP:-m}" "${1:-none}"', ("given",)),
    "default assigned": (': "${OPTS:=-v}"\nexec m $OPTS "$OPTS"', ()),
    "alternative": ('exec m ${1:+first} "${2:+second}"', ("a",)),
    "suffix and prefix": ('f=/a/b.tar.gz\nexec m "${f##*/}" "${f#*/}" "${f%.*}" "${f%%.*}"', ()),
    "part of a value": ('exec m "${1:0:1}" "${1:2}" "${2:0:1}" "${1:9}"', ("abcd",)),
    "an option, as bash tells it": (
        'if [ "${1:0:1}" = - ]; then\n set -- m "$@"\nfi\nexec "$@"',
        ("-x",),
    ),
    "length": ("f=abc\nexec m ${#f} $#", ("x", "y")),
    "dirname": ('exec m "$(dirname "$0")" "$(basename "$0" )"', ()),
    "here": ('cd "$(dirname "$0")" && exec m', ()),
    "cd": ("cd /srv\nexec m", ()),
    "cd relative": ("cd /\ncd srv\nexec m", ()),
    "export": ("export MARK=exported\nexec m", ()),
    "not exported": ("NEW=1\nMARK=changed\nexec m", ()),
    "path": ('export PATH="/nowhere:$PATH"\nexec m', ()),
    "assignment before": ("MARK=before exec m", ()),
    "assignment before a program": ("MARK=before m", ()),
    "function": ('run() {\n exec m "$1" run\n}\nrun first', ("x",)),
    "function arguments": ('main() { exec "$@"; }\nmain "$@"', ("m", "1")),
    "function returns": ("f() { return 0; exec m never; }\nf\nexec m after", ()),
    "group": ("{ cd /srv; exec m; }", ()),
    "subshell": ("(cd /srv; exec m in)\nexec m out", ()),
    "here document": ("cat <<EOF\nexec m never\nEOF\nexec m real", ()),
    "here document, quoted": ("cat <<'E N D' >/dev/null\n$(broken\nE N D\nexec m real", ()),
    "continued line": ("exec m \\\n  a \\\n  b", ()),
    "redirections": ("exec 3>&1\nexec m a 2>&1 </dev/null", ()),
    "exec -a": ("exec m", ()),
    "last command": ("cd /srv\nm last", ()),
    "last of a list": ("cd /srv && m last", ()),
    "two programs": ("m first\nm second", ()),
    "env": ("exec env MARK=env m x", ()),
    "wrappers": ("exec tini -s -- nice -n 1 gosu app m w", ()),
    "shell in shell": ("exec sh -c 'exec m inner \"$@\"' zero one two", ()),
    "shell line": ('exec sh -c "exec m $1"', ("outer",)),
    "eval": ('eval "exec m evaluated"', ()),
    "sourced": (". /lib.sh\nstart x", ()),
    "sourced sets": (". /set.sh\nexec m", ()),
    "star": ('exec m "$*"', ("a", "b")),
    "zero": ('exec m "$0"', ()),
    "quoted empty": ('exec m "" \'\' a""b', ()),
    "double quotes": ('exec m "a\\"b\\$c\\\\d\\e"', ()),
    "comment at the end": ('exec m a # "b', ()),
    "absent": ("exec absent", ()),
    "absent path": ("exec /absent/x", ()),
    "absent argument": ('set -e\n\nexec "$@"', ("absent", "x")),
    "absent last": ("absent last", ()),
    "absent, set -e": ("set -e\nabsent\nexec m", ()),
    "absent, let go": ("absent\nexec m after", ()),
    "absent, caught": ("absent || true\nexec m after", ()),
    "not executable": ("exec /plain", ()),
    "interpreter gone": ("/gone", ()),
    "private": ("exec gosu app /private/m", ()),
    "umask": ('um="$(umask)"\nif [ "$um" = 0022 ]; then umask 0077; fi\nexec "$@"', ("m",)),
    "while": ('while [ "$1" = skip ]; do shift; done\nexec m "$@"', ("skip", "x")),
    "for": ("for one in a b; do echo $one; done\nexec m after", ()),
    "pipe": ("echo a | cat\nexec m after", ()),
    "background": ("true &\nexec m after", ()),
    "id -g": ('exec m "$(id -g)" "$(id -u)"', ()),
}
MORE = {
    "/lib.sh": ExampleFile(b'#!/bin/sh\nstart() { exec m started "$1"; }\n', mode=0o644),
    "/set.sh": ExampleFile(b"#!/bin/sh\nexport MARK=sourced\n", mode=0o644),
}
NOT_KNOWN = {"while"}  # only known at run time: nothing may be said to fail
SEVERAL = {"subshell", "two programs"}  # only the last is what the script hands over to
NOT_DASH = {"part of a value", "an option, as bash tells it"}  # a bad substitution there
CASES = [(shell, name) for shell in SHELLS for name in SCRIPTS if shell != "dash" or name not in NOT_DASH]


def path_of(shell: str, name: str) -> str:
    return f"/scripts/{shell}/{list(SCRIPTS).index(name)}"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    require_root()
    files = {
        path_of(shell, name): ExampleFile(f"#!{SHELLS[shell]}\n{SCRIPTS[name][0]}\n".encode(), mode=0o755)
        for shell, name in CASES
    }
    with tempfile.TemporaryDirectory(prefix="scripts-") as folder:
        build_root(Path(folder), {**FILES, **MORE, **files})
        yield Path(folder)


@pytest.fixture(scope="module")
def image(root: Path) -> Iterator[RootFilesystem]:
    found = as_image(root)
    with with_proc(root):
        yield found


@pytest.mark.parametrize(("shell", "name"), CASES)
@pytest.mark.parametrize("uid", [0, 1000])
def test_a_script_starts_what_the_chain_says(
    shell: str, name: str, uid: int, root: Path, image: RootFilesystem
) -> None:
    words = (path_of(shell, name), *SCRIPTS[name][1])
    env = {"MARK": "outside"}
    real = run_really(root, words, uid, env)
    model, open_ends = predict(image, words, uid, env)
    if name in NOT_KNOWN:
        assert open_ends and not model.message
        return
    assert open_ends == []
    if name in SEVERAL:
        assert model.marks == real.marks[-1:]
        return
    assert (model.marks, model.users, model.directories, model.variables) == (
        real.marks,
        real.users,
        real.directories,
        real.variables,
    )
    assert model.message == real.message.removeprefix("E: ")
