"""Family G: scripts, paths and permissions, which look to the user like a missing or broken program."""

from tests.cases.bases import alpine, debian
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import File, Image, Symlink, script
from tests.cases.parts import GoProgram, Program, gnu

ENTRYPOINT = "/usr/local/bin/entrypoint.sh"
COPY = "COPY entrypoint.sh /usr/local/bin/"
BODY = '#!/bin/sh\nset -e\nexec "$@"\n'
APP = {"/usr/local/bin/app": Program(gnu("2.31"))}
VENV = "/app/.venv/bin"
CONSOLE = "#!{}/.venv/bin/python\nimport sys\nsys.exit(0)\n"
START = "#!/usr/bin/env bash\nset -e\necho started\n"
BASH = Program(gnu("2.31"))


def windows(text: str, base: Image, path: str = ENTRYPOINT) -> Image:
    return base.layer(COPY, {path: script(text.replace("\n", "\r\n"))}).starts(path)


def carriage_return(path: str = ENTRYPOINT) -> Find:
    return Find(
        "start/crlf-shebang",
        path,
        f"exec {path}: no such file or directory",
        words=("carriage return",),
        fix=(".gitattributes",),
        blame=(("added", COPY),),
    )


def venv(python: str, *, shebang: str = "/app", there: bool = True) -> Image:
    base = debian("bookworm")
    if there:
        base = base.layer("COPY --from=python /usr/local", {"/usr/local/bin/python3.12": GoProgram()})
    files = {f"{VENV}/python": Symlink(python), f"{VENV}/serve": script(CONSOLE.format(shebang))}
    return base.layer("COPY --from=build /app/.venv /app/.venv", files).starts(f"{VENV}/serve")


def console(asked: str) -> Find:
    return Find(
        "start/script-interpreter-missing",
        f"{VENV}/serve",
        f"exec {VENV}/serve: no such file or directory",
        items=(asked,),
        words=(asked,),
    )


def not_executable(mode: int) -> Image:
    return (
        debian("bookworm")
        .layer("COPY start.sh /root/", {"/root/start.sh": File(BODY.encode(), mode=mode)})
        .starts("/root/start.sh", "sh", "-c", "exit 0")
    )


def named(*path: str) -> Image:
    files = {f"{directory}/server": GoProgram() for directory in path}
    return debian("bookworm").layer("COPY --from=build /out", files).starts("server")


CASES = (
    Case(
        "G01",
        "exec /usr/local/bin/entrypoint.sh: no such file or directory, and it is there",
        windows(BODY, debian("bookworm")),
        (carriage_return(),),
        debian("bookworm").layer(COPY, {ENTRYPOINT: script(BODY)}).starts(ENTRYPOINT, "sh", "-c", "exit 0"),
        run=Run((ENTRYPOINT, "/bin/sh", "-c", "exit 0")),
    ),
    Case(
        "G01",
        "an entrypoint with Windows line endings on Alpine",
        windows(BODY, alpine("3.20"), "/entrypoint.sh"),
        (carriage_return("/entrypoint.sh"),),
        alpine("3.20")
        .layer(COPY, {"/entrypoint.sh": script(BODY)})
        .starts("/entrypoint.sh", "sh", "-c", "exit 0"),
        run=Run(("/entrypoint.sh", "/bin/sh", "-c", "exit 0")),
    ),
    Case(
        "G03",
        "a console script whose virtual environment was built at /build",
        venv("/usr/local/bin/python3.12", shebang="/build"),
        (console("/build/.venv/bin/python"),),
        venv("/usr/local/bin/python3.12"),
        run=Run((f"{VENV}/serve",)),
    ),
    Case(
        "G03",
        "the python of the virtual environment points into a stage that was left behind",
        venv("/root/.local/share/uv/python/cpython-3.12/bin/python3.12"),
        (console("/app/.venv/bin/python"),),
        venv("/usr/local/bin/python3.12"),
        run=Run((f"{VENV}/serve",)),
    ),
    Case(
        "G06",
        "env: can't execute 'bash': No such file or directory",
        alpine("3.20").layer("COPY start.sh /", {"/start.sh": script(START)}).starts("/start.sh"),
        (
            Find(
                "start/script-interpreter-missing",
                "/start.sh",
                "env: can't execute 'bash': No such file or directory",
                fix=("apk add bash",),
                items=("bash",),
            ),
        ),
        alpine("3.20")
        .layer("COPY start.sh /", {"/start.sh": script(START.replace("/usr/bin/env bash", "/bin/sh"))})
        .starts("/start.sh"),
        run=Run(("/start.sh",)),
    ),
    Case(
        "G07",
        "/root/start.sh: permission denied",
        not_executable(0o644),
        (
            Find(
                "start/entrypoint-not-executable",
                "/root/start.sh",
                'exec: "/root/start.sh": permission denied',
                fix=("chmod",),
            ),
        ),
        not_executable(0o755),
        run=Run(("/root/start.sh", "/bin/sh", "-c", "exit 0")),
    ),
    Case(
        "G08",
        'exec: "server": executable file not found in $PATH',
        named("/app"),
        (
            Find(
                "start/entrypoint-missing",
                "server",
                'exec: "server": executable file not found in $PATH',
                words=("no directory of PATH has it (there is /app/server)",),
            ),
        ),
        named("/usr/local/bin"),
    ),
)
