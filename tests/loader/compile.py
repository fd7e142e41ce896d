"""Compile the tiny programs and libraries of the traps, each distinct one once, kept in the test cache.

In: what the object needs, exports, calls and where it looks. Out: the bytes of an ELF file. Nothing is
linked with a libc: a program brings its own entry point and speaks to the kernel directly, so that
one binary runs under every glibc and, with another interpreter, under musl, and only the loader is
under test. Needed libraries are linked as stubs that have nothing but a soname and the symbols.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.cache import cache_directory, publish
from tests.requirements import require_tool

RECIPE = 1  # raise it when the commands below change what they make
GLIBC_INTERPRETER = "/lib64/ld-linux-x86-64.so.2"
MUSL_INTERPRETER = "/lib/ld-musl-x86_64.so.1"

PROGRAM = r"""
__asm__(".globl _start\n_start:\n xor %%ebp, %%ebp\n mov %%rsp, %%rdi\n"
        "and $-16, %%rsp\n call begin\n ud2\n");
static long call_kernel(long number, long first, long second, long third)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}
static void say(const char *text)
{
    long length = 0;
    while (text[length]) length++;
    call_kernel(1, 1, (long)text, length);
}
static void line(const char *word, const char *text) { say(word); say(text); say("\n"); }
struct dynamic { long tag; void *value; };
struct object { long address; const char *name; void *dynamic; struct object *next; };
struct debug { int version; struct object *first; };
#ifndef STATIC
extern struct dynamic _DYNAMIC[] __attribute__((visibility("hidden")));
static void say_objects(void)
{
    for (struct dynamic *entry = _DYNAMIC; entry->tag; entry++)
        if (entry->tag == 21 && entry->value)
            for (struct object *one = ((struct debug *)entry->value)->first->next; one; one = one->next)
                line("object ", one->name);
}
#else
static void say_objects(void) {}
#endif
volatile int never;
%(declarations)s
void begin(long *stack)
{
    line("started", "");
    say_objects();
    if (never) say((char *)stack[0]);
    %(body)s
    line("ok", "");
    call_kernel(60, 0, 0, 0);
}
"""


@dataclass(frozen=True, slots=True)
class Need:
    """A library to be needed: its name, and what the stub defines when that is not simply the
    function that ``function_of`` derives from the name."""

    name: str
    source: str = ""
    versions: str = ""


def function_of(library: str) -> str:
    """The function that the traps' library of this name exports: ``of_a`` for ``libd/liba.so.1``."""
    base = library.rsplit("/", 1)[-1].removeprefix("lib")
    return "of_" + re.sub(r"\W", "_", base.split(".so")[0])


def library(
    tag: str,
    *,
    soname: str | None,
    needs: Sequence[str | Need] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    source: str = "",
    versions: str = "",
    flags: Sequence[str] = (),
    compiler: Sequence[str] = ("gcc",),
) -> bytes:
    """A shared object; without ``source`` it exports one function that returns ``tag``."""
    source = source or f'const char *{function_of(tag)}(void) {{ return "{tag}"; }}\n'
    command = [*compiler, "-shared", "-fPIC", "-nostdlib", "-fno-stack-protector", "-xc", "-", "-xnone"]
    if soname is not None:
        command.append(f"-Wl,-soname,{soname}")
    command += ["-Wl,--allow-shlib-undefined", *_run_path(rpath, runpath), *flags]
    return _compile(command, source, needs, versions, compiler)


def program(
    *,
    needs: Sequence[str | Need] = (),
    calls: Sequence[str] | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    declarations: str = "",
    body: str = "",
    flags: Sequence[str] = (),
    interpreter: str | None = GLIBC_INTERPRETER,
    kind: Sequence[str] = ("-pie", "-fPIE"),
) -> bytes:
    """A program that prints ``started``, its link map, what each function called returns, and ``ok``.

    Without ``calls`` it calls the function of every library needed. ``interpreter`` None: no PT_INTERP.
    """
    if calls is None:
        calls = [function_of(need if isinstance(need, str) else need.name) for need in needs]
    declared = "".join(f"extern const char *{name}(void);\n" for name in dict.fromkeys(calls))
    called = "".join(f'line("from ", {name}());\n' for name in calls)
    source = PROGRAM % {"declarations": declared + declarations, "body": called + body}
    static = ["-DSTATIC"] if interpreter is None and not needs else []
    linker = ["-Wl,--no-dynamic-linker"] if interpreter is None else [f"-Wl,--dynamic-linker={interpreter}"]
    command = ["gcc", *kind, *static, "-O1", "-nostdlib", "-nostartfiles", "-fno-stack-protector"]
    command += ["-xc", "-", "-xnone", *linker, "-Wl,--allow-shlib-undefined", "-Wl,-z,lazy"]
    return _compile([*command, *_run_path(rpath, runpath), *flags], source, needs, "")


def hosted(source: str, compiler: Sequence[str], *flags: str) -> bytes:
    """An object linked with the compiler's own libc and start files."""
    return hosted_with(source, compiler, (), *flags)


def hosted_with(source: str, compiler: Sequence[str], needs: Sequence[str | Need], *flags: str) -> bytes:
    """The same with libraries needed before the libc."""
    return _compile([*compiler, *flags, "-O1", "-xc", "-", "-xnone"], source, needs, "")


def with_interpreter(elf: bytes, interpreter: bytes) -> bytes:
    """The same program asking for another loader, whose path must not be longer."""
    changed = bytearray(elf)
    header = find_segment(elf, 3)
    offset, size = (struct.unpack_from("<Q", elf, header + at)[0] for at in (8, 32))
    text = interpreter + b"\0"
    assert len(text) <= size
    changed[offset : offset + size] = text.ljust(size, b"\0")
    struct.pack_into("<QQ", changed, header + 32, len(text), len(text))
    return bytes(changed)


def find_segment(elf: bytes, kind: int) -> int:
    """The file offset of the first program header of a type in a 64-bit little-endian file."""
    table, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    return next(
        table + index * size
        for index in range(count)
        if struct.unpack_from("<I", elf, table + index * size)[0] == kind
    )


def _run_path(rpath: str | None, runpath: str | None) -> list[str]:
    if rpath is not None:
        return ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{rpath}"]
    return [] if runpath is None else ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{runpath}"]


def _compile(
    command: Sequence[str],
    source: str,
    needs: Sequence[str | Need],
    versions: str,
    stubs: Sequence[str] = ("gcc",),
) -> bytes:
    """Run the compiler unless the cache has what it would make; ``stubs`` compiles what is needed."""
    key = hashlib.sha256(repr((RECIPE, command, source, needs, versions)).encode()).hexdigest()
    made = cache_directory() / "objects" / key
    if not made.exists():
        require_tool(command[0])
        with tempfile.TemporaryDirectory() as directory, publish(made) as unfinished:
            inputs = [_stub(Path(directory), at, need, stubs) for at, need in enumerate(needs)]
            if versions:
                script = Path(directory, "versions")
                script.write_text(versions)
                inputs.append(f"-Wl,--version-script={script}")
            whole = [*command, "-Wl,--no-as-needed", *inputs, "-o", str(unfinished)]
            done = subprocess.run(whole, input=source, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(whole)}\n{source}\n{done.stderr}"
    return made.read_bytes()


def _stub(directory: Path, position: int, need: str | Need, compiler: Sequence[str]) -> str:
    need = Need(need) if isinstance(need, str) else need
    body = need.source or f"void {function_of(need.name)}(void) {{}}\n"
    path = directory / f"{position}.so"
    path.write_bytes(library("", soname=need.name, source=body, versions=need.versions, compiler=compiler))
    return str(path)


def zig(target: str) -> list[str]:
    """A compiler for another machine (the ziglang package)."""
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]
