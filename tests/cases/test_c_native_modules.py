"""Family C: native code of Java, Node.js and .NET libraries for another libc, system or processor."""

from tests.cases.archives import Archive, jar
from tests.cases.artefacts import npm
from tests.cases.bases import alpine, debian
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image
from tests.cases.parts import Library, Part, Program, gnu, mac_module, musl, windows_module

JAVA = Program(musl(), flags=("-rdynamic",))
NODE_MUSL = Program(musl(), flags=("-rdynamic",))
NODE = Program(gnu("2.31"), flags=("-rdynamic",))
LD_LINUX = Library("ld-linux-x86-64.so.2", gnu("2.17"))
STANDARD = Library("libstdc++.so.6", gnu("2.17"), {"GLIBCXX_3.4": ("_Znwm",)})
MUSL_STANDARD = Library("libstdc++.so.6", musl(), {"": ("_Znwm",)})
GCC = Library("libgcc_s.so.1", musl(), {"": ("_Unwind_Resume",)})
EXCEPTION = "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv"
NEW_STANDARD = Library("libstdc++.so.6", musl(), {"": ("_Znwm", EXCEPTION)})
SNAPPY = "org/xerial/snappy/native/Linux/{}/libsnappyjava.so"
MODULES = "/app/node_modules"


def native(soname: str, target: str, needs: tuple[Library, ...] = (), uses: tuple[str, ...] = ()) -> Library:
    return Library(soname, target, {"": ("Java_native",)}, needs, uses)


def snappy(*, musl_too: bool) -> Archive:
    members: dict[str, Part | str | bytes] = {
        SNAPPY.format("x86_64"): native("libsnappyjava.so", gnu("2.17"), (LD_LINUX,), ("memcpy",)),
        SNAPPY.format("aarch64"): native("libsnappyjava.so", gnu("2.17", "aarch64")),
    }
    if musl_too:
        other = "org/xerial/snappy/native/Linux-Musl/x86_64/libsnappyjava.so"
        members[other] = native("libsnappyjava.so", musl())
    return jar(members)


def java(version: str, path: str, archive: Archive, machine: str = "amd64") -> Image:
    program = JAVA if machine == "amd64" else Program(musl("aarch64"), flags=("-rdynamic",))
    base = alpine(version, "1.2.3", machine).layer("RUN apk add openjdk17-jre", {"/usr/bin/java": program})
    return base.layer("COPY target/libs /app", {path: archive}).starts("java", "-jar", path)


def no_build(
    archive: str,
    member: str,
    name: str,
    says: str = "",
    items: tuple[str, ...] = (),
    fix: tuple[str, ...] = (),
) -> Find:
    return Find(
        "bundle/no-usable-variant",
        f"{archive}!/{member}",
        says,
        severity="warning",
        tier="plugin",
        certainty="conditional",
        items=items,
        words=(f"{name} in {archive}", "musl"),
        fix=fix,
        blame=(("added", "COPY target/libs /app"),),
    )


def loading(member: str, library: str = "ld-linux-x86-64.so.2") -> str:
    return f"Error loading shared library {library}: No such file or directory (needed by {member})"


def unsatisfied(member: str) -> str:
    return f"java.lang.UnsatisfiedLinkError: {loading(member)}"


ROCKSDB = "librocksdbjni-linux-aarch64-musl.so"
ROCKSDB_X64 = "librocksdbjni-linux64-musl.so"


def rocksdb(member: str, target: str, *uses: str) -> Archive:
    provider = Library("libstdc++.so.6", target, {"": ("_Znwm", EXCEPTION)})
    return jar({member: native(member, target, (provider,), ("_Znwm", *uses))})


def with_libraries(image: Image, **libraries: Library) -> Image:
    return image.layer("RUN apk add libstdc++", {f"/usr/lib/{one.soname}": one for one in libraries.values()})


def node(base: Image, program: Program, *packages: str, **more: object) -> Image:
    files = {path: entry for package in packages for path, entry in npm(package, MODULES).items()}
    image = base.layer("RUN install node", {"/usr/local/bin/node": program})
    return image.layer("COPY node_modules /app/node_modules", {**files, **more}).starts(
        "node", "/app/index.js"
    )  # type: ignore[dict-item]


def foreign_module(package: str) -> Find:
    return Find(
        "bundle/no-usable-variant",
        f"{MODULES}/{package}/lib/{package.rpartition('/')[2]}-0.35.5.node",
        severity="warning",
        tier="plugin",
        certainty="conditional",
        words=("@img/sharp", "linux/amd64 with glibc"),
        fix=("npm install --os=linux --cpu=x64 --libc=glibc",),
        blame=(("added", "COPY node_modules /app/node_modules"),),
    )


MAC, WINDOWS = mac_module("napi_register_module_v1"), windows_module("napi_register_module_v1")
ENGINE = f"{MODULES}/@prisma/engines/libquery_engine-linux-musl{{}}.so.node"


def prisma(openssl: str, engine: str) -> Image:
    library = Library(openssl, musl(), {"": ("SSL_new",)})
    base = alpine("3.21").layer(
        "RUN apk add openssl nodejs",
        {
            "/usr/lib/libssl.so.3": Library("libssl.so.3", musl(), {"": ("SSL_new",)}),
            "/usr/bin/node": NODE_MUSL,
        },
    )
    module = Library("", musl(), {"": ("napi_register_module_v1",)}, (library,), ("SSL_new",))
    return base.layer("RUN npx prisma generate", {engine: module}).starts("node")


NODE_CXX = Program(musl(), (MUSL_STANDARD, GCC), ("_Znwm", "_Unwind_Resume"))


def node_tarball() -> Image:
    return (
        alpine("3.19")
        .layer("ADD node-v20-linux-x64-musl.tar.gz", {"/usr/local/bin/node": NODE_CXX})
        .starts("node")
    )


def node_lacks(library: str, package: str) -> Find:
    return Find(
        "loader/library-missing",
        "/usr/local/bin/node",
        loading("/usr/local/bin/node", library),
        items=(library,),
        fix=(f"apk add {package}",),
    )


DOTNET = "/app/runtimes/linux-x64/native/librocksdb.so"


def dotnet(path: str, library: Library) -> Image:
    base = alpine("3.8", "1.2.2").layer(
        "RUN apk add dotnet", {"/usr/bin/dotnet": Program(musl(), flags=("-rdynamic",))}
    )
    return base.layer("COPY publish /app", {path: library}).starts("dotnet", "/app/app.dll")


CASES = (
    Case(
        "C01",
        "kafka-clients with snappy-java 1.1.7 on Alpine: UnsatisfiedLinkError ld-linux-x86-64.so.2",
        java("3.12.9", "/app/snappy-java-1.1.7.jar", snappy(musl_too=False)),
        (
            no_build(
                "/app/snappy-java-1.1.7.jar",
                SNAPPY.format("x86_64"),
                "snappy-java",
                unsatisfied(f"/app/snappy-java-1.1.7.jar!/{SNAPPY.format('x86_64')}"),
                items=("linux/arm64", "linux/amd64 (glibc)"),
                fix=("glibc",),
            ),
        ),
        java("3.12.9", "/app/snappy-java-1.1.8.jar", snappy(musl_too=True)),
    ),
    Case(
        "C02",
        "snappy-java inside a Spring Boot JAR on Alpine",
        java("3.18", "/app/app.jar", jar({"BOOT-INF/lib/snappy-java-1.1.7.jar": snappy(musl_too=False)})),
        (
            no_build(
                "/app/app.jar",
                f"BOOT-INF/lib/snappy-java-1.1.7.jar!/{SNAPPY.format('x86_64')}",
                "snappy-java",
                items=("linux/amd64 (glibc)",),
            ),
        ),
        java("3.18", "/app/app.jar", jar({"BOOT-INF/lib/snappy-java-1.1.8.jar": snappy(musl_too=True)})),
    ),
    Case(
        "C04",
        "rocksdbjni on Alpine for arm64: libstdc++.so.6: cannot open shared object file",
        java("3.16", "/app/rocksdbjni.jar", rocksdb(ROCKSDB, musl("aarch64")), "arm64"),
        (
            Find(
                "loader/library-missing",
                f"/app/rocksdbjni.jar!/{ROCKSDB}",
                loading(f"/app/rocksdbjni.jar!/{ROCKSDB}", "libstdc++.so.6"),
                severity="warning",
                tier="plugin",
                certainty="conditional",
                items=("libstdc++.so.6",),
                words=("java",),
                fix=("apk add so:libstdc++.so.6",),
            ),
        ),
        with_libraries(
            java("3.16", "/app/rocksdbjni.jar", rocksdb(ROCKSDB, musl("aarch64")), "arm64"),
            standard=Library("libstdc++.so.6", musl("aarch64"), {"": ("_Znwm", EXCEPTION)}),
        ),
    ),
    Case(
        "C05",
        "zstd-jni on openjdk:8-jre-alpine: UnsatisfiedLinkError",
        java(
            "3.9",
            "/app/zstd-jni.jar",
            jar(
                {
                    "linux/amd64/libzstd-jni.so": native(
                        "libzstd-jni.so", gnu("2.17"), (LD_LINUX,), ("__memcpy_chk",)
                    )
                }
            ),
        ),
        (
            no_build(
                "/app/zstd-jni.jar",
                "linux/amd64/libzstd-jni.so",
                "zstd-jni",
                unsatisfied("/app/zstd-jni.jar!/linux/amd64/libzstd-jni.so"),
                items=("linux/amd64 (glibc)",),
            ),
        ),
        java(
            "3.9", "/app/zstd-jni.jar", jar({"linux/amd64/libzstd-jni.so": native("libzstd-jni.so", musl())})
        ),
    ),
    Case(
        "B10",
        "rocksdbjni 10.5 on Alpine 3.21: undefined symbol _ZNSt15__exception_ptr...",
        with_libraries(
            java("3.21.3", "/app/rocksdbjni.jar", rocksdb(ROCKSDB_X64, musl(), EXCEPTION)),
            standard=MUSL_STANDARD,
        ),
        (
            Find(  # a note: what a module lacks, another one that the program loads may bring
                "abi/symbol-missing",
                f"/app/rocksdbjni.jar!/{ROCKSDB_X64}",
                f"Error relocating /app/rocksdbjni.jar!/{ROCKSDB_X64}: {EXCEPTION}: symbol not found",
                severity="note",
                tier="plugin",
                certainty="conditional",
                items=(EXCEPTION,),
                words=("libstdc++.so.6",),
            ),
        ),
        with_libraries(
            java("3.21.3", "/app/rocksdbjni.jar", rocksdb(ROCKSDB_X64, musl(), EXCEPTION)),
            standard=NEW_STANDARD,
        ),
    ),
    Case(
        "B11",
        "rocksdb-sharp on Alpine: backtrace, _ZdlPvSt11align_val_t: symbol not found",
        dotnet(
            DOTNET,
            Library("librocksdb.so", gnu("2.17"), {"": ("rocksdb_open",)}, (LD_LINUX,), ("backtrace",)),
        ),
        (
            Find(
                "bundle/no-usable-variant",
                DOTNET,
                severity="warning",
                tier="plugin",
                certainty="conditional",
                items=("linux/amd64 (glibc)",),
                fix=("linux-musl-x64",),
            ),
        ),
        dotnet(
            DOTNET.replace("linux-x64", "linux-musl-x64"),
            Library("librocksdb.so", musl(), {"": ("rocksdb_open",)}),
        ),
    ),
    Case(
        "C07",
        "node_modules from Alpine on Debian: sharp ERR_DLOPEN_FAILED",
        node(
            debian("bookworm"),
            NODE,
            "@img/sharp-linuxmusl-x64@0.35.5",
            "@img/sharp-libvips-linuxmusl-x64@1.3.4",
        ),
        (
            Find(
                "bundle/no-usable-variant",
                f"{MODULES}/@img/sharp-linuxmusl-x64/lib/sharp-linuxmusl-x64-0.35.5.node",
                "libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                items=("linux/amd64 (musl)",),
                fix=("npm install --os=linux --cpu=x64 --libc=glibc",),
            ),
            Find(
                "bundle/no-usable-variant",
                f"{MODULES}/@img/sharp-libvips-linuxmusl-x64/lib/libvips-cpp.so.8.18.7",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                items=("linux/amd64 (musl)",),
            ),
        ),
        node(debian("bookworm"), NODE, "@img/sharp-linux-x64@0.35.5", "@img/sharp-libvips-linux-x64@1.3.4"),
    ),
    Case(
        "C08",
        "node_modules from a Mac: sharp does not load",
        node(debian("bookworm"), NODE, "@img/sharp-darwin-arm64@0.35.5"),
        (foreign_module("@img/sharp-darwin-arm64"),),
        node(
            debian("bookworm"),
            NODE,
            *(
                "@img/sharp-darwin-arm64@0.35.5",
                "@img/sharp-linux-x64@0.35.5",
                "@img/sharp-libvips-linux-x64@1.3.4",
            ),
        ),
    ),
    *(
        Case(
            "C08",
            f"sharp.node of {system}: invalid ELF header",
            node(debian("bookworm"), NODE, **{f"{MODULES}/sharp/build/Release/sharp.node": part}),
            (
                Find(
                    "platform/foreign-format",
                    f"{MODULES}/sharp/build/Release/sharp.node",
                    f"{MODULES}/sharp/build/Release/sharp.node: invalid ELF header",
                    severity="warning",
                    tier="plugin",
                    certainty="conditional",
                    words=(system,),
                    fix=(".dockerignore", "node_modules"),
                ),
            ),
            node(
                debian("bookworm"),
                NODE,
                **{
                    f"{MODULES}/sharp/build/Release/sharp.node": Library(
                        "", gnu("2.17"), {"": ("napi_register",)}
                    )
                },
            ),
        )
        for system, part in (("macOS", MAC), ("Windows", WINDOWS))
    ),
    Case(
        "C09",
        "Prisma on Alpine 3.21 chose the engine for OpenSSL 1.1",
        prisma("libssl.so.1.1", ENGINE.format("")),
        (
            Find(
                "loader/library-missing",
                ENGINE.format(""),
                loading(ENGINE.format(""), "libssl.so.1.1"),
                severity="warning",
                tier="plugin",
                certainty="conditional",
                items=("libssl.so.1.1",),
                fix=("These releases have OpenSSL 3",),
            ),
        ),
        prisma("libssl.so.3", ENGINE.format("-openssl-3.0.x")),
    ),
    Case(
        "C11",
        "the musl tarball of Node.js on plain Alpine: libstdc++.so.6 and libgcc_s.so.1",
        node_tarball(),
        (node_lacks("libstdc++.so.6", "so:libstdc++.so.6"), node_lacks("libgcc_s.so.1", "so:libgcc_s.so.1")),
        with_libraries(node_tarball(), standard=MUSL_STANDARD, gcc=GCC),
        run=Run(("/usr/local/bin/node",)),
    ),
)
