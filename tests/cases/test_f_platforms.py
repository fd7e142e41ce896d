"""Family F: another processor, CPU level, kernel, or a loader with other rules than the builder's."""

from dataclasses import replace

from tests.cases.bases import alpine, debian, red_hat, scratch
from tests.cases.case import Case, Find, Run
from tests.cases.checks import *  # noqa: F403 - the tests of every family
from tests.cases.images import Image, Layer
from tests.cases.parts import GCC, GoProgram, Library, Program, gnu

PYTHON = "/usr/bin/python3.12"
TRANSLATE = "/usr/lib/python3.12/site-packages/ctranslate2/_ext.cpython-312-x86_64-linux-gnu.so"
COPY = "COPY bin/ /usr/local/bin/"
DETECTOR = "/node-problem-detector"


def detector(platform: str, architecture: str) -> Image:
    image = scratch(platform).layer(
        "COPY node-problem-detector /", {DETECTOR: GoProgram(architecture=architecture)}
    )
    return image.starts(DETECTOR)


def foreign(path: str, architecture: str, platform: str, **options: object) -> Find:
    names = {"amd64": "x86-64", "arm64": "64-bit ARM"}
    return Find(
        "platform/wrong-architecture",
        path,
        f"exec {path}: exec format error",
        words=(names[architecture], platform),
        fix=("--platform", "TARGETARCH"),
        **options,  # type: ignore[arg-type]
    )


def calico(architecture: str) -> Image:
    names = ("calico", "calico-ipam", "install")
    files = {f"/opt/cni/bin/{name}": GoProgram(architecture=architecture) for name in names}
    return (
        alpine("3.20", "1.2.3", "arm64")
        .layer("COPY bin/amd64/ /opt/cni/bin/", files)
        .starts("/opt/cni/bin/install")
    )


def sensor(platform: str, layer: Layer) -> Image:
    image = scratch(platform)
    return replace(image, layers=(*image.layers, layer)).starts("/sensor")


SAME = Layer("COPY sensor /sensor", {"/sensor": GoProgram(architecture="amd64")})
ARM = Layer("COPY sensor /sensor", {"/sensor": GoProgram(architecture="arm64")})


def sandbox(architecture: str) -> Image:
    files = {"/usr/local/bin/sandbox": GoProgram(), "/usr/bin/docker": GoProgram(architecture=architecture)}
    return (
        debian("bookworm")
        .layer("COPY --from=docker:cli /usr/local/bin/docker /usr/bin/", files)
        .starts("sandbox")
    )


def leveled(*flags: str) -> Image:
    return debian("bookworm").layer(COPY, {"/usr/local/bin/app": Program(GCC, flags=flags)}).starts("app")


LEVEL = Find(
    "abi/cpu-level-too-high",
    "/usr/local/bin/app",
    "/usr/local/bin/app: CPU ISA level is lower than required",
    words=("x86-64-v2",),
    fix=("-march=x86-64",),
)


def translate(suite: str, *flags: str) -> Image:
    module = Library("", GCC, {"": ("PyInit__ext",)}, flags=flags)
    base = debian(suite).layer("COPY --from=python /usr", {PYTHON: Program(gnu("2.31"))})
    return base.layer("RUN pip install ctranslate2", {TRANSLATE: module}).starts(PYTHON)


def ubi(*, newer_cpu: bool = False) -> Image:
    base = red_hat("rhel", "9", "bookworm", newer_cpu=newer_cpu)
    return base.layer(COPY, {"/usr/local/bin/app": Program(gnu("2.34"))}).starts("app")


CASES = (
    Case(
        "F01",
        "the arm64 image of v0.8.14 has the program for x86-64: exec format error",
        (detector("linux/amd64", "amd64"), detector("linux/arm64", "amd64")),
        (foreign(DETECTOR, "amd64", "linux/arm64"),),
        (detector("linux/amd64", "amd64"), detector("linux/arm64", "arm64")),
        notes=(("platform/same-binary-in-two-platforms", DETECTOR),),
    ),
    Case(
        "F02",
        "all binaries of an arm64 image are for amd64",
        calico("amd64"),
        (
            foreign(
                "/opt/cni/bin/install",
                "amd64",
                "linux/arm64",
                requesters=("/opt/cni/bin/calico", "/opt/cni/bin/calico-ipam"),
                blame=(("added", "COPY bin/amd64/ /opt/cni/bin/"),),
            ),
        ),
        calico("arm64"),
    ),
    Case(
        "F04",
        "two platforms share the layer with the program",
        (sensor("linux/amd64", SAME), sensor("linux/arm64", SAME)),
        (
            foreign("/sensor", "amd64", "linux/arm64"),
            Find("platform/same-binary-in-two-platforms", "/sensor", severity="note", words=("linux/amd64",)),
        ),
        (sensor("linux/amd64", SAME), sensor("linux/arm64", ARM)),
    ),
    Case(
        "F06",
        "the docker command beside the entrypoint is for another processor",
        sandbox("arm64"),
        (foreign("/usr/bin/docker", "arm64", "linux/amd64", severity="warning", tier="command"),),
        sandbox("amd64"),
        run=Run(("/usr/bin/docker",), "exec /usr/bin/docker: exec format error"),
    ),
    Case(
        "F07",
        "CI is green under binfmt and qemu, the server says exec format error",
        detector("linux/amd64", "arm64"),
        (foreign(DETECTOR, "arm64", "linux/amd64"),),
        detector("linux/amd64", "amd64"),
        run=Run((DETECTOR,)),
    ),
    Case(
        "F08",
        "built for x86-64-v2: CPU ISA level is lower than required, on some machines",
        leveled("-Wl,-z,x86-64-v2"),
        (replace(LEVEL, severity="warning", certainty="conditional", words=("on a CPU below x86-64-v2",)),),
        leveled(),
    ),
    Case(
        "F08",
        "built for x86-64-v2, and the machines are said to be x86-64",
        leveled("-Wl,-z,x86-64-v2"),
        (LEVEL,),
        leveled(),
        options=("--cpu", "x86-64"),
    ),
    Case(
        "F08",
        "built for x86-64-v2, and the machines are said to be x86-64-v3: nothing",
        sound=leveled("-Wl,-z,x86-64-v2"),
        options=("--cpu", "x86-64-v3"),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "F08",
        "Fatal glibc error: CPU does not support x86-64-v2",
        ubi(newer_cpu=True),
        (
            Find(
                "abi/cpu-level-too-high",
                "/usr/local/bin/app",
                "Fatal glibc error: CPU does not support x86-64-v2",
                words=("/lib64/ld-linux-x86-64.so.2",),
                fix=("a base that is built for it",),
            ),
        ),
        ubi(),
        options=("--cpu", "x86-64"),
    ),
    Case(
        "F08",
        "a base for x86-64-v2, and nobody said that the machines are older: nothing",
        sound=ubi(newer_cpu=True),
    ),
    Case(
        "F09",
        "FATAL: kernel too old",
        debian("bullseye").layer(COPY, {"/usr/local/bin/app": Program(gnu("2.31"))}).starts("app"),
        (
            Find(
                "abi/kernel-too-old",
                "/usr/local/bin/app",
                "FATAL: kernel too old",
                words=("--kernel",),
            ),
        ),
        debian("trixie").layer(COPY, {"/usr/local/bin/app": Program(gnu("2.31"))}).starts("app"),
        options=("--kernel", "2.6.32"),
        notes=(("abi/kernel-too-old", "/usr/sbin/ldconfig"),),  # it is static, of any release
        sound_notes=(("abi/kernel-too-old", "/usr/sbin/ldconfig"),),
    ),
    Case(
        "F09",
        "the kernel is new enough: nothing",
        sound=debian("bullseye").layer(COPY, {"/usr/local/bin/app": Program(gnu("2.31"))}).starts("app"),
        options=("--kernel", "3.10"),
        run=Run(("/usr/local/bin/app",)),
    ),
    Case(
        "F11",
        "cannot enable executable stack as shared object requires: Invalid argument",
        translate("trixie", "-Wl,-z,execstack"),
        (
            Find(
                "abi/executable-stack-plugin",
                TRANSLATE,
                f"{TRANSLATE}: cannot enable executable stack as shared object requires: Invalid argument",
                severity="warning",
                tier="plugin",
                certainty="conditional",
                words=("2.41",),
                fix=("noexecstack",),
            ),
        ),
        translate("bookworm", "-Wl,-z,execstack"),
    ),
)
