"""The false alarms of other tools: each lesson is an image that must stay silent, or be graded right."""

from dataclasses import replace
from pathlib import Path

from tests.cases.archives import jar
from tests.cases.artefacts import npm
from tests.cases.bases import LIBRARIES, alpine, debian
from tests.cases.case import Case, Find, Run, scan
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image, Symlink, write
from tests.cases.parts import GCC, GoProgram, Library, Part, Program, gnu, mac_module, musl, windows_module

TARGET = gnu("2.31")
CUDA = Library("libcuda.so.1", gnu("2.17"), {"": ("cuInit",)})
GONE = Library("libgone.so.1", gnu("2.17"), {"": ("gone",)})
JVM = Library("libjvm.so", gnu("2.17"), {"": ("JNI_CreateJavaVM",)})
MODULES = "/app/node_modules"
SITE = "/usr/lib/python3/dist-packages"
JDK = "/usr/lib/jvm/java-17"


def app(part: Part, path: str = "/usr/local/bin/app", base: Image | None = None, **files: Part) -> Image:
    more = {f"{LIBRARIES}/{name.replace('__', '.')}": library for name, library in files.items()}
    return (base or debian("bookworm")).layer("COPY --from=build /out /", {path: part, **more}).starts(path)


def beside(files: dict[str, object], base: Image | None = None) -> Image:
    """A container that starts a shell, with more files in it."""
    return (base or debian("bookworm")).layer("COPY . /", files).starts("sh")  # type: ignore[arg-type]


def exporting(*symbols: str, target: str = TARGET, needs: tuple[Library, ...] = ()) -> Program:
    """A host of modules, which exports what they take from it."""
    source = "".join(f"void {name}(void) {{}}\n" for name in symbols)
    return Program(target, needs, source=source, flags=("-rdynamic",))


def module(*uses: str, needs: tuple[Library, ...] = (), target: str = TARGET, run_path: str = "") -> Library:
    return Library(
        "", target, {"": ("module_init",)}, needs, uses, run_path=run_path, flags=("-Wl,-z,undefs",)
    )


PYTHON_HOST = exporting("PyModule_Create2", "Py_IncRef")
NODE_HOST = exporting("napi_create_function", "napi_module_register")
XMLJS = Library("xmljs.node", TARGET, {"": ("xmlParse",)})
SHARP = (
    "@img/sharp-linux-x64@0.35.5",
    "@img/sharp-libvips-linux-x64@1.3.4",
    "@img/sharp-linuxmusl-x64@0.35.5",
)
OLD_X = Library("libx.so.1", gnu("2.17"), {"": ("x_call",)})
NEW_X = Library("libx.so.1", gnu("2.17"), {"X_1": ("x_call",)})
LFS = ("fopen64", "stat64", "lseek64", "mmap64", "readdir64")
VERSIONED = Library("libx.so.1", musl(), {"X_2": ("x_call",)})
COMPAT = "/usr/glibc-compat"


def glibc_beside_musl() -> Image:
    """Alpine with a whole glibc under its usual path, as sgerrand's and frolvlad's images have it."""
    base = alpine("3.16", "1.2.3")
    source = debian("bookworm").layers[0].entries
    files = {
        f"{COMPAT}/lib/{path.rpartition('/')[2]}": entry
        for path, entry in source.items()
        if path.startswith("usr/lib/x86_64-linux-gnu/")
        and path.rpartition("/")[2] in ("libc.so.6", "ld-linux-x86-64.so.2")
    }
    files["lib64/ld-linux-x86-64.so.2"] = Symlink(f"{COMPAT}/lib/ld-linux-x86-64.so.2")
    files["etc/ld.so.conf"] = f"{COMPAT}/lib\n".encode()
    image = base.layer("RUN apk add glibc-2.34-r0.apk", files).env(f"LD_LIBRARY_PATH={COMPAT}/lib")
    return image.layer(
        "COPY bin /usr/bin",
        {"/usr/bin/glibc-app": Program(gnu("2.31")), "/usr/bin/musl-app": Program(musl())},
    )


CASES = (
    Case(
        "L01",
        "libcuda.so.1 is brought by the NVIDIA runtime: a note, not a failure",
        sound=app(Program(TARGET, (CUDA,), ("cuInit",))),
        sound_notes=(("loader/library-injected", "/usr/local/bin/app"),),
    ),
    Case(
        "L01",
        "LD_LIBRARY_PATH names directories that exist only at run time",
        sound=app(Program(TARGET)).env("LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64"),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L02",
        "the JDK's libraries need libjvm.so, which java has loaded before",
        sound=beside(
            {
                f"{JDK}/bin/java": exporting("JLI_Launch"),
                f"{JDK}/lib/server/libjvm.so": JVM,
                f"{JDK}/lib/libjava.so": Library(
                    "libjava.so", TARGET, {"": ("Java_x",)}, (JVM,), ("JNI_CreateJavaVM",)
                ),
                f"{JDK}/lib/libnet.so": Library(
                    "libnet.so",
                    TARGET,
                    {"": ("Java_net",)},
                    (JVM, Library("libjava.so", gnu("2.17"), {"": ("Java_x",)})),
                    ("JNI_CreateJavaVM", "Java_x"),
                ),
            }
        ),
    ),
    Case(
        "L02",
        "a Python extension takes its symbols from the interpreter",
        sound=beside(
            {
                "/usr/bin/python3.11": PYTHON_HOST,
                f"{SITE}/fast.cpython-311-x86_64-linux-gnu.so": module("PyModule_Create2", "Py_IncRef"),
            }
        ),
    ),
    Case(
        "L02",
        "an Apache module takes its symbols from the server",
        sound=beside(
            {
                "/usr/sbin/apache2": exporting("ap_hook_handler", "ap_rputs"),
                "/usr/lib/apache2/modules/mod_hello.so": module("ap_hook_handler", "ap_rputs"),
            }
        ),
    ),
    Case(
        "L02",
        "a module of an unknown program takes its symbols from it",
        sound=beside(
            {
                "/opt/agent/agent": exporting("agent_register"),
                "/opt/agent/plugins/cpu.so": module("agent_register"),
            }
        ),
    ),
    Case(
        "L02",
        "a .node file needs its neighbour xmljs.node",
        sound=beside(
            {
                "/usr/bin/node": NODE_HOST,
                f"{MODULES}/libxmljs/build/Release/xmljs.node": XMLJS,
                f"{MODULES}/libxmljs/build/Release/wrapper.node": module(
                    "xmlParse", "napi_module_register", needs=(XMLJS,)
                ),
            }
        ),
    ),
    Case(
        "L02",
        "a module finds its library in the directory above by its run path",
        sound=beside(
            {
                "/usr/libexec/tracker-extract": exporting(),
                "/usr/lib/tracker/libtracker-extract.so.0": Library(
                    "libtracker-extract.so.0", TARGET, {"": ("extract",)}
                ),
                "/usr/lib/tracker/modules/mp3.so": module(
                    "extract",
                    needs=(Library("libtracker-extract.so.0", gnu("2.17"), {"": ("extract",)}),),
                    run_path="$ORIGIN/..",
                ),
            }
        ),
    ),
    Case(
        "L03",
        "sharp for musl beside sharp for glibc",
        sound=beside(
            {"/usr/bin/node": NODE_HOST, **{p: e for name in SHARP for p, e in npm(name, MODULES).items()}}
        ),
    ),
    Case(
        "L03",
        "prebuilds for every platform, the one for this image among them",
        sound=beside(
            {
                "/usr/bin/node": NODE_HOST,
                **{
                    f"{MODULES}/bufferutil/prebuilds/{name}.node": part
                    for name, part in {
                        "linux-x64/node.napi.glibc": module(),
                        "linux-x64/node.napi.musl": module(target=musl()),
                        "linux-arm64/node.napi.armv8": module(target=gnu("2.17", "aarch64")),
                        "darwin-arm64/node.napi": mac_module("module_init"),
                        "win32-x64/node.napi": windows_module("module_init"),
                    }.items()
                },
            }
        ),
    ),
    Case(
        "L03",
        "a JAR with a build for every platform",
        sound=beside(
            {
                "/usr/bin/java": exporting(),
                "/app/jna.jar": jar(
                    {
                        f"com/sun/jna/{name}": part
                        for name, part in {
                            "linux-x86-64/libjnidispatch.so": module(),
                            "linux-aarch64/libjnidispatch.so": module(target=gnu("2.17", "aarch64")),
                            "linux-arm/libjnidispatch.so": module(target="arm-linux-gnueabihf.2.17"),
                            "win32-x86-64/jnidispatch.dll": windows_module("module_init"),
                            "darwin-aarch64/libjnidispatch.jnilib": mac_module("module_init"),
                        }.items()
                    }
                ),
            }
        ),
    ),
    Case(
        "L04",
        "broken objects among tests, examples and debug files, and another root file system",
        sound=beside(
            {
                f"{SITE}/hawkey/test/_hawkey_test.so": module(needs=(GONE,)),
                "/usr/lib/debug/.build-id/ab/cdef.debug": Program(musl()),
                "/usr/share/doc/x/examples/demo": Program(TARGET, (GONE,), ("gone",)),
                "/srv/x/testdata/broken": Program(musl()),
                "/var/lib/machines/alpine/rootfs/bin/app": Program(musl()),
                "/opt/chroot/etc/os-release": "ID=alpine\n",
                "/opt/chroot/bin/app": Program(musl()),
                "/snap/core/1/usr/bin/app": Program(TARGET, (GONE,), ("gone",)),
            }
        ),
    ),
    Case(
        "L05",
        "a static program has no loader, and needs none",
        sound=app(Program(GCC, flags=("-static",))),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L05",
        "a static position-independent program",
        sound=app(Program(GCC, flags=("-static-pie", "-fPIE")), base=alpine("3.20")),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L05",
        "a static Go program",
        sound=app(GoProgram(), base=alpine("3.20")),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L06",
        "musl compares no versions: an unversioned library serves a versioned need",
        sound=app(
            Program(musl(), (VERSIONED,), ("x_call",)),
            base=alpine("3.20").layer(
                "RUN apk add x", {"/usr/lib/libx.so.1": replace(VERSIONED, defines={"": ("x_call",)})}
            ),
        ),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L06",
        "musl resolves the names of large files by itself",
        sound=app(
            Program(gnu("2.17"), uses=LFS, interpreter="/lib/ld-musl-x86_64.so.1"), base=alpine("3.20")
        ),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L06",
        "libc6-compat is there and the glibc program gets by with it",
        sound=app(
            Program(gnu("2.17")),
            base=alpine("3.18", "1.2.3").layer(
                "RUN apk add libc6-compat",
                {"/lib64/ld-linux-x86-64.so.2": Symlink("/lib/ld-musl-x86_64.so.1")},
            ),
        ),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L07",
        "glibc installed beside musl: each program has its own loader",
        sound=glibc_beside_musl().starts("/usr/bin/musl-app"),
        run=Run(("/usr/bin/musl-app",)),
    ),
    Case(
        "L07",
        "glibc installed beside musl, and the glibc program is started",
        sound=glibc_beside_musl().starts("/usr/bin/glibc-app"),
        run=Run(("/usr/bin/glibc-app",)),
    ),
    Case(
        "L08",
        "no version information available: a warning of the loader, not a failure",
        sound=app(
            Program(TARGET, (NEW_X,), ("x_call",)),
            base=debian("trixie").layer("RUN make install", {f"{LIBRARIES}/libx.so.1": OLD_X}),
        ),
        sound_notes=(("abi/version-information-missing", "/usr/local/bin/app"),),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "L09",
        "a module that nobody may ever open lacks a library: said, and the gate stays open",
        beside({"/usr/bin/python3.11": PYTHON_HOST, f"{SITE}/odbc.so": module(needs=(GONE,))}),
        (
            Find(
                "loader/library-missing",
                f"{SITE}/odbc.so",
                "libgone.so.1: cannot open shared object file: No such file or directory",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                words=("when /usr/bin/python3.11 opens it",),
            ),
        ),
        beside({"/usr/bin/python3.11": PYTHON_HOST, f"{SITE}/odbc.so": module()}),
    ),
    Case(
        "L10",
        "libodbc.so.2 was on the list of exceptions, and it was a real break",
        beside({"/usr/local/bin/odbc": Program(TARGET, (GONE,), ("gone",))}),
        (
            Find(
                "loader/library-missing",
                "/usr/local/bin/odbc",
                "/usr/local/bin/odbc: error while loading shared libraries: libgone.so.1: "
                "cannot open shared object file: No such file or directory",
                severity="warning",
                tier="command",
            ),
        ),
        run=Run(("/usr/local/bin/odbc",)),
    ),
)

WAIVER = """
waivers:
  - rule: loader/library-missing
    soname: libgone.so.1
    expires: {}
    reason: the driver is mounted
"""


def test_an_exception_needs_a_reason_ends_on_its_day_and_can_be_shown(tmp_path: Path) -> None:
    (case,) = (one for one in CASES if one.thread == "L10")
    layout = write(tmp_path / "layout", *case.broken_images)
    told = {}
    for name, text in (
        ("valid", WAIVER.format("2099-01-01")),
        ("expired", WAIVER.format("2020-01-01")),
        ("groundless", WAIVER.format("2099-01-01").replace("    reason: the driver is mounted\n", "")),
    ):
        settings = tmp_path / f"{name}.yaml"
        settings.write_text(text)
        told[name] = scan(layout, ("--config", str(settings), "--fail-on", "warning"))
    assert (told["valid"].code, told["valid"].findings) == (0, ())
    assert (told["expired"].code, len(told["expired"].findings)) == (1, 1)
    assert told["groundless"].code == 2
    assert "reason" in told["groundless"].stderr
