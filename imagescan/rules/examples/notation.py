"""An example's image as a rule document writes it.

A ``Node`` of the document enters, ``ExampleImage`` leaves. ``docs/rules/FORMAT.md`` describes the
notation; a wrong one is a ``RuleError`` with its position.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO

from imagescan.dataclasses import dataclass, field, fields, replace
from imagescan.errors import InvalidReference, RuleError
from imagescan.reference import Platform
from imagescan.rules.examples.elf_writer import CPU_LEVELS, MACHINES, ElfStandIn, write_elf
from imagescan.rules.yaml_reader import Node, read_yaml

MAXIMUM_FILES = 500  # of one example

# What the loader room reads from the files of these loaders (loader.md sections 3.2 and 3.4).
GLIBC_MARKS = (
    b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0/etc/ld.so.cache\0"
    b"/etc/ld.so.preload\0lib/x86_64-linux-gnu\0ld.so (Example) stable release version 2.36.\n\0"
)
MUSL_MARKS = b"\0musl libc (x86_64)\nVersion %s\n\0\x001.2.5\0"

_FOREIGN = {
    "mach_o": b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01" + bytes(64),
    "pe": b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0" + b"\x64\x86" + bytes(18) + b"\x0b\x02" + bytes(238),
}

BASES = {
    "none": "files: {}",
    "debian": """
files:
  /bin: {link: usr/bin}
  /lib: {link: usr/lib}
  /lib64: {link: usr/lib64}
  /usr/lib64/ld-linux-x86-64.so.2: {link: ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2}
  /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2: {loader: glibc}
  /usr/lib/x86_64-linux-gnu/libc.so.6:
    library:
      soname: libc.so.6
      needed: [ld-linux-x86-64.so.2]
      abi_tag: 3.2.0
      versions: [GLIBC_2.2.5, GLIBC_2.34, GLIBC_2.36]
      defined: [puts@GLIBC_2.2.5]
  /usr/bin/dash: {program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [libc.so.6]}}
  /usr/bin/sh: {link: dash}
  /usr/bin/env: {program: {interpreter: /lib64/ld-linux-x86-64.so.2, needed: [libc.so.6]}}
  /etc/passwd: {text: "root:x:0:0:root:/root:/bin/sh\\nwww-data:x:33:33::/var/www:/bin/sh\\n"}
  /etc/group: {text: "root:x:0:\\nwww-data:x:33:\\n"}
  /etc/os-release:
    {text: "PRETTY_NAME=\\"Debian GNU/Linux 12 (bookworm)\\"\\nID=debian\\nVERSION_ID=\\"12\\"\\n"}
""",
    "alpine": """
files:
  /lib/ld-musl-x86_64.so.1: {loader: musl}
  /bin/busybox: {program: {interpreter: /lib/ld-musl-x86_64.so.1, needed: [libc.musl-x86_64.so.1]}}
  /lib/libc.musl-x86_64.so.1: {link: ld-musl-x86_64.so.1}
  /bin/sh: {link: /bin/busybox}
  /usr/bin/env: {link: /bin/busybox}
  /etc/passwd: {text: "root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534::/:/sbin/nologin\\n"}
  /etc/group: {text: "root:x:0:\\n"}
  /etc/os-release: {text: "PRETTY_NAME=\\"Alpine Linux v3.20\\"\\nID=alpine\\nVERSION_ID=3.20.3\\n"}
""",
}


_AMD64 = Platform("linux", "amd64")
_FLAGS = (
    "relative_relocations",
    "executable_stack",
    "indirect_functions",
    "not_for_dlopen",
    "initial_exec_tls",
)


@dataclass(frozen=True, slots=True)
class ExampleFile:
    """One entry of a layer: a symlink (``link``), a directory, or a file with ``content``."""

    content: bytes = b""
    link: str | None = None
    is_directory: bool = False
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class ExampleLayer:
    """What one layer adds and removes, by absolute path."""

    files: Mapping[str, ExampleFile]
    removed: tuple[str, ...] = ()
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One image of an example."""

    layers: tuple[ExampleLayer, ...]
    platform: Platform = _AMD64
    shared_with: tuple[Platform, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    kernel: str | None = None
    page_size: str | None = None


@dataclass(slots=True)
class _Draft:
    base: str = "none"
    values: dict[str, object] = field(default_factory=dict)
    layers: list[ExampleLayer] = field(default_factory=list)


def read_image(node: Node) -> ExampleImage:
    """Read one image.

    Raises:
        RuleError: an unknown key or value, with its position.
    """
    draft = _Draft()
    for key, value in node.pairs():
        if key in ("entrypoint", "cmd", "healthcheck", "env"):
            draft.values[key] = value.texts()
        elif key in ("user", "working_dir", "kernel", "page_size"):
            draft.values[key] = value.text()
        elif key == "platform":
            draft.values[key] = _platform(value)
        elif key == "shared_with":
            draft.values[key] = tuple(_platform(one) for one in value.items())
        elif key == "base":
            draft.base = _one_of(value, BASES)
        elif key == "files":
            draft.layers.append(ExampleLayer(_files(value)))
        elif key == "layers":
            draft.layers += [_layer(item) for item in value.items()]
        else:
            raise value.error(f"unknown key {key!r} in an example's image")
    base = read_yaml(BASES[draft.base], f"base {draft.base}")
    layers = (replace(_layer(base), created_by=f"FROM {draft.base}"), *draft.layers)
    if sum(len(layer.files) for layer in layers) > MAXIMUM_FILES:
        raise node.error(f"more than {MAXIMUM_FILES} files")
    return ExampleImage(layers=layers, **draft.values)  # type: ignore[arg-type]


def _platform(node: Node) -> Platform:
    try:
        return Platform.parse(node.text())
    except InvalidReference as error:
        raise node.error(str(error)) from None


def _one_of(node: Node, known: Mapping[str, object]) -> str:
    if node.text() not in known:
        raise node.error(f"unknown value {node.text()!r}", f"use one of {', '.join(sorted(known))}")
    return node.text()


def _layer(node: Node) -> ExampleLayer:
    layer = ExampleLayer({})
    for key, value in node.pairs():
        if key == "files":
            layer = replace(layer, files=_files(value))
        elif key == "remove":
            layer = replace(layer, removed=tuple(_path(item) for item in value.items()))
        elif key == "created_by":
            layer = replace(layer, created_by=value.text())
        else:
            raise value.error(f"unknown key {key!r} in a layer")
    return layer


def _path(node: Node) -> str:
    if not node.text().startswith("/") or node.text().endswith("/"):
        raise node.error(f"not an absolute path: {node.text()!r}")
    return node.text()


def _files(node: Node) -> Mapping[str, ExampleFile]:
    return {_path(Node(value.where, "scalar", key)): _file(value) for key, value in node.pairs()}


def _file(node: Node) -> ExampleFile:
    found = ExampleFile()
    kinds = 0
    attributes: dict[str, int] = {}
    for key, value in node.pairs():
        if key in ("mode", "uid", "gid"):
            attributes[key] = value.number()
            continue
        reader = _KINDS.get(key)
        if reader is None:
            known = ", ".join(sorted(_KINDS))
            raise value.error(f"unknown kind of file {key!r}", f"use one of {known}; mode, uid, gid")
        found, kinds = reader(value), kinds + 1
    if kinds != 1:
        raise node.error("a file needs exactly one kind", f"use one of {', '.join(sorted(_KINDS))}")
    return replace(found, **attributes)  # type: ignore[arg-type]


def _elf(kind: str) -> Callable[[Node], ExampleFile]:
    def read(node: Node) -> ExampleFile:
        executable = kind != "library"
        return ExampleFile(write_elf(_stand_in(kind, node)), mode=0o755 if executable else 0o644)

    return read


def _stand_in(kind: str, node: Node) -> ElfStandIn:
    known = {one.name for one in fields(ElfStandIn)} - {"type", "marks"}
    values: dict[str, object] = {"type": kind}
    for key, value in node.pairs():
        if key not in known:
            raise value.error(f"unknown key {key!r} of an ELF file", f"use one of {', '.join(sorted(known))}")
        if key == "machine":
            values[key] = _one_of(value, MACHINES)
        elif key == "version_needs":
            values[key] = {file: versions.texts() for file, versions in value.pairs()}
        elif key in _FLAGS:
            values[key] = value.truth()
        elif key == "alignment":
            values[key] = value.number()
        elif key == "cpu_level":
            values[key] = _one_of(value, CPU_LEVELS)
        elif key in ("interpreter", "soname", "rpath", "runpath", "dlopen", "abi_tag"):
            values[key] = value.text()
        else:
            values[key] = value.texts()
    return ElfStandIn(**values)  # type: ignore[arg-type]


def _loader(node: Node) -> ExampleFile:
    """``glibc`` or ``musl``, with another version than the base's as in ``glibc-2.41``."""
    name, _, version = node.text().partition("-")
    if name not in ("glibc", "musl") or not re.fullmatch(r"[\d.]*", version):
        raise node.error(f"unknown loader {node.text()!r}", "use glibc, musl, or such as glibc-2.41")
    if name == "glibc":
        marks = GLIBC_MARKS.replace(b"2.36", (version or "2.36").encode())
        stand_in = ElfStandIn(soname="ld-linux-x86-64.so.2", marks=marks)
    else:
        marks = MUSL_MARKS.replace(b"1.2.5", (version or "1.2.5").encode())
        stand_in = ElfStandIn(soname="libc.musl-x86_64.so.1", marks=marks, defined=("puts",))
    return ExampleFile(write_elf(stand_in), mode=0o755)


def _archive(node: Node) -> ExampleFile:
    """A ZIP file: members by name, each a file of one kind."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in node.pairs():
            archive.writestr(zipfile.ZipInfo(name), _file(value).content, zipfile.ZIP_DEFLATED)
    return ExampleFile(stream.getvalue())


def _foreign(kind: str) -> Callable[[Node], ExampleFile]:
    return lambda node: ExampleFile(_FOREIGN[kind] if node.truth() else b"", mode=0o755)


def _text(mode: int) -> Callable[[Node], ExampleFile]:
    return lambda node: ExampleFile(node.text().encode("utf-8", "surrogateescape"), mode=mode)


def _directory(node: Node) -> ExampleFile:
    if not node.truth():
        raise RuleError("a directory is true or absent", where=node.where)
    return ExampleFile(is_directory=True, mode=0o755)


_KINDS: Mapping[str, Callable[[Node], ExampleFile]] = {
    "link": lambda node: ExampleFile(link=node.text(), mode=0o777),
    "directory": _directory,
    "text": _text(0o644),
    "script": _text(0o755),
    "program": _elf("program"),
    "executable": _elf("executable"),
    "static": _elf("static"),
    "library": _elf("library"),
    "loader": _loader,
    "mach_o": _foreign("mach_o"),
    "pe": _foreign("pe"),
    "archive": _archive,
}
