"""The compiled parts of cases: libraries, programs and Go programs for any libc, release and machine.

A part is a plain value; nothing is compiled before an image with it is built, and each distinct
part once, kept in the test cache under the hash of everything that makes it. ziglang links with the
symbol versions of whatever glibc release is named, or with musl, so a part asks of its libc exactly
what the user's own program did.

    new = Library("libssl.so.3", gnu("2.36"), {"OPENSSL_3.0.0": ("SSL_new",), "OPENSSL_3.2.0": ("SSL_x",)})
    Program(gnu("2.39"), needs=(new,), uses=("SSL_new", "SSL_x", "pidfd_spawnp"))
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samples.oci import File
from tests.loader.compile import zig
from tests.oracle.cache import cache_directory, publish
from tests.requirements import require_tool

RECIPE = 1  # raise it when the commands below change what they make
_BOUND_AT_ONCE = "extern void {0}(void);\n"
_MAIN = 'int puts(const char *);\nint main(void) {{ puts("started"); {calls} return {held}; }}\n'


def gnu(release: str = "2.17", machine: str = "x86_64") -> str:
    """What to compile for glibc: symbols get the versions that this release gave them."""
    return f"{machine}-linux-gnu.{release}"


def musl(machine: str = "x86_64") -> str:
    """What to compile for musl."""
    return f"{machine}-linux-musl"


GCC = "gcc"  # this machine's own compiler, for what ziglang's linker cannot mark


class Part:
    """Something that is made once and put into images."""

    mode = 0o755

    def made(self) -> Path:
        """The file in the test cache."""
        raise NotImplementedError

    def entry(self) -> File:
        """What a layer has of it."""
        return File(self.made(), mode=self.mode)


@dataclass(frozen=True)
class Library(Part):
    """A shared object. ``defines`` maps version nodes ("" for none) to the symbols that they have; the
    nodes inherit each other in the order given. ``uses`` are symbols bound when it is loaded."""

    soname: str
    target: str
    defines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    needs: tuple[Library, ...] = ()
    uses: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    run_path: str = ""
    flags: tuple[str, ...] = ()
    source: str = ""
    mode = 0o644

    def made(self) -> Path:
        symbols = [name for names in self.defines.values() for name in names]
        source = "".join(f"int {name}(void) {{ return 0; }}\n" for name in symbols) + self.source
        source += _references(self.uses, self.calls)
        if self.calls:
            source += f"int calls_{hash_of(self.calls)}(void) {{ {_called(self.calls)} return 0; }}\n"
        flags = ["-shared", "-fPIC", *([f"-Wl,-soname,{self.soname}"] if self.soname else []), *self.flags]
        return _compile(self.target, source, flags, self.needs, self.run_path, _version_script(self.defines))


def mac_module(symbol: str) -> Library:
    """A module of a Mac, linked with nothing."""
    return Library("", "aarch64-macos", {"": (symbol,)}, flags=("-nostdlib",))


def windows_module(symbol: str) -> Library:
    """A module of Windows, linked with nothing: ziglang would build the whole runtime first."""
    return Library("", "x86_64-windows-gnu", {"": (symbol, "DllMainCRTStartup")}, flags=("-nostdlib",))


@dataclass(frozen=True)
class Program(Part):
    """A program that says ``started``. ``uses`` are symbols bound at start, ``calls`` such as are bound
    when they are called first. ``interpreter`` replaces the target's own."""

    target: str
    needs: tuple[Library, ...] = ()
    uses: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    run_path: str = ""
    interpreter: str = ""
    flags: tuple[str, ...] = ()
    source: str = ""

    def made(self) -> Path:
        held = "!held[0]" if self.uses else "0"
        source = self.source + _references(self.uses, self.calls)
        source += _MAIN.format(held=held, calls=_called(self.calls))
        flags = [*self.flags]
        if self.target.endswith("-musl") and "-static" not in flags:
            flags.append("-dynamic")  # zig links musl programs statically without it
        if self.interpreter:
            flags.append(f"-Wl,--dynamic-linker={self.interpreter}")
        return _compile(self.target, source, flags, self.needs, self.run_path, "")


@dataclass(frozen=True)
class GoProgram(Part):
    """A Go program with its build information: with C code for ``target``, static without one."""

    target: str = ""
    architecture: str = "amd64"

    def made(self) -> Path:
        code = "package main\n" + ('import "C"\n' if self.target else "")
        code += 'func main() { println("started") }\n'
        made = cache_directory() / "parts" / hash_of((RECIPE, self, code))
        if not made.exists():
            with tempfile.TemporaryDirectory() as directory, publish(made) as unfinished:
                Path(directory, "main.go").write_text(code)
                Path(directory, "go.mod").write_text("module example.com/app\n\ngo 1.19\n")
                self._build(Path(directory), unfinished)
        return made

    def _build(self, directory: Path, output: Path) -> None:
        go = require_tool("go", "golang-go")
        environment = {**os.environ, "CGO_ENABLED": "0", "GOARCH": self.architecture, "GOFLAGS": "-mod=mod"}
        if self.target:
            environment |= {"CGO_ENABLED": "1", "CC": " ".join(zig(self.target))}
        command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", output, "."]
        _run(command, directory, environment)


@dataclass(frozen=True)
class LinkTimeLibc(Part):
    """The C library of an old glibc release as ziglang links with it: every symbol and version node,
    no code. It stands for releases that Debian's archive no longer has."""

    release: str
    library: str = "libc.so.6"

    def made(self) -> Path:
        made = cache_directory() / "parts" / hash_of((RECIPE, self))
        if not made.exists():
            with tempfile.TemporaryDirectory() as directory, publish(made) as unfinished:
                Path(directory, "x.c").write_text("int main(void) { return 0; }\n")
                environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": f"{directory}/cache"}
                command = [*zig(gnu(self.release)), "x.c", "-lm", "-lpthread", "-ldl", "-o", "x"]
                _run(command, Path(directory), environment)
                (found,) = Path(directory, "cache").glob(f"o/*/{self.library}*")
                unfinished.write_bytes(found.read_bytes())
        return made


def hash_of(value: object) -> str:
    """A name for what makes a part."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def _references(uses: Sequence[str], calls: Sequence[str]) -> str:
    declared = "".join(_BOUND_AT_ONCE.format(name) for name in dict.fromkeys((*uses, *calls)))
    held = f"void *held[] = {{ {', '.join(f'(void *){name}' for name in uses)} }};\n" if uses else ""
    return declared + held


def _called(calls: Sequence[str]) -> str:
    # Reached only when the program is given arguments that nobody gives it.
    return "".join(f"if (__builtin_frame_address(0) == 0) {name}();" for name in calls)


def _version_script(defines: Mapping[str, Sequence[str]]) -> str:
    script, before = "", ""
    for node, names in defines.items():
        if node:
            script += f"{node} {{ global: {' '.join(f'{name};' for name in names)} }} {before};\n"
            before = node
    return script


def _compile(
    target: str,
    source: str,
    flags: Sequence[str],
    needs: Sequence[Library],
    run_path: str,
    versions: str,
) -> Path:
    made = cache_directory() / "parts" / hash_of((RECIPE, target, source, flags, needs, run_path, versions))
    if made.exists():
        return made
    with tempfile.TemporaryDirectory() as name, publish(made) as unfinished:
        directory = Path(name)
        inputs = []
        for need in needs:
            # The linker takes files by their extension; what it records is the soname.
            name = need.soname if ".so" in need.soname else f"{need.soname}.so"
            (directory / name).symlink_to(need.made())
            inputs.append(name)
        (directory / "part.c").write_text(source)
        link = ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *inputs]
        if run_path:
            link.append(f"-Wl,-rpath,{run_path}")
        if versions:
            (directory / "versions").write_text(versions)
            link.append("-Wl,--version-script=versions")
        compiler = [str(require_tool("gcc"))] if target == GCC else zig(target)
        command = [*compiler, "-O1", "-s", "-w", "-fno-builtin", *flags, "part.c", *link, "-o", unfinished]
        _run(command, directory, dict(os.environ))
    return made


def _run(command: Sequence[object], directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [str(word) for word in command], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr}"
