"""Reports and link maps as values, as the rooms before would hand them on."""

from dataclasses import replace

from imagescan.findings import (
    Blame,
    Certainty,
    Counts,
    Finding,
    ImageSummary,
    Incomplete,
    LayerSummary,
    Remark,
    RemarkKind,
    ScanReport,
    Severity,
    Tier,
    TrailLine,
    WaivedFinding,
)
from imagescan.links import (
    ClosureObject,
    LinkReport,
    MissingLink,
    MissingSymbolLink,
    MissingVersionLink,
    NeededLink,
    ObjectLinks,
)

IMAGE = ImageSummary(
    reference="registry.example.com/team/shop:1.4",
    digest="sha256:" + "4f" * 32,
    config_digest="sha256:" + "c0" * 32,
    platform="linux/amd64",
    distribution="Debian GNU/Linux 12 (bookworm)",
    libc=("glibc 2.36",),
    layers=(
        LayerSummary(0, "sha256:" + "a0" * 32, "sha256:" + "b0" * 32, 29_124_181, "ADD rootfs.tar /"),
        LayerSummary(1, "sha256:" + "a1" * 32, "sha256:" + "b1" * 32, 41_922, "COPY shop /usr/local/bin/"),
    ),
)
COUNTS = Counts(
    entries=8_431,
    elf_files=412,
    programs=233,
    scripts=57,
    needed=1_204,
    objects=((Tier.STARTUP, 3), (Tier.COMMAND, 230), (Tier.PLUGIN, 179), (Tier.DORMANT, 0)),
)

LIBRARY_MISSING = Finding(
    rule="loader/library-missing",
    title="a needed library is not in the image",
    severity=Severity.ERROR,
    tier=Tier.STARTUP,
    certainty=Certainty.CERTAIN,
    object="/usr/local/bin/shop",
    message="libpq.so.5 is needed and is nowhere in the image",
    runtime_message="/usr/local/bin/shop: error while loading shared libraries: libpq.so.5: "
    "cannot open shared object file: No such file or directory",
    items=("libpq.so.5",),
    requesters=("/usr/local/bin/shop", "/usr/local/lib/shop/report.so", "/usr/local/lib/shop/stock.so"),
    trail=(
        TrailLine("runpath", "/usr/local/lib/shop/libpq.so.5", "absent"),
        TrailLine("cache", "/etc/ld.so.cache", "absent", "no entry of that name"),
        TrailLine("default", "/lib/x86_64-linux-gnu/libpq.so.5", "absent"),
        TrailLine("default", "/usr/lib/x86_64-linux-gnu/libpq.so.5", "absent"),
    ),
    blame=(
        Blame(
            4,
            "sha256:" + "b4" * 32,
            "RUN /bin/sh -c apt-get purge -y --auto-remove libpq-dev && rm -rf /var/lib/apt/lists/* "
            "&& echo done with everything that was only needed to build # buildkit",
            "removed",
            "/usr/lib/x86_64-linux-gnu/libpq.so.5",
        ),
    ),
    why="The loader stops before main: the container ends with exit code 127.",
    fix="apt-get install libpq5, or keep it out of --auto-remove: apt-mark manual libpq5",
    references=("ld.so(8)",),
    fingerprint="0123456789abcdef0123456789abcdef",
)
SYMBOLS_MISSING = Finding(
    rule="abi/symbol-missing",
    title="a library lacks symbols that are bound at start",
    severity=Severity.WARNING,
    tier=Tier.COMMAND,
    certainty=Certainty.CERTAIN,
    object="/usr/lib/libcurl.so.4",
    message="/usr/lib/libssl.so.3 is older than what libcurl.so.4 was built against",
    runtime_message="Error relocating /usr/lib/libcurl.so.4: SSL_get0_group_name: symbol not found",
    items=tuple(f"SSL_get{number}_group_name" for number in range(9)),
    requesters=("/usr/bin/curl",),
    owner="libcurl 8.6.0-r1",
    condition="on a CPU below x86-64-v3",
    fix="apk upgrade",
    fingerprint="1123456789abcdef0123456789abcdef",
)
NOTE = Finding(
    rule="platform/foreign-format",
    title="a file of another system",
    severity=Severity.NOTE,
    tier=Tier.PLUGIN,
    certainty=Certainty.LATENT,
    object="/app/node_modules/sharp/build/sharp.node",
    message="a Mach-O file (arm64) cannot be loaded on Linux",
    fingerprint="2123456789abcdef0123456789abcdef",
)

BROKEN = ScanReport(
    image=IMAGE,
    findings=(LIBRARY_MISSING, SYMBOLS_MISSING, NOTE),
    incomplete=(),
    counts=COUNTS,
    startup_command=("/usr/local/bin/shop", "--serve"),
    tool_version="0.1.0",
)
SOUND = ScanReport(IMAGE, (), (), COUNTS, ("/usr/local/bin/shop", "--serve"), "0.1.0")
PARTED = ScanReport(
    IMAGE,
    (SYMBOLS_MISSING,),
    (),
    COUNTS,
    ("/usr/local/bin/shop", "--serve"),
    "0.1.0",
    waived=(
        WaivedFinding(LIBRARY_MISSING, "the driver brings it", "2031-06-30", ".imagescan.yaml:3:5"),
        WaivedFinding(NOTE, "only for developers", "", ".imagescan.yaml:7:5"),
    ),
    known_before=(NOTE,),
    remarks=(
        Remark(
            RemarkKind.WAIVER_UNUSED,
            "the waiver matches nothing, remove it or mend it (old vendor library)",
            ".imagescan.yaml:11:5",
        ),
    ),
)
INCOMPLETE = ScanReport(
    IMAGE,
    (),
    (Incomplete("/opt/tool/cut-short", "ELF file ends inside its program headers", 1),),
    COUNTS,
    (),
    "0.1.0",
)
HOSTILE_TEXT = "\x1b[2J\r\n\u202egnp.\u200b[red]\udcff[/nope]\x07"
HOSTILE = ScanReport(
    ImageSummary(HOSTILE_TEXT, "", "", HOSTILE_TEXT, HOSTILE_TEXT, (HOSTILE_TEXT,), ()),
    (
        Finding(
            rule=HOSTILE_TEXT,
            title=HOSTILE_TEXT,
            severity=Severity.ERROR,
            tier=Tier.STARTUP,
            certainty=Certainty.CERTAIN,
            object=HOSTILE_TEXT,
            message=HOSTILE_TEXT,
            runtime_message=HOSTILE_TEXT,
            items=(HOSTILE_TEXT,),
            requesters=(HOSTILE_TEXT, "b" + HOSTILE_TEXT),
            trail=(TrailLine(HOSTILE_TEXT, HOSTILE_TEXT, HOSTILE_TEXT, HOSTILE_TEXT),),
            blame=(Blame(1, HOSTILE_TEXT, HOSTILE_TEXT, HOSTILE_TEXT, HOSTILE_TEXT),),
            owner=HOSTILE_TEXT,
            condition=HOSTILE_TEXT,
            why=HOSTILE_TEXT,
            fix=HOSTILE_TEXT,
            references=(HOSTILE_TEXT,),
        ),
    ),
    (Incomplete(HOSTILE_TEXT, HOSTILE_TEXT, 3),),
    COUNTS,
    (HOSTILE_TEXT,),
    "0.1.0",
)
HOSTILE = replace(
    HOSTILE,
    waived=(WaivedFinding(HOSTILE.findings[0], HOSTILE_TEXT, "", HOSTILE_TEXT),),
    known_before=HOSTILE.findings,
    remarks=(Remark(RemarkKind.WAIVER_EXPIRED, HOSTILE_TEXT, HOSTILE_TEXT),),
)

_LIB = "/lib/x86_64-linux-gnu"
LINKS = LinkReport(
    IMAGE,
    (
        ObjectLinks(
            path="/usr/local/bin/shop",
            kind="program",
            libc="glibc",
            loader="/lib64/ld-linux-x86-64.so.2",
            needed=(
                NeededLink(
                    "libz.so.1",
                    f"{_LIB}/libz.so.1",
                    "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
                    "cache",
                    (TrailLine("cache", f"{_LIB}/libz.so.1", "found"),),
                ),
                NeededLink("libpq.so.5", None, None, None, LIBRARY_MISSING.trail),
                NeededLink("libc.so.6", f"{_LIB}/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6", "cache"),
            ),
            versions_missing=(MissingVersionLink("GLIBC_2.38", "libc.so.6", "/usr/local/bin/shop"),),
            symbols_missing=(MissingSymbolLink("PQconnectdb", None, "/usr/local/bin/shop", "immediate"),),
            closure=(
                ClosureObject("/usr/local/bin/shop", "/usr/local/bin/shop", "program", None),
                ClosureObject(
                    f"{_LIB}/libz.so.1",
                    "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
                    "cache",
                    "/usr/local/bin/shop",
                    "libz.so.1",
                ),
                ClosureObject(
                    f"{_LIB}/libc.so.6",
                    "/usr/lib/x86_64-linux-gnu/libc.so.6",
                    "cache",
                    f"{_LIB}/libz.so.1",
                    "libc.so.6",
                ),
            ),
            missing=(
                MissingLink(
                    "libpq.so.5",
                    "/usr/local/bin/shop",
                    "cannot open shared object file: No such file or directory",
                    LIBRARY_MISSING.trail,
                ),
            ),
        ),
        ObjectLinks(
            "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13", "library", "glibc", "/lib64/ld-linux-x86-64.so.2"
        ),
        ObjectLinks("/usr/local/bin/static", "static", None, None),
    ),
)
