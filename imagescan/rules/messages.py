"""What the user meets at run time, word for word: the kernel through runc, glibc, musl.

``loader.md`` sections 1 and 2.1; glibc elf/rtld.c, elf/dl-error-skeleton.c and elf/dl-version.c;
musl ldso/dynlink.c.
"""

from __future__ import annotations

from imagescan.loader.missing_symbols import MissingSymbol
from imagescan.loader.values import LinkMap, LoaderKind, MissingLibrary, MissingVersion

_GO_TEXT = {
    "ENOENT": "no such file or directory",
    "EACCES": "permission denied",
    "ENOEXEC": "exec format error",
    "ELIBBAD": "accessing a corrupted shared library",
    "EIO": "input/output error",
    "ELOOP": "too many levels of symbolic links",
    "ENOTDIR": "not a directory",
    "ENAMETOOLONG": "file name too long",
}


def exec_failure(path: str, errno: str) -> str:
    """What Docker's log shows when execve of the container's process fails (runc)."""
    return f"exec {path}: {_GO_TEXT.get(errno, errno)}"


def is_musl(link_map: LinkMap) -> bool:
    """Whether musl's loader serves this link map."""
    return link_map.loader is not None and link_map.loader.kind is LoaderKind.MUSL


def library_missing(link_map: LinkMap, library: MissingLibrary, *, is_program: bool) -> str:
    """The line for a needed library that cannot be had; a plugin's is what dlerror(3) says."""
    missing = library.missing
    reason = missing.message
    if is_musl(link_map):
        return f"Error loading shared library {library.needed}: {reason} (needed by {library.opened})"
    name = missing.about or missing.stopped_by or library.needed
    prefix = f"{link_map.program}: error while loading shared libraries: " if is_program else ""
    return f"{prefix}{name}: {reason}"


def version_missing(link_map: LinkMap, missing: MissingVersion) -> str:
    """glibc's line for a version that a library does not define."""
    return (
        f"{link_map.program}: {missing.provider}: version `{missing.version}' not found "
        f"(required by {missing.needed_by})"
    )


def symbol_missing(link_map: LinkMap, missing: MissingSymbol) -> str:
    """The line for a symbol that nothing in the link map defines."""
    if is_musl(link_map):
        return f"Error relocating {missing.needed_by}: {missing.symbol}: symbol not found"
    version = f", version {missing.version}" if missing.version else ""
    return (
        f"{link_map.program}: symbol lookup error: {missing.needed_by}: "
        f"undefined symbol: {missing.symbol}{version}"
    )
