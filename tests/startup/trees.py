"""One tree of startable and unstartable files, as an image and as a directory for real kernels."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from imagescan.rules.examples.notation import ExampleFile
from tests.requirements import require_tool


def nested(count: int) -> dict[str, ExampleFile]:
    """``/nCOUNT`` is interpreted by the next lower one, the last by the program."""
    files = {f"/n{i}": ExampleFile(f"#!/n{i - 1} x\n".encode(), mode=0o755) for i in range(2, count + 1)}
    return files | {"/n1": ExampleFile(b"#!/bin/ok\n", mode=0o755)}


def program() -> bytes:
    """A static program that exits with 42."""
    require_tool("gcc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ok.c"
        source.write_text("int main(void) { return 42; }\n")
        subprocess.run(["gcc", "-static", "-s", "-o", f"{folder}/ok", str(source)], check=True)
        return (Path(folder) / "ok").read_bytes()


def tree() -> dict[str, ExampleFile]:
    """Files by path; those below a directory come after it."""
    ok = program()
    script = b"#!/bin/ok\n"
    return {
        "/bin": ExampleFile(is_directory=True, mode=0o755),
        "/bin/ok": ExampleFile(ok, mode=0o755),
        "/s": ExampleFile(script, mode=0o755),
        "/nobody": ExampleFile(script, mode=0o644),
        "/nobody-elf": ExampleFile(ok, mode=0o644),
        "/owner": ExampleFile(script, mode=0o700),
        "/owner-elf": ExampleFile(ok, mode=0o700),
        "/group": ExampleFile(ok, mode=0o710, gid=1000),
        "/others-not": ExampleFile(ok, mode=0o770),
        "/not-for-owner": ExampleFile(ok, mode=0o077, uid=1000),
        "/unreadable": ExampleFile(ok, mode=0o711),
        "/empty": ExampleFile(b"", mode=0o755),
        "/text": ExampleFile(b"echo hello\n", mode=0o755),
        "/bom": ExampleFile(b"\xef\xbb\xbf#!/bin/ok\n", mode=0o755),
        "/no-name": ExampleFile(b"#!  \n", mode=0o755),
        "/no-name-no-end": ExampleFile(b"#!", mode=0o755),
        "/crlf": ExampleFile(b"#!/bin/ok\r\n", mode=0o755),
        "/crlf-argument": ExampleFile(b"#!/bin/ok -x\r\n", mode=0o755),
        "/gone": ExampleFile(b"#!/bin/gone\n", mode=0o755),
        "/through-file": ExampleFile(b"#!/bin/ok/x\n", mode=0o755),
        "/directory": ExampleFile(b"#!/bin\n", mode=0o755),
        "/plain-interpreter": ExampleFile(b"#!/nobody-elf\n", mode=0o755),
        "/text-interpreter": ExampleFile(b"#!/text\n", mode=0o755),
        "/owner-interpreter": ExampleFile(b"#!/owner-elf\n", mode=0o755),
        "/relative": ExampleFile(b"#!bin/ok\n", mode=0o755),
        "/itself": ExampleFile(b"#!/itself\n", mode=0o755),
        "/link": ExampleFile(link="s"),
        "/dangling": ExampleFile(link="/bin/gone"),
        "/loop": ExampleFile(link="loop"),
        "/private": ExampleFile(is_directory=True, mode=0o700),
        "/private/ok": ExampleFile(ok, mode=0o755),
        "/into-private": ExampleFile(b"#!/private/ok\n", mode=0o755),
        "/long": ExampleFile(b"#!/" + b"./" * 130 + b"bin/ok\n", mode=0o755),
        "/long-argument": ExampleFile(b"#!/bin/ok " + b"x" * 300 + b"\n", mode=0o755),
        **nested(7),
    }


def unpack(files: dict[str, ExampleFile], folder: Path) -> None:
    """Write the tree below a directory (as root, for the owners)."""
    folder.chmod(0o755)
    for path, file in files.items():
        place = folder / path[1:]
        if file.link is not None:
            place.symlink_to(file.link)
            continue
        if file.is_directory:
            place.mkdir()
        else:
            place.write_bytes(file.content)
        os.chown(place, file.uid, file.gid)
        place.chmod(file.mode)
