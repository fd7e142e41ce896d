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
            Find("loader/glibc-program-on-musl", "/gill-app", words=("musl",), fix=("Build for musl",))
            for _ in MACHINES
        ),
        tuple(gill(architecture, "musl") for architecture in MACHINES),
        run=Run(("/entrypoint.sh",), "/entrypoint.sh: exec: line 3: /gill-app: not found"),
    ),
    Case(
        "A10",
        "ImportError: Error loading shared library ld-linux-x86-64.so.2",
        alpine("3.12", "1.2.2")
        .layer(
            "RUN pip install --platform manylinux2014_x86_64 --target . psycopg2-binary",
            wheel("psycopg2-binary==2.9.13", "manylinux2014_x86_64", "manylinux_2_17_x86_64", into=PACKAGES),
        )
        .starts("sh"),
        (
            Find(
                "loader/glibc-program-on-musl",
                f"{PACKAGES}/psycopg2/_psycopg.cpython-311-x86_64-linux-gnu.so",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                words=("musl",),
                fix=("musllinux",),
            ),
        ),
        alpine("3.20")
        .layer(
            "RUN pip install psycopg2-binary",
            wheel("psycopg2-binary==2.9.13", "musllinux_1_1_x86_64", "musllinux_1_2_x86_64", into=PACKAGES),
        )
        .starts("sh"),
    ),
)
