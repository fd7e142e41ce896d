"""Family A: a program whose loader the image does not have, most often glibc's on Alpine."""

from tests.cases.artefacts import wheel
from tests.cases.bases import alpine, debian
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image, Symlink, script
from tests.cases.parts import GoProgram, Library, Program, gnu, musl

KAFKA = Library("librdkafka.so.1", gnu("2.17"), {"": ("rd_kafka_new",)})
KAFKA_MUSL = Library("librdkafka.so.1", musl(), {"": ("rd_kafka_new",)})
COPY = "COPY --from=build /out/app /usr/bin/app"
STORE = "/nix/store/681354n3k44r8z90m35hm8945vsp95h1-glibc-2.27/lib/ld-linux-x86-64.so.2"
PACKAGES = "/usr/local/lib/python3.11/site-packages"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "arm"}


def app(target: str) -> Image:
    return alpine("3.18", "1.2.3").layer(COPY, {"/usr/bin/app": Program(target)}).starts("app")


def gill(architecture: str, libc: str) -> Image:
    abi = "eabihf" if architecture == "armhf" else ""
    target = f"{MACHINES[architecture]}-linux-{libc}"
    target = target.replace("musl", f"musl{abi}").replace("gnu", f"gnu{abi}")
    files = {
        "/gill-app": Program(target),
        "/entrypoint.sh": script('#!/bin/sh\nset -e\nexec /gill-app "$@"\n'),
    }
    base = alpine("3.17", "1.2.3", architecture)
    return base.layer("COPY --from=build /app/target/release/gill-app /", files).starts("/entrypoint.sh")


BCRYPT = f"{PACKAGES}/bcrypt/_bcrypt.abi3.so"
PSYCOPG = f"{PACKAGES}/psycopg2/_psycopg.cpython-311-x86_64-linux-gnu.so"
MANYLINUX = ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
MUSLLINUX = ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64")
OPENER = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
__attribute__((constructor)) static void start(void)
{
    void *opened = dlopen("%s", RTLD_NOW);
    const char *said = opened ? "" : dlerror();
    if (!opened && !strstr(said, "symbol not found")) { puts(said); exit(1); }
}
int puts(const char *);
"""


def wheels(base: Image, requirement: str, *platforms: str) -> Image:
    files = wheel(requirement, *platforms, into=PACKAGES)
    return base.layer(f"RUN pip install --platform {platforms[0]} {requirement}", files).starts("sh")


def with_python(base: Image) -> Image:
    """For Python stands a program that opens the module, and that has none of Python's own symbols."""
    files = {
        "/usr/local/bin/python3.11": Program(musl(), source=OPENER % BCRYPT),
        "/usr/lib/libgcc_s.so.1": Library("libgcc_s.so.1", musl(), {"": UNWIND}),
    }
    return base.layer("ADD python", files)


UNWIND = tuple(
    f"_Unwind_{name}"
    for name in (
        *("Backtrace", "DeleteException", "GetCFA", "GetDataRelBase", "GetIP", "GetIPInfo", "RaiseException"),
        *("GetLanguageSpecificData", "GetRegionStart", "GetTextRelBase", "Resume", "SetGR", "SetIP"),
    )
)


CASES = (
    Case(
        "A01",
        "sh: k6: not found",
        alpine("3.23")
        .layer("COPY k6 /usr/bin/", {"/usr/bin/k6": Program(gnu("2.39"), (KAFKA,), ("rd_kafka_new",))})
        .starts("k6"),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/usr/bin/k6",
                "exec /usr/bin/k6: no such file or directory",
                words=("not found", "Alpine Linux v3.23", "librdkafka.so.1"),
                fix=("Build for musl",),
                blame=(("added", "COPY k6 /usr/bin/"),),
            ),
        ),
        alpine("3.23")
        .layer("RUN apk add librdkafka", {"/usr/lib/librdkafka.so.1": KAFKA_MUSL})
        .layer("COPY k6 /usr/bin/", {"/usr/bin/k6": Program(musl(), (KAFKA_MUSL,), ("rd_kafka_new",))})
        .starts("k6"),
        run=Run(("/bin/sh", "-c", "k6"), "/bin/sh: k6: not found"),
    ),
    Case(
        "A03",
        "cannot execute: required file not found",
        app(gnu("2.31")),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/usr/bin/app",
                "exec /usr/bin/app: no such file or directory",
                words=("no such file or directory", '"not found"', "cannot execute: required file not found"),
            ),
        ),
        app(musl()),
        run=Run(("/usr/bin/app",)),
    ),
    Case(
        "A03",
        "a Go program with cgo is not found, one without it runs",
        alpine("3.18", "1.2.3").layer(COPY, {"/usr/bin/app": GoProgram(gnu("2.31"))}).starts("app"),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/usr/bin/app",
                "exec /usr/bin/app: no such file or directory",
                fix=("CGO_ENABLED=0",),
            ),
        ),
        alpine("3.18", "1.2.3").layer(COPY, {"/usr/bin/app": GoProgram()}).starts("app"),
        run=Run(("/usr/bin/app",)),
    ),
    Case(
        "A04",
        "a program built by Nix: not found",
        alpine("3.12", "1.2.2")
        .layer("ADD direnv /usr/bin/", {"/usr/bin/direnv": Program(gnu("2.27"), interpreter=STORE)})
        .starts("direnv"),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/usr/bin/direnv",
                "exec /usr/bin/direnv: no such file or directory",
                items=(STORE,),
                words=("Nix",),
            ),
        ),
        alpine("3.12", "1.2.2")
        .layer("ADD direnv /usr/bin/", {"/usr/bin/direnv": GoProgram()})
        .starts("direnv"),
        run=Run(("/usr/bin/direnv",)),
    ),
    Case(
        "A04",
        "a program built by Nix on Debian: not found",
        debian("bookworm")
        .layer("ADD direnv /usr/bin/", {"/usr/bin/direnv": Program(gnu("2.27"), interpreter=STORE)})
        .starts("direnv"),
        (
            Find(
                "loader/interpreter-missing",
                "/usr/bin/direnv",
                "exec /usr/bin/direnv: no such file or directory",
                words=("Nix",),
            ),
        ),
        debian("bookworm")
        .layer("ADD direnv /usr/bin/", {"/usr/bin/direnv": Program(gnu("2.27"))})
        .starts("direnv"),
        run=Run(("/usr/bin/direnv",)),
    ),
    Case(
        "A05",
        "Error relocating /tini: __fprintf_chk: symbol not found",
        alpine("3.3", "1.2.2")
        .layer(
            "RUN apk add libc6-compat", {"/lib64/ld-linux-x86-64.so.2": Symlink("/lib/libc.musl-x86_64.so.1")}
        )
        .layer("ADD tini /tini", {"/tini": Program(gnu("2.17"), uses=("__fprintf_chk",))})
        .starts("/tini"),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/tini",
                "Error relocating /tini: __fprintf_chk: symbol not found",
                items=("__fprintf_chk",),
                fix=("statically", "may still crash"),
                blame=(("added", "ADD tini /tini"),),
            ),
        ),
        alpine("3.3", "1.2.2").layer("ADD tini-static /tini", {"/tini": GoProgram()}).starts("/tini"),
        run=Run(("/tini",)),
    ),
    Case(
        "A07",
        "a Rust program of three platforms: the build is green and no container starts",
        tuple(gill(architecture, "gnu") for architecture in MACHINES),
        tuple(
            Find(
                "loader/glibc-program-on-musl",
                "/gill-app",
                "exec /gill-app: no such file or directory",
                words=("/lib/ld-musl-", loader),
                fix=("Build for musl",),
                blame=(("added", "COPY --from=build /app/target/release/gill-app /"),),
            )
            for loader in ("x86_64", "aarch64", "armhf")
        ),
        tuple(gill(architecture, "musl") for architecture in MACHINES),
        run=Run(("/entrypoint.sh",), "/entrypoint.sh: exec: line 3: /gill-app: not found"),
    ),
    Case(
        "A10",
        "ImportError: Error loading shared library ld-linux-x86-64.so.2",
        wheels(with_python(alpine("3.12", "1.2.2")), "bcrypt==5.0.0", *MANYLINUX),
        (
            Find(
                "loader/glibc-program-on-musl",
                BCRYPT,
                "Error loading shared library ld-linux-x86-64.so.2: No such file or directory "
                f"(needed by {BCRYPT})",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                words=("musl", "when /usr/local/bin/python3.11 opens it"),
                fix=("musllinux",),
            ),
        ),
        wheels(with_python(alpine("3.20")), "bcrypt==5.0.0", *MUSLLINUX),
        sound_notes=(("abi/symbol-missing", BCRYPT),),  # Python's own
        run=Run(("/usr/local/bin/python3.11",)),
    ),
    Case(
        "A10",
        "a manylinux wheel with sixteen libraries: one finding",
        wheels(alpine("3.12", "1.2.2"), "psycopg2-binary==2.9.13", *MANYLINUX),
        (
            Find(
                "loader/glibc-program-on-musl",
                PSYCOPG,
                "Error loading shared library ld-linux-x86-64.so.2: No such file or directory "
                f"(needed by {PACKAGES}/psycopg2_binary.libs/libcom_err-2abe824b.so.2.1)",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                requesters=(f"{PACKAGES}/psycopg2_binary.libs/libcom_err-2abe824b.so.2.1",),
                fix=("musllinux",),
            ),
        ),
        wheels(alpine("3.20"), "psycopg2-binary==2.9.13", *MUSLLINUX),
    ),
)
