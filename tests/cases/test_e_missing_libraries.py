"""Family E: a library that a program or a module needs is not there, or not where the loader looks."""

from functools import cache

from tests.cases.bases import LIBRARIES, USERS, debian, distroless, dpkg, red_hat, scratch
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import GONE, Directory, File, Image, Layer, Symlink, script
from tests.cases.packages import ROOT_DIRECTORIES, file_of, files_of
from tests.cases.parts import Library, Part, Program, gnu
from tests.loader.distributions import NIX, STORE, built_for

MULTIARCH = "usr/lib/x86_64-linux-gnu"
SITE = "/usr/lib/python3.11/site-packages"
PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libexpat1", "libssl3")
PYTHON_OPENS = "when /usr/bin/python3.11 opens it"
TARGET = gnu("2.31")
UBUNTU = '{}\nID=ubuntu\nVERSION_ID="{}"\nID_LIKE=debian\n'
LIBPQ = (
    *(
        "libpq5",
        "libgssapi-krb5-2",
        "libkrb5-3",
        "libk5crypto3",
        "libkrb5support0",
        "libcom-err2",
        "libkeyutils1",
    ),
    *(
        "libldap-2.5-0",
        "libsasl2-2",
        "libssl3",
        "libgnutls30",
        "libp11-kit0",
        "libidn2-0",
        "libunistring2",
        "libtasn1-6",
    ),
    *("libnettle8", "libhogweed6", "libgmp10", "libffi8"),
)


def stub(soname: str) -> Library:
    name = "of_" + "".join(letter if letter.isalnum() else "_" for letter in soname)
    return Library(soname, gnu("2.17"), {"": (name,)})


def needing(*sonames: str, **options: object) -> Program:
    return Program(TARGET, tuple(stub(soname) for soname in sonames), **options)  # type: ignore[arg-type]


def extension(name: str, *sonames: str) -> Library:
    return Library("", TARGET, {"": (f"PyInit_{name}",)}, tuple(stub(soname) for soname in sonames))


def absent(program: str, library: str) -> str:
    start = f"{program}: error while loading shared libraries: " if program else ""
    return f"{start}{library}: cannot open shared object file: No such file or directory"


def lacks(program: str, library: str, *fix: str, **options: object) -> Find:
    return Find(
        "loader/library-missing", program, absent(program, library), items=(library,), fix=fix, **options
    )  # type: ignore[arg-type]


def module_lacks(module: str, library: str, *fix: str, words: tuple[str, ...] = (PYTHON_OPENS,)) -> Find:
    return Find(
        "loader/library-missing",
        module,
        absent("", library),
        severity="warning",
        tier="plugin",
        certainty="conditional",
        items=(library,),
        fix=fix,
        words=words,
    )


def python(path: str, module: Library) -> Image:
    return (
        debian("bookworm", *PYTHON)
        .layer("RUN pip install -r requirements.txt", {path: module})
        .starts("python3.11")
    )


def started(base: Image, path: str, part: Part) -> Image:
    return base.layer(f"COPY --from=build {path} {path}", {path: part}).starts(path)


def with_stubs(base: Image, *sonames: str, directory: str = LIBRARIES) -> Image:
    return base.layer(
        "RUN install the libraries", {f"{directory}/{soname}": stub(soname) for soname in sonames}
    )


def ubuntu(suite: str, version: str) -> Image:
    release = UBUNTU.format(f'PRETTY_NAME="Ubuntu {version} LTS"', version)
    return debian(suite).layer("ADD ubuntu", {"/usr/lib/os-release": release})


@cache
def nix(*libraries: str) -> Image:
    """What nixpacks makes: glibc and Python in the store, a virtual environment beside it."""

    def entries() -> dict[str, object]:
        loader = file_of("trixie", "libc6", f"{MULTIARCH}/ld-linux-x86-64.so.2").content
        assert isinstance(loader, bytes)
        return {
            **ROOT_DIRECTORIES,
            "etc/passwd": USERS,
            f"{STORE}/lib/ld-linux-x86-64.so.2": File(built_for(loader, *NIX), mode=0o755),
            f"{STORE}/lib/libc.so.6": file_of("trixie", "libc6", f"{MULTIARCH}/libc.so.6"),
            f"{STORE}/bin/python3.11": Program(gnu("2.36"), interpreter=f"{STORE}/lib/ld-linux-x86-64.so.2"),
            **{f"{STORE}/lib/{soname}": stub(soname) for soname in libraries},
        }

    return Image((Layer("RUN nix-env -if .nixpacks/nixpkgs.nix", entries),)).starts(f"{STORE}/bin/python3.11")  # type: ignore[arg-type]


CV2 = f"{SITE}/cv2/cv2.abi3.so"
CV2_NEEDS = ("libGL.so.1", "libgthread-2.0.so.0")
PSYCOPG = f"{SITE}/psycopg_c/_psycopg.cpython-311-x86_64-linux-gnu.so"
PQ_PROGRAM = needing("libpq.so.5")
INSTALLED = debian("bookworm").layer("RUN apt-get install -y libpq-dev", dpkg("bookworm", *LIBPQ))
AUTOREMOVE = "RUN apt-get purge -y libpq-dev && apt-get autoremove -y"
NUMPY = "/opt/venv/lib/python3.11/site-packages/numpy/core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so"
DISTROLESS_NUMPY = "/app/site-packages/numpy/core/_multiarray_umath.cpython-39-x86_64-linux-gnu.so"
CLIENT = "/opt/oracle/instantclient"
ORACLE = Library("libclntsh.so.19.1", TARGET, {"": ("OCIInit",)}, (stub("libaio.so.1"),))
SQLPLUS = Program(TARGET, (ORACLE,), ("OCIInit",))
GIT = "/opt/rh/rh-git218/root/usr"
OPENSSL_NEEDS = ("libssl.so.3", "libcrypto.so.3")
OLD_SSL = {"OPENSSL_1.0.0": ("SSL_old",)}
NEW_SSL = {**OLD_SSL, "OPENSSL_1.0.2": ("SSL_newer",)}
CLI = Program(TARGET, (Library("libssl.so.1.0.0", gnu("2.17"), NEW_SSL),), ("SSL_old", "SSL_newer"))
NOTE = r"""
__asm__(".pushsection .note.dlopen,\"a\",@note\n .balign 4\n .long 4, 2f-1f, 0x407c0c0a\n .ascii \"FDO\\0\"\n"
        "1: .asciz \"[{\\\"soname\\\":[\\\"libz.so.1\\\"],\\\"feature\\\":\\\"zlib\\\","
        "\\\"priority\\\":\\\"required\\\"}]\"\n 2: .balign 4\n .popsection");
"""


def oracle(*extra: tuple[str, Symlink]) -> Image:
    base = debian("trixie").layer("RUN apt-get install -y libaio1t64", dpkg("trixie", "libaio1t64"))
    files = {f"{CLIENT}/libclntsh.so.19.1": ORACLE, "/usr/local/bin/sqlplus": SQLPLUS, **dict(extra)}
    return (
        base.layer("COPY instantclient /opt/oracle", files).env(f"LD_LIBRARY_PATH={CLIENT}").starts("sqlplus")
    )


def local_openssl(directory: str) -> Image:
    files = {f"{directory}/{soname}": stub(soname) for soname in OPENSSL_NEEDS}
    base = debian("bookworm").layer(
        "RUN make install_sw", {**files, "/usr/local/bin/openssl": needing(*OPENSSL_NEEDS)}
    )
    return base.starts("openssl")


def off_path(directory: str, library: str) -> Find:
    return Find(
        "loader/library-off-search-path",
        "/usr/local/bin/openssl",
        absent("openssl", library).replace("openssl:", "/usr/local/bin/openssl:", 1),
        items=(library,),
        words=(f"{directory}/{library}",),
        fix=("ldconfig",),
        blame=(("added", "RUN make install_sw"),),
    )


def rh_git(*variables: str) -> Image:
    files = {
        f"{GIT}/bin/git": Program(TARGET),
        f"{GIT}/libexec/git-core/git-http-fetch": needing("libcurl-httpd24.so.4"),
        "/opt/rh/httpd24/root/usr/lib64/libcurl-httpd24.so.4": stub("libcurl-httpd24.so.4"),
    }
    image = red_hat("centos", "7").layer("RUN yum install -y rh-git218", files)
    return (image.env(*variables) if variables else image).starts(f"{GIT}/bin/git")


def ssl_cli(defines: dict[str, tuple[str, ...]]) -> Image:
    base = distroless("bullseye").layer(
        "COPY libssl.so.1.0.0",
        {f"{LIBRARIES}/libssl.so.1.0.0": Library("libssl.so.1.0.0", gnu("2.17"), defines)},
    )
    return started(base, "/usr/bin/openssl", CLI)


def pg_dump(*extra: str) -> Image:
    """Everything that the report's Dockerfile copies into distroless/static."""
    libc = {
        path: entry for path, entry in files_of("bookworm", "libc6").items() if path.startswith(MULTIARCH)
    }
    moved = {path.removeprefix("usr/"): entry for path, entry in libc.items()}
    files = {"bin/sh": file_of("bookworm", "dash", "usr/bin/dash"), **moved}
    image = scratch().layer(
        "bazel build static-debian11", {"etc/passwd": USERS, "tmp": Directory(), "proc": Directory()}
    )
    image = image.layer("COPY --from=build /lib/x86_64-linux-gnu /bin/sh", files)
    wrapper = script("#!/usr/bin/perl -w\nuse PgCommon;\n")
    image = image.layer("COPY --from=build /usr/bin/pg_dump /usr/bin/", {"usr/bin/pg_dump": wrapper})
    if extra:
        perl = file_of("bookworm", "perl-base", "usr/bin/perl")
        loader = Symlink("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
        extras = {"lib64/ld-linux-x86-64.so.2": loader, "usr/bin/perl": perl}
        crypt = files_of("bookworm", "libcrypt1")
        extras |= {path.removeprefix("usr/"): e for path, e in crypt.items() if path.startswith(MULTIARCH)}
        image = image.layer("COPY --from=build /lib64 /usr/bin/perl", extras)
    return image.starts("pg_dump")


def wheel_of(tag: str, abi: str) -> Image:
    note = f"Wheel-Version: 1.0\nTag: {tag}-{tag}-manylinux2014_x86_64\n"
    files = {
        "/usr/bin/python3.9": Program(TARGET),
        f"{SITE}/numpy-1.21.0.dist-info/WHEEL": note,
        f"{SITE}/numpy/core/_multiarray_umath.{abi}-x86_64-linux-gnu.so": extension("_multiarray_umath"),
    }
    return debian("bullseye").layer("COPY --from=build /usr /usr", files).starts("python3.9")


def libdl(suite: str) -> Image:
    name = "libdl-2.31.so" if suite == "bullseye" else "libdl.so.2"
    library = file_of(suite, "libc6", f"{MULTIARCH}/{name}")
    image = debian("bookworm").layer("COPY libdl.so.2 /lib/", {f"{LIBRARIES}/libdl.so.2": library})
    return started(image, "/app", Program(gnu("2.17"), uses=("dlopen",), flags=("-ldl",)))


CASES = (
    Case(
        "E01",
        "import cv2: libGL.so.1: cannot open shared object file",
        python(CV2, extension("cv2", *CV2_NEEDS)),
        (
            module_lacks(CV2, "libGL.so.1", "apt-get install -y --no-install-recommends libgl1"),
            module_lacks(
                CV2, "libgthread-2.0.so.0", "apt-get install -y --no-install-recommends libglib2.0-0"
            ),
        ),
        with_stubs(python(CV2, extension("cv2", *CV2_NEEDS)), *CV2_NEEDS),
        run=Run(
            ("/usr/bin/python3.11", "-c", f"import sys; sys.path.insert(0, '{SITE}/cv2'); import cv2"),
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
            code=1,
        ),
    ),
    Case(
        "E02",
        "the final stage has no libpq5: ImportError: libpq.so.5",
        python(PSYCOPG, extension("_psycopg", "libpq.so.5")),
        (module_lacks(PSYCOPG, "libpq.so.5", "apt-get install -y --no-install-recommends libpq5"),),
        python(PSYCOPG, extension("_psycopg", "libpq.so.5")).layer(
            "RUN apt-get install -y libpq5", dpkg("bookworm", *LIBPQ)
        ),
    ),
    Case(
        "E03",
        "apt-get autoremove took libpq5 along",
        started(INSTALLED, "/usr/local/bin/app", PQ_PROGRAM).layer(
            AUTOREMOVE, {f"{LIBRARIES}/libpq.so.5": GONE, f"{LIBRARIES}/libpq.so.5.15": GONE}
        ),
        (
            lacks(
                "/usr/local/bin/app",
                "libpq.so.5",
                "libpq5",
                blame=(("added", "RUN apt-get install -y libpq-dev"), ("removed", AUTOREMOVE)),
            ),
        ),
        started(INSTALLED, "/usr/local/bin/app", Program(TARGET)),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "E05",
        "logdeviced: libboost_regex.so.1.65.1 of the build stage",
        started(
            ubuntu("bullseye", "18.04"), "/usr/local/bin/logdeviced", needing("libboost_regex.so.1.65.1")
        ),
        (lacks("/usr/local/bin/logdeviced", "libboost_regex.so.1.65.1", "libboost_regex.so.1.65.1"),),
        started(
            with_stubs(ubuntu("bullseye", "18.04"), "libboost_regex.so.1.65.1"),
            "/usr/local/bin/logdeviced",
            needing("libboost_regex.so.1.65.1"),
        ),
        run=Run(("/usr/local/bin/logdeviced",)),
    ),
    Case(
        "E06",
        "libaio1t64 has no libaio.so.1: Oracle's client does not load on Debian 13",
        oracle(),
        (
            Find(
                "loader/library-missing",
                "/usr/local/bin/sqlplus",
                absent("/usr/local/bin/sqlplus", "libaio.so.1"),
                items=("libaio.so.1",),
                requesters=(f"{CLIENT}/libclntsh.so.19.1",),
                fix=("libaio.so.1t64", "link"),
            ),
        ),
        oracle((f"{LIBRARIES}/libaio.so.1", Symlink("libaio.so.1t64"))),
        run=Run(("/usr/local/bin/sqlplus",)),
    ),
    Case(
        "E08",
        "built against OpenSSL 1.1, shipped on Ubuntu 22.04: libssl.so.1.1",
        started(ubuntu("bookworm", "22.04"), "/app", needing("libssl.so.1.1")),
        (lacks("/app", "libssl.so.1.1", "OpenSSL 3"),),
        started(with_stubs(ubuntu("bookworm", "22.04"), "libssl.so.3"), "/app", needing("libssl.so.3")),
        run=Run(("/app",)),
    ),
    Case(
        "E08",
        "built against OpenSSL 3, shipped on bullseye-slim: libssl.so.3",
        started(debian("bullseye"), "/app", needing("libssl.so.3")),
        (lacks("/app", "libssl.so.3", "libssl.so.3"),),
        started(with_stubs(debian("bookworm"), "libssl.so.3"), "/app", needing("libssl.so.3")),
        run=Run(("/app",)),
    ),
    Case(
        "E09",
        "puppeteer's chrome on slim: libnss3.so, libXss.so.1",
        started(debian("bookworm"), "/app/chrome", needing("libnss3.so", "libXss.so.1")),
        (lacks("/app/chrome", "libnss3.so", "libnss3"), lacks("/app/chrome", "libXss.so.1", "libxss1")),
        started(
            with_stubs(debian("bookworm"), "libnss3.so", "libXss.so.1"),
            "/app/chrome",
            needing("libnss3.so", "libXss.so.1"),
        ),
        run=Run(("/app/chrome",)),
    ),
    Case(
        "E11",
        "ffmpeg: libgomp.so.1: cannot open shared object file",
        started(debian("bookworm"), "/usr/local/bin/ffmpeg", needing("libgomp.so.1")),
        (
            lacks(
                "/usr/local/bin/ffmpeg", "libgomp.so.1", "apt-get install -y --no-install-recommends libgomp1"
            ),
        ),
        started(
            debian("bookworm").layer("RUN apt-get install -y libgomp1", dpkg("bookworm", "libgomp1")),
            "/usr/local/bin/ffmpeg",
            needing("libgomp.so.1"),
        ),
        run=Run(("/usr/local/bin/ffmpeg",)),
    ),
    Case(
        "E12",
        "OpenSSL in /usr/local/lib and nobody ran ldconfig",
        local_openssl("/usr/local/lib"),
        tuple(off_path("/usr/local/lib", library) for library in OPENSSL_NEEDS),
        local_openssl("/usr/local/lib").ldconfig(),
        run=Run(("/usr/local/bin/openssl",)),
    ),
    Case(
        "E12",
        "OpenSSL in /usr/local/lib64, where Debian never looks",
        local_openssl("/usr/local/lib64"),
        tuple(off_path("/usr/local/lib64", library) for library in OPENSSL_NEEDS),
        local_openssl("/usr/local/lib64").env("LD_LIBRARY_PATH=/usr/local/lib64"),
        run=Run(("/usr/local/bin/openssl",)),
    ),
    Case(
        "E15",
        "numpy on distroless: libz.so.1",
        distroless("bullseye")
        .layer("COPY --from=build /usr/bin/python3.9", {"/usr/bin/python3.9": Program(TARGET)})
        .layer("COPY --from=build /app", {DISTROLESS_NUMPY: extension("numpy", "libz.so.1")})
        .starts("/usr/bin/python3.9"),
        (module_lacks(DISTROLESS_NUMPY, "libz.so.1", "libz.so.1", words=("/usr/bin/python3.9",)),),
        distroless("bullseye", "zlib1g")
        .layer("COPY --from=build /usr/bin/python3.9", {"/usr/bin/python3.9": Program(TARGET)})
        .layer("COPY --from=build /app", {DISTROLESS_NUMPY: extension("numpy", "libz.so.1")})
        .starts("/usr/bin/python3.9"),
    ),
    Case(
        "E15",
        "numpy of Python 3.8 under Python 3.9",
        wheel_of("cp38", "cpython-38"),
        (
            Find(
                "bundle/no-usable-variant",
                f"{SITE}/numpy-1.21.0.dist-info/WHEEL",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                words=("Python 3.9",),
                fix=("--python-version 3.9",),
            ),
        ),
        wheel_of("cp39", "cpython-39"),
    ),
    Case(
        "E16",
        "a manylinux numpy in Nix's Python: libstdc++.so.6, and then libz.so.1",
        nix().layer("RUN pip install numpy", {NUMPY: extension("numpy", "libstdc++.so.6", "libz.so.1")}),
        (
            module_lacks(NUMPY, "libstdc++.so.6", words=("python3.11",)),
            module_lacks(NUMPY, "libz.so.1", words=("python3.11",)),
        ),
        nix("libstdc++.so.6", "libz.so.1").layer(
            "RUN pip install numpy", {NUMPY: extension("numpy", "libstdc++.so.6", "libz.so.1")}
        ),
    ),
    Case(
        "E17",
        "git --version is fine, git-http-fetch lacks libcurl-httpd24.so.4",
        rh_git(),
        (
            Find(
                "loader/library-off-search-path",
                f"{GIT}/libexec/git-core/git-http-fetch",
                absent(f"{GIT}/libexec/git-core/git-http-fetch", "libcurl-httpd24.so.4"),
                severity="warning",
                tier="command",
                items=("libcurl-httpd24.so.4",),
                words=("/opt/rh/httpd24/root/usr/lib64/libcurl-httpd24.so.4",),
                fix=("LD_LIBRARY_PATH",),
            ),
        ),
        rh_git("LD_LIBRARY_PATH=/opt/rh/httpd24/root/usr/lib64"),
        run=Run((f"{GIT}/libexec/git-core/git-http-fetch",)),
    ),
    Case(
        "E19",
        "a minimal image without the libz that the program opens with dlopen",
        started(distroless("bookworm"), "/app", Program(TARGET, source=NOTE)),
        (
            Find(
                "loader/announced-library-missing",
                "/app",
                severity="warning",
                certainty="latent",
                items=("libz.so.1",),
                words=("zlib",),
            ),
        ),
        started(distroless("bookworm", "zlib1g"), "/app", Program(TARGET, source=NOTE)),
    ),
    Case(
        "E20",
        "pg_dump on distroless/static: none of the things are there",
        pg_dump(),
        (
            Find(
                "start/script-interpreter-missing",
                "/usr/bin/pg_dump",
                "exec /usr/bin/pg_dump: no such file or directory",
                words=("/usr/bin/perl",),
            ),
            Find(
                "loader/interpreter-missing",
                "/bin/sh",
                "exec /bin/sh: no such file or directory",
                severity="warning",
                tier="command",
                items=("/lib64/ld-linux-x86-64.so.2",),
            ),
        ),
        pg_dump("with the loader and perl"),
        run=Run(("/usr/bin/pg_dump",), code=2),
    ),
    Case(
        "E21",
        "COPY libdl.so.2 of another release beside the image's own libc",
        libdl("bullseye"),
        (
            Find(  # it starts: only what libdl binds when it is called is gone from libc
                "abi/symbol-missing-when-called",
                f"{LIBRARIES}/libdl.so.2",
                severity="warning",
                certainty="latent",
                items=("_dl_vsym@GLIBC_PRIVATE",),
                requesters=("/app",),
            ),
        ),
        libdl("bookworm"),
    ),
    Case(
        "E23",
        "the openssl of another release: version `OPENSSL_1.0.2' not found",
        ssl_cli(OLD_SSL),
        (
            Find(
                "abi/version-missing",
                "/usr/bin/openssl",
                "/usr/bin/openssl: /lib/x86_64-linux-gnu/libssl.so.1.0.0: version `OPENSSL_1.0.2' not found "
                "(required by /usr/bin/openssl)",
                items=("OPENSSL_1.0.2 (libssl.so.1.0.0)",),
                fix=("Build",),
            ),
        ),
        ssl_cli(NEW_SSL),
        run=Run(("/usr/bin/openssl",)),
    ),
)
