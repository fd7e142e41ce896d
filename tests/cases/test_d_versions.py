"""Family D: a program that was built against newer libraries than the image has (glibc's check)."""

from tests.cases.bases import LIBRARIES, debian, distroless, red_hat
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image
from tests.cases.packages import file_of
from tests.cases.parts import GoProgram, Library, LinkTimeLibc, Part, Program, gnu

GLIBC = "/lib/x86_64-linux-gnu/libc.so.6"
COPY = "COPY --from=build /out/app {}"
CXX = ("GLIBCXX_3.4", "GLIBCXX_3.4.19", "CXXABI_1.3", "GLIBCXX_3.4.20", "GLIBCXX_3.4.21", "CXXABI_1.3.9")
MULTIARCH = "usr/lib/x86_64-linux-gnu"


def too_new(path: str, library: str, version: str) -> str:
    return f"{path}: {library}: version `{version}' not found (required by {path})"


def copied(base: Image, path: str, part: Part) -> Image:
    return base.layer(COPY.format(path), {path: part})


def needs_newer(
    path: str,
    *versions: str,
    fix: tuple[str, ...] = (),
    glibc: str = GLIBC,
    severity: str = "error",
    tier: str = "startup",
) -> Find:
    return Find(
        "abi/version-missing",
        path,
        too_new(path, glibc, versions[0]),
        severity=severity,
        tier=tier,
        items=tuple(f"{version} (libc.so.6)" for version in versions),
        fix=fix,
        blame=(("added", COPY.format(path)),),
    )


def standard_library(*nodes: str) -> Library:
    return Library("libstdc++.so.6", gnu("2.17"), {node: (f"in_{node.replace('.', '_')}",) for node in nodes})


def symbols(*nodes: str) -> tuple[str, ...]:
    return tuple(f"in_{node.replace('.', '_')}" for node in nodes)


NODE = Program(gnu("2.28"), (standard_library(*CXX),), ("getrandom", "glob64", "fcntl64", *symbols(*CXX)))
BOOTSTRAP = "/var/task/bootstrap"
LAMBDA = Program(gnu("2.28"), uses=("fcntl64",))
CXX_REAL = {
    "GLIBCXX_3.4": ("_ZNSt8ios_base4InitC1Ev",),
    "GLIBCXX_3.4.30": ("_ZSt21__glibcxx_assert_failPKciS0_S0_",),
}
CXX_LIBRARY = Library("libstdc++.so.6", gnu("2.17"), CXX_REAL)
CXX_30 = Program(gnu("2.31"), (CXX_LIBRARY,), tuple(name for names in CXX_REAL.values() for name in names))
CXX_OLD = Program(gnu("2.31"), (CXX_LIBRARY,), CXX_REAL["GLIBCXX_3.4"])
SSL = Library("libssl.so.3", gnu("2.17"), {"OPENSSL_3.0.0": ("SSL_new",)})
HFS = Program(gnu("2.38"), (SSL,), ("SSL_new", "strlcpy"))
NSS = {"NSS_3.2": ("NSS_Init",), "NSS_3.21": ("PK11_a",), "NSS_3.22": ("PK11_SignWithMechanism",)}
NEW_NSS = Library("libnss3.so", gnu("2.17"), NSS)
OLD_NSS = Library(
    "libnss3.so", gnu("2.17"), {node: names for node, names in NSS.items() if node != "NSS_3.22"}
)
CHROME = Program(gnu("2.17"), (NEW_NSS,), ("NSS_Init", "PK11_SignWithMechanism"))
OLD_CURL = Library("libcurl.so.4", gnu("2.17"), {"": ("curl_easy_init",)})
NEW_CURL = Library("libcurl.so.4", gnu("2.17"), {"": ("curl_easy_init", "curl_global_sslset")})
REMOTE = "/opt/dugite/libexec/git-core/git-remote-https"


def node_image(library: Library, libc: Part | None) -> Image:
    base = red_hat("centos", "7", libc=libc).layer(
        "RUN yum install libstdc++", {"/usr/lib64/libstdc++.so.6": library}
    )
    return copied(base, "/__e/node20/bin/node", NODE).starts("/__e/node20/bin/node")


def lambda_cxx(part: Part) -> Image:
    base = red_hat("amzn", "2023").layer(
        "RUN dnf install libstdc++",
        {
            "/usr/lib64/libstdc++.so.6": file_of("bullseye", "libstdc++6", f"{MULTIARCH}/libstdc++.so.6"),
            "/usr/lib64/libgcc_s.so.1": file_of("bullseye", "libgcc-s1", f"{MULTIARCH}/libgcc_s.so.1"),
            "/usr/lib64/libm.so.6": file_of("bullseye", "libc6", f"{MULTIARCH}/libm.so.6"),
        },
    )
    return copied(base, BOOTSTRAP, part).starts(BOOTSTRAP)


def chrome(library: Library) -> Image:
    base = debian("bullseye").layer("RUN apt-get install -y libnss3", {f"{LIBRARIES}/libnss3.so": library})
    return copied(base, "/app/chrome", CHROME).starts("/app/chrome")


def dugite(library: Library) -> Image:
    base = debian("bullseye").layer("RUN apt-get install -y libcurl4", {f"{LIBRARIES}/libcurl.so.4": library})
    program = Program(gnu("2.17"), (NEW_CURL,), ("curl_easy_init", "curl_global_sslset"))
    return base.layer("RUN npm ci", {REMOTE: program}).starts("sh")


CASES = (
    Case(
        "D01",
        "a Go program with cgo on distroless/base-debian11: GLIBC_2.32 and GLIBC_2.34 not found",
        copied(distroless("bullseye"), "/app", GoProgram(gnu("2.36"))).starts("/app"),
        (needs_newer("/app", "GLIBC_2.32", "GLIBC_2.34", fix=("CGO_ENABLED=0", "glibc 2.34", "Debian 12")),),
        copied(distroless("bookworm"), "/app", GoProgram(gnu("2.36"))).starts("/app"),
        run=Run(("/app",)),
    ),
    Case(
        "D03",
        "miniflux distroless: GLIBC_2.34 not found",
        copied(distroless("bullseye"), "/usr/bin/miniflux", Program(gnu("2.36"))).starts("/usr/bin/miniflux"),
        (needs_newer("/usr/bin/miniflux", "GLIBC_2.34", fix=("glibc 2.34",)),),
        copied(distroless("bullseye"), "/usr/bin/miniflux", Program(gnu("2.31"))).starts("/usr/bin/miniflux"),
        run=Run(("/usr/bin/miniflux",)),
    ),
    Case(
        "D04",
        "rust:1.90 is trixie now: router: GLIBC_2.39 not found on bookworm",
        copied(debian("bookworm"), "/dist/router", Program(gnu("2.41"), uses=("pidfd_spawnp",))).starts(
            "/dist/router"
        ),
        (needs_newer("/dist/router", "GLIBC_2.39", fix=("glibc 2.39", "Debian 13", "bookworm")),),
        copied(debian("bookworm"), "/dist/router", Program(gnu("2.36"))).starts("/dist/router"),
        run=Run(("/dist/router",)),
    ),
    Case(
        "D05",
        "trixie builder on bookworm: GLIBC_2.38 not found, and libssl3 has another name there",
        copied(debian("bookworm"), "/app/hfs", HFS).starts("/app/hfs"),
        (
            needs_newer("/app/hfs", "GLIBC_2.38", fix=("glibc 2.38", "Debian 13")),
            Find(
                "loader/library-missing",
                "/app/hfs",
                "/app/hfs: error while loading shared libraries: libssl.so.3: "
                "cannot open shared object file: No such file or directory",
                items=("libssl.so.3",),
                fix=("apt-get install -y --no-install-recommends libssl3",),
            ),
        ),
        copied(debian("trixie", "libssl3t64", "libzstd1"), "/app/hfs", HFS).starts("/app/hfs"),
        run=Run(
            ("/app/hfs",),
            "/app/hfs: error while loading shared libraries: libssl.so.3: "
            "cannot open shared object file: No such file or directory",
        ),
    ),
    Case(
        "D07",
        "node20 in centos:7: GLIBC_2.28, GLIBCXX_3.4.21, CXXABI_1.3.9 not found",
        node_image(standard_library(*CXX[:3]), LinkTimeLibc("2.17")),
        (
            Find(
                "abi/version-missing",
                "/__e/node20/bin/node",
                too_new("/__e/node20/bin/node", "/lib64/libc.so.6", "GLIBC_2.25"),
                items=(
                    *("GLIBC_2.25 (libc.so.6)", "GLIBC_2.27 (libc.so.6)", "GLIBC_2.28 (libc.so.6)"),
                    *("GLIBCXX_3.4.20 (libstdc++.so.6)", "GLIBCXX_3.4.21 (libstdc++.so.6)"),
                    "CXXABI_1.3.9 (libstdc++.so.6)",
                ),
                fix=("glibc 2.28", "RHEL and UBI 8"),
            ),
        ),
        node_image(standard_library(*CXX), None),
        run=Run(("/__e/node20/bin/node",)),
    ),
    Case(
        "D08",
        "nrdiag in php:8.2-apache-bullseye: GLIBC_2.32 not found",
        copied(debian("bullseye"), "/usr/local/bin/nrdiag", GoProgram(gnu("2.35"))).starts("sh"),
        (
            needs_newer(
                "/usr/local/bin/nrdiag",
                "GLIBC_2.32",
                "GLIBC_2.34",
                fix=("CGO_ENABLED=0",),
                severity="warning",
                tier="command",
            ),
        ),
        copied(debian("bullseye"), "/usr/local/bin/nrdiag", GoProgram()).starts("sh"),
        run=Run(("/usr/local/bin/nrdiag",)),
    ),
    Case(
        "D09",
        "vault-env that should have been static: version GLIBC_2.32 not found",
        copied(debian("bullseye"), "/tool/vault-env", GoProgram(gnu("2.36"))).starts("/tool/vault-env"),
        (needs_newer("/tool/vault-env", "GLIBC_2.32", "GLIBC_2.34", fix=("CGO_ENABLED=0",)),),
        copied(debian("bullseye"), "/tool/vault-env", GoProgram()).starts("/tool/vault-env"),
        run=Run(("/tool/vault-env",)),
    ),
    Case(
        "D11",
        "/var/task/bootstrap: /lib64/libc.so.6: version `GLIBC_2.28' not found",
        copied(red_hat("amzn", "2", libc=LinkTimeLibc("2.26")), BOOTSTRAP, LAMBDA).starts(BOOTSTRAP),
        (
            needs_newer(
                BOOTSTRAP, "GLIBC_2.28", fix=("glibc 2.28", "Amazon Linux 2023"), glibc="/lib64/libc.so.6"
            ),
        ),
        copied(red_hat("amzn", "2023"), BOOTSTRAP, LAMBDA).starts(BOOTSTRAP),
        run=Run((BOOTSTRAP,)),
    ),
    Case(
        "D12",
        "the build image's libstdc++ was updated: GLIBCXX_3.4.30 not found",
        lambda_cxx(CXX_30),
        (
            Find(
                "abi/version-missing",
                BOOTSTRAP,
                too_new(BOOTSTRAP, "/lib64/libstdc++.so.6", "GLIBCXX_3.4.30"),
                items=("GLIBCXX_3.4.30 (libstdc++.so.6)",),
                fix=("Fedora 36",),
            ),
        ),
        lambda_cxx(CXX_OLD),
        run=Run((BOOTSTRAP,)),
    ),
    Case(
        "D15",
        "version `OPENSSL_3.2.0' not found (required by libssl.so.3)",
        debian("trixie", "openssl", "libssl3t64", "libzstd1")
        .layer(
            "COPY --from=bookworm libcrypto.so.3 /usr/lib/x86_64-linux-gnu/",
            {f"{LIBRARIES}/libcrypto.so.3": file_of("bookworm", "libssl3", f"{MULTIARCH}/libcrypto.so.3")},
        )
        .starts("openssl", "version"),
        (
            Find(
                "abi/version-missing",
                "/usr/bin/openssl",
                "/usr/bin/openssl: /lib/x86_64-linux-gnu/libcrypto.so.3: version `OPENSSL_3.2.0' not found "
                "(required by /usr/bin/openssl)",
                items=("OPENSSL_3.2.0 (libcrypto.so.3)", "OPENSSL_3.3.0 (libcrypto.so.3)"),
                requesters=(f"{LIBRARIES}/libssl.so.3",),
                blame=(("replaced", "COPY --from=bookworm libcrypto.so.3 /usr/lib/x86_64-linux-gnu/"),),
            ),
        ),
        debian("trixie", "openssl", "libssl3t64", "libzstd1").starts("openssl", "version"),
        run=Run(("/usr/bin/openssl", "version")),
    ),
    Case(
        "D16",
        "chrome: libnss3.so: version `NSS_3.22' not found",
        chrome(OLD_NSS),
        (
            Find(
                "abi/version-missing",
                "/app/chrome",
                too_new("/app/chrome", "/lib/x86_64-linux-gnu/libnss3.so", "NSS_3.22"),
                items=("NSS_3.22 (libnss3.so)",),
                words=("libnss3.so",),
                blame=(("added", "RUN apt-get install -y libnss3"),),
            ),
        ),
        chrome(NEW_NSS),
        run=Run(("/app/chrome",)),
    ),
    Case(
        "D19",
        "git-remote-https: undefined symbol: curl_global_sslset",
        dugite(OLD_CURL),
        (
            Find(
                "abi/symbol-missing",
                REMOTE,
                f"{REMOTE}: symbol lookup error: {REMOTE}: undefined symbol: curl_global_sslset",
                severity="warning",
                tier="command",
                items=("curl_global_sslset",),
                words=("libcurl.so.4",),
                blame=(("added", "RUN apt-get install -y libcurl4"),),
            ),
        ),
        dugite(NEW_CURL),
        run=Run((REMOTE,)),
    ),
    Case(
        "D20",
        "a Rust tool beside the entrypoint needs the builder's GLIBC_2.38",
        copied(debian("bookworm"), "/usr/local/bin/hermes", Program(gnu("2.41"), uses=("strlcpy",))).starts(
            "sh"
        ),
        (
            needs_newer(
                "/usr/local/bin/hermes", "GLIBC_2.38", severity="warning", tier="command", fix=("2.38",)
            ),
        ),
        copied(debian("trixie"), "/usr/local/bin/hermes", Program(gnu("2.41"), uses=("strlcpy",))).starts(
            "sh"
        ),
        run=Run(("/usr/local/bin/hermes",)),
    ),
    Case(
        "D11",
        "what if: this bootstrap on provided.al2, before it is deployed",
        red_hat("amzn", "2", libc=LinkTimeLibc("2.26")).starts(BOOTSTRAP),
        (
            Find(
                "abi/version-missing",
                BOOTSTRAP,
                too_new(BOOTSTRAP, "/lib64/libc.so.6", "GLIBC_2.28"),
                items=("GLIBC_2.28 (libc.so.6)",),
                fix=("Amazon Linux 2023",),
            ),
        ),
        red_hat("amzn", "2023").starts(BOOTSTRAP),
        adds=((LAMBDA, BOOTSTRAP),),
    ),
    Case(
        "D07",
        "what if: the runner puts its node20 into centos:7",
        red_hat("centos", "7", libc=LinkTimeLibc("2.17"))
        .layer("RUN yum install libstdc++", {"/usr/lib64/libstdc++.so.6": standard_library(*CXX[:3])})
        .starts("sh"),
        (
            Find(
                "abi/version-missing",
                "/__e/node20/bin/node",
                too_new("/__e/node20/bin/node", "/lib64/libc.so.6", "GLIBC_2.25"),
                items=(
                    "GLIBC_2.28 (libc.so.6)",
                    "GLIBCXX_3.4.21 (libstdc++.so.6)",
                    "CXXABI_1.3.9 (libstdc++.so.6)",
                ),
            ),
        ),
        red_hat("rhel", "8")
        .layer("RUN dnf install libstdc++", {"/usr/lib64/libstdc++.so.6": standard_library(*CXX)})
        .starts("sh"),
        options=("--entrypoint", "/__e/node20/bin/node"),
        adds=((NODE, "/__e/node20/bin/node"),),
    ),
)
