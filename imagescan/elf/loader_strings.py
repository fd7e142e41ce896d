"""The parameters that dynamic loaders and C libraries carry in their files as plain strings.

Enters the bytes of a candidate file; leaves ``LoaderStrings`` or None. Follows ``loader.md``
section 3.2 (glibc: SYSTEM_DIRS of elf/dl-load.c, LD_SO_CACHE, the preload file, DL_DST_LIB, the
banners of ``ld.so`` and ``libc.so.6``) and 3.4 (musl: ldso/dynlink.c usage text, version).
"""

from __future__ import annotations

import re

from imagescan.elf.facts import LoaderStrings
from imagescan.patterns import pattern

MAXIMUM_LOADER_SIZE = 8 << 20  # bytes; glibc's libc.so.6 has 2 MiB, the loaders less than 1 MiB
_MAXIMUM_PATH = 4096
_MAXIMUM_DIRECTORIES = 64

_CACHE = pattern(rb"\0(/[\x21-\x7e]{0,4080}ld\.so\.cache)\0")
_PRELOAD = pattern(rb"\0(/[\x21-\x7e]{0,4080}\.preload)\0")
_LOADER_BANNER = pattern(
    rb"ld\.so \(([^)\0]{0,200})\) (?:stable|development) release version (\d{1,3})\.(\d{1,3})"
)
_LIBC_BANNER = pattern(
    rb"GNU C Library \(([^)\0]{0,200})\) (?:stable|development) release version (\d{1,3})\.(\d{1,3})"
)
_OLD_CPU = b"CPU does not support x86-64-v"  # a baseline build does not have it (x86 init_cpu_features)
_MUSL = pattern(rb"musl libc \(([^)\0]{1,60})\)")
_MUSL_VERSION = pattern(rb"\0(\d{1,3}\.\d{1,3}\.\d{1,3}(?:-git-[0-9A-Za-z.-]{1,60})?)\0")


def read_loader_strings(content: bytes) -> LoaderStrings | None:
    """What a loader or libc file says of itself; None for any other file."""
    musl = _search(_MUSL, b"musl libc (", content)
    if musl is not None:
        version = _MUSL_VERSION.search(content)
        return LoaderStrings(
            musl_version=_text(version.group(1)) if version else "",
            musl_architecture=_text(musl.group(1)),
        )
    if is_gcompat_stub(content):
        return LoaderStrings(is_gcompat_stub=True)
    banner = _search(_LOADER_BANNER, b"ld.so (", content) or _search(
        _LIBC_BANNER, b"GNU C Library (", content
    )
    cache = _search(_CACHE, b"ld.so.cache\0", content)
    if banner is None and cache is None:
        return None
    directories = _system_directories(content) if cache else ()
    preload = _search(_PRELOAD, b".preload\0", content)
    vendor = _text(banner.group(1)) if banner else ""
    return LoaderStrings(
        system_directories=directories,
        cache_path=_text(cache.group(1)) if cache else "",
        preload_path=_text(preload.group(1)) if preload else "",
        library_token=_library_token(content, directories),
        glibc_version=(int(banner.group(2)), int(banner.group(3))) if banner else None,
        glibc_banner=vendor,
        data_encoding_patch=_has_data_encoding_patch(vendor, directories),
        refuses_old_cpus=_OLD_CPU in content,
    )


def _search(pattern: re.Pattern[bytes], part: bytes, content: bytes) -> re.Match[bytes] | None:
    """The first match of a pattern that always has this part, at most ``_MAXIMUM_PATH`` behind its
    start: looking for the part first is ten times as fast."""
    place = content.find(part)
    return pattern.search(content, max(0, place - _MAXIMUM_PATH)) if place >= 0 else None


def is_gcompat_stub(content: bytes) -> bool:
    """Whether a file is gcompat's loader, which hands every program over to musl's."""
    return b"libgcompat" in content and b"ld-musl" in content


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _system_directories(content: bytes) -> tuple[str, ...]:
    """The longest run of adjacent strings that begin and end with a slash and name a library
    directory: the array that gen-trusted-dirs.awk writes.

    Searched from each ``/`` NUL backwards, so that the time stays linear on hostile content.
    """
    longest: list[bytes] = []
    run: list[bytes] = []
    run_end = -1
    end = content.find(b"/\0")
    while end >= 0:
        start = content.rfind(b"\0", max(0, end - _MAXIMUM_PATH), end) + 1
        text = content[start : end + 1]
        if len(text) > 1 and text[:1] == b"/" and text.isascii() and text.decode("ascii").isprintable():
            run = [*run, text] if start == run_end else [text]
            run_end = end + 2
            if len(run) > len(longest) and any(b"lib" in directory for directory in run):
                longest = run
            if len(run) > _MAXIMUM_DIRECTORIES:
                break
        end = content.find(b"/\0", end + 1)
    return tuple(_text(directory) for directory in longest)


def _library_token(content: bytes, directories: tuple[str, ...]) -> str:
    """What ``$LIB`` expands to: Debian keeps the whole relative directory, upstream its last part."""
    for directory in directories:
        for token in (directory.strip("/"), directory.strip("/").rpartition("/")[2]):
            if b"\0" + token.encode("utf-8", "surrogateescape") + b"\0" in content:
                return token
    return directories[0].strip("/").rpartition("/")[2] if directories else ""


def _has_data_encoding_patch(vendor: str, directories: tuple[str, ...]) -> bool:
    """Debian and Ubuntu skip a library of foreign byte order and machine; upstream stops there.

    Their patch leaves no string behind, so the vendor in the banner or, before 2.33, the
    multiarch directories that only they configure tell.
    """
    return vendor.startswith(("Debian", "Ubuntu")) or any(
        "-linux-gnu" in directory for directory in directories
    )
