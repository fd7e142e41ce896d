"""Small ELF files of every architecture, compiled by ziglang without any libc.

Enters a target and a kind; leaves the bytes, compiled once per machine (ziglang caches too).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

TARGETS = (
    "x86_64-linux-gnu",
    "x86-linux-gnu",
    "aarch64-linux-gnu",
    "arm-linux-gnueabihf",
    "arm-linux-gnueabi",
    "powerpc64le-linux-gnu",
    "s390x-linux-gnu",
    "riscv64-linux-gnu",
    "loongarch64-linux-gnu",
    "mips64el-linux-gnuabi64",
    "mips64-linux-gnuabi64",
)

# The unwinder that ARM code refers to lives in libgcc, which is not linked here.
_UNWINDER = """
#ifdef __arm__
__attribute__((visibility("hidden"))) void __aeabi_unwind_cpp_pr0(void) {}
#endif
"""
_LIBRARY = """
__attribute__((visibility("default"))) int shared_data = 7;
__attribute__((visibility("default"))) int first_call(void) { return 1; }
__attribute__((visibility("default"))) int second_call(void) { return 2; }
"""
_VERSIONS = "LIB_1 { first_call; shared_data; local: *; };\nLIB_2 { second_call; } LIB_1;\n"
_USER = """
extern int shared_data; int first_call(void); int second_call(void); int absent_call(void);
extern int optional_call(void) __attribute__((weak));
int (*pointer)(void) = second_call;
int run(void) { return first_call() + absent_call() + shared_data + (optional_call ? 1 : 0); }
void _start(void) { run(); }
"""

_PROGRAM = """
extern int shared_data; int first_call(void); int second_call(void);
void _start(void) { first_call(); second_call(); shared_data = 1; }
"""


class Body:
    """A file's bytes as the inspector sees them."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length] if offset >= 0 else b""


def workshop() -> Path:
    """Where compiled files are kept between runs."""
    base = os.environ.get("IMAGESCAN_TEST_CACHE", tempfile.gettempdir())
    directory = Path(base) / "imagescan-elf-fixtures"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def compile_elf(target: str, name: str, source: str, *flags: str) -> Path:
    """Compile one file; the same inputs are compiled once."""
    key = hashlib.sha256(repr((target, name, source, flags)).encode()).hexdigest()[:16]
    output = workshop() / f"{key}-{name}"
    if not output.exists():
        code = workshop() / f"{key}.c"
        code.write_text(source)
        unfinished = workshop() / f"{key}.{os.getpid()}.unfinished"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-O1", "-nostdlib", "-fPIC"]
        command += [
            "-fno-stack-protector",
            "-fno-sanitize=all",
            "-fno-unwind-tables",
            "-fno-asynchronous-unwind-tables",
            *flags,
            str(code),
            "-o",
            str(unfinished),
        ]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(workshop() / "zig")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        unfinished.replace(output)
    return output


@cache
def library(target: str) -> Path:
    """A versioned shared library with soname ``libfirst.so.1``."""
    script = workshop() / "versions.map"
    script.write_text(_VERSIONS)
    return compile_elf(
        target,
        "libfirst.so.1",
        _LIBRARY + _UNWINDER,
        "-shared",
        "-Wl,-soname,libfirst.so.1",
        f"-Wl,--version-script={script}",
    )


@cache
def user(target: str, *flags: str) -> Path:
    """A shared object that needs the library, with a run path, lazy, immediate and weak references."""
    linking = ("-shared", "-Wl,-rpath,/opt/a:$ORIGIN/../b", "-Wl,--allow-shlib-undefined", "-Wl,-z,undefs")
    return compile_elf(target, "libuser.so", _USER + _UNWINDER, str(library(target)), *linking, *flags)


@cache
def program(target: str, *flags: str) -> Path:
    """A dynamic program with an interpreter of its own."""
    return compile_elf(
        target,
        "program",
        _PROGRAM + _UNWINDER,
        "-pie",
        str(library(target)),
        "-Wl,--dynamic-linker=/lib/ld-test.so.9",
        *flags,
    )
