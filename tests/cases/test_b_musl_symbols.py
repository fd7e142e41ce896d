"""Family B: symbols that musl does not have, or that a partial upgrade of Alpine left behind."""

from tests.cases.bases import alpine, apk
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image, Symlink, script
from tests.cases.parts import GCC, GoProgram, Library, Program, gnu, musl

COMPAT = {"/lib64/ld-linux-x86-64.so.2": Symlink("/lib/libc.musl-x86_64.so.1")}
DATABASE = "/lib/apk/db/installed"
ALWAYS = ("SSL_new", "SSL_ctrl", "SSL_free")
SSL_CALLS = (
    *ALWAYS,
    *(f"SSL_CTX_{name}" for name in ["new", "free", "ctrl", "set_options", "set_verify", "set_ex_data"]),
)
SSL_CALLS += tuple(
    f"SSL_get_{name}" for name in ["error", "version", "fd", "rbio", "wbio", "verify_result", "session"]
)
SSL_CALLS += tuple(f"SSL_set_{name}" for name in ["fd", "bio", "connect_state", "alpn_protos", "session"])
MIXED = ("Run apk upgrade before apk add",)


def with_compat(version: str, path: str, *uses: str) -> Image:
    image = alpine(version).layer("RUN apk add --no-cache libc6-compat", COMPAT)
    return image.layer(f"COPY {path} {path}", {path: Program(gnu("2.38"), uses=uses)}).starts(path)


def on_musl(version: str, path: str, part: Program | GoProgram) -> Image:
    return alpine(version).layer(f"COPY {path} {path}", {path: part}).starts(path)


def no_musl_symbols(
    thread: str, name: str, version: str, path: str, *uses: str, words: tuple[str, ...] = ()
) -> Case:
    find = Find(
        "loader/glibc-program-on-musl",
        path,
        f"Error relocating {path}: {uses[0]}: symbol not found",
        items=uses,
        words=words,
        fix=("Build for musl", "may still crash"),
    )
    return Case(
        thread,
        name,
        with_compat(version, path, *uses),
        (find,),
        on_musl(version, path, Program(musl())),
        run=Run((path,)),
    )


def ssl(*symbols: str) -> Library:
    return Library("libssl.so.3", musl(), {"": symbols})


def curl(base: tuple[str, ...], built_against: tuple[str, ...], versions: tuple[str, str]) -> Image:
    """curl and libcurl of one branch on a libssl of another."""
    libcurl = Library(
        "libcurl.so.4", musl(), {"": ("curl_easy_init",)}, (ssl(*built_against),), built_against
    )
    old = {"libssl3": (versions[0], "openssl", "usr/lib/libssl.so.3")}
    new = {
        **old,
        "libcurl": (versions[1], "curl", "usr/lib/libcurl.so.4"),
        "curl": (versions[1], "curl", "usr/bin/curl"),
    }
    image = alpine("3.20_alpha20240315").layer(
        "ADD alpine-minirootfs / # packages", {"/usr/lib/libssl.so.3": ssl(*base), DATABASE: apk(old)}
    )
    return image.layer(
        "RUN apk add curl",
        {
            "/usr/lib/libcurl.so.4": libcurl,
            "/usr/bin/curl": Program(musl(), (libcurl,), ("curl_easy_init",)),
            DATABASE: apk(new),
        },
    ).starts("curl", "--version")


def upgraded(
    path: str, symbol: str, library: str, others: tuple[str, ...], name: str, origin: str
) -> tuple[Image, Image]:
    """A program of a newer branch on the old library, and on the new one."""
    old, new = (Library(library, musl(), {"": symbols}) for symbols in (others, (*others, symbol)))
    program = Program(musl(), (new,), (*others, symbol))

    def image(there: Library, version: str) -> Image:
        packages = {origin: (version, origin, f"usr/lib/{library}")}
        base = alpine("edge").layer(
            "ADD alpine-minirootfs / # packages", {f"/usr/lib/{library}": there, DATABASE: apk(packages)}
        )
        packages |= {name: ("2.0-r0", name, path)}
        return base.layer(f"RUN apk add {name}", {path: program, DATABASE: apk(packages)}).starts(path)

    return image(old, "1.0-r0"), image(new, "1.1-r0")


NODE = upgraded(
    "/usr/bin/node", "EVP_MD_CTX_get_size_ex", "libcrypto.so.3", ("EVP_MD_CTX_new",), "nodejs", "libcrypto3"
)
OPENSSL = upgraded(
    "/usr/bin/openssl",
    "SRP_VBASE_get1_by_user",
    "libcrypto.so.1.0.0",
    ("SRP_VBASE_new",),
    "openssl",
    "libcrypto1.0",
)
NPM = {"/usr/bin/npm": script("#!/usr/bin/env node\nrequire('npm')\n")}

IFUNC = Program(
    GCC,
    source="static int one(void) { return 0; }\nstatic void *choose(void) { return one; }\n"
    'int chosen(void) __attribute__((ifunc("choose")));\n'
    "volatile int sink;\n__attribute__((constructor)) static void call(void) { sink = chosen(); }\n",
)


TLS_SOURCE = '__thread int x __attribute__((tls_model("{}")));\nint *get_x(void) {{ return &x; }}\n'
TLS_MODULE = "/usr/lib/python3.12/site-packages/x.so"


def tls(model: str) -> Image:
    module = Library(
        "",
        musl(),
        source=TLS_SOURCE.format(model),
    )
    files = {"/usr/bin/python3.12": Program(musl()), TLS_MODULE: module}
    return alpine("3.20").layer("RUN pip install x", files).starts("python3.12")


CASES = (
    no_musl_symbols(
        "B01",
        "Error relocating rexray: backtrace_symbols: symbol not found",
        "3.5",
        "/usr/bin/rexray",
        "backtrace_symbols",
        "pthread_attr_setaffinity_np",
        "__strtok_r",
    ),
    no_musl_symbols(
        "B02",
        "Error relocating sockudo: __isoc23_sscanf: symbol not found",
        "3.22.1",
        "/usr/local/bin/sockudo",
        "__isoc23_sscanf",
        "__isoc23_strtol",
        "__res_init",
        words=("2.38",),
    ),
    no_musl_symbols(
        "B03",
        "Error relocating dnote-server: __vfprintf_chk",
        "3.18",
        "/usr/bin/dnote-server",
        "__vfprintf_chk",
    ),
    Case(
        "B04",
        "Error relocating /usr/lib/libcurl.so.4: SSL_get0_group_name: symbol not found",
        curl(ALWAYS, (*ALWAYS, "SSL_get0_group_name"), ("3.1.4-r5", "8.6.0-r1")),
        (
            Find(
                "abi/symbol-missing",
                "/usr/lib/libcurl.so.4",
                "Error relocating /usr/lib/libcurl.so.4: SSL_get0_group_name: symbol not found",
                items=("SSL_get0_group_name",),
                requesters=("/usr/bin/curl",),
                words=("partial upgrade",),
                fix=("apk add --upgrade libssl3", *MIXED),
                owner="libcurl 8.6.0-r1 (apk); /usr/lib/libssl.so.3 is of libssl3 3.1.4-r5 (apk)",
                blame=(("added", "RUN apk add curl"), ("added", "ADD alpine-minirootfs / # packages")),
            ),
        ),
        curl((*ALWAYS, "SSL_get0_group_name"), (*ALWAYS, "SSL_get0_group_name"), ("3.2.1-r1", "8.6.0-r1")),
        run=Run(("/usr/bin/curl", "--version")),
    ),
    Case(
        "B06",
        "Error relocating /usr/bin/node: EVP_MD_CTX_get_size_ex: symbol not found",
        NODE[0].layer("RUN apk add npm", NPM),
        (
            Find(
                "abi/symbol-missing",
                "/usr/bin/node",
                "Error relocating /usr/bin/node: EVP_MD_CTX_get_size_ex: symbol not found",
                items=("EVP_MD_CTX_get_size_ex",),
                words=("libcrypto.so.3",),
                fix=("libcrypto3", *MIXED),
            ),
        ),
        NODE[1].layer("RUN apk add npm", NPM),
        run=Run(("/usr/bin/npm",)),
    ),
    Case(
        "B07",
        "Error relocating /usr/bin/openssl: SRP_VBASE_get1_by_user: symbol not found",
        OPENSSL[0],
        (
            Find(
                "abi/symbol-missing",
                "/usr/bin/openssl",
                "Error relocating /usr/bin/openssl: SRP_VBASE_get1_by_user: symbol not found",
                items=("SRP_VBASE_get1_by_user",),
                fix=("do not mix edge with a release",),
            ),
        ),
        OPENSSL[1],
        run=Run(("/usr/bin/openssl",)),
    ),
    Case(
        "B08",
        "twenty times Error relocating /usr/lib/libcurl.so.4, one finding",
        curl(("OPENSSL_init_ssl",), SSL_CALLS, ("1.1.1-r0", "8.11.1-r0")),
        (
            Find(
                "abi/symbol-missing",
                "/usr/lib/libcurl.so.4",
                "Error relocating /usr/lib/libcurl.so.4: SSL_new: symbol not found",
                items=SSL_CALLS,
                requesters=("/usr/bin/curl",),
                fix=MIXED,
            ),
        ),
        curl(SSL_CALLS, SSL_CALLS, ("3.3.2-r4", "8.11.1-r0")),
        run=Run(("/usr/bin/curl",)),
    ),
    Case(
        "B13",
        "ld-linux-x86-64.so.2: No such file, and after apk add gcompat SIGSEGV",
        alpine("3.7")
        .layer("COPY app /app", {"/app": Program(gnu("2.27"), uses=("__printf_chk",))})
        .starts("/app"),
        (
            Find(
                "loader/glibc-program-on-musl",
                "/app",
                "exec /app: no such file or directory",
                fix=("gcompat", "may still crash"),
            ),
        ),
        on_musl("3.7", "/app", Program(musl())),
        run=Run(("/app",)),
    ),
    Case(
        "B16",
        "unsupported relocation type 37",
        alpine("3.16").layer("RUN ln -s", COMPAT).layer("COPY app /app", {"/app": IFUNC}).starts("/app"),
        (
            Find(
                "abi/relocation-unsupported",
                "/app",
                "Error relocating /app: unsupported relocation type 37",
            ),
        ),
        alpine("3.16")
        .layer("RUN ln -s", COMPAT)
        .layer("COPY app /app", {"/app": Program(gnu("2.17"))})
        .starts("/app"),
        run=Run(("/app",)),
    ),
    Case(
        "B17",
        "initial-exec TLS resolves to dynamic definition",
        tls("initial-exec"),
        (
            Find(
                "abi/static-tls-plugin",
                TLS_MODULE,
                f"Error relocating {TLS_MODULE}: x: "
                f"initial-exec TLS resolves to dynamic definition in {TLS_MODULE}",
                severity="warning",
                tier="plugin",
                certainty="conditional",
            ),
        ),
        tls("global-dynamic"),
    ),
)
