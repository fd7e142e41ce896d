"""Debian's glibc loader as the builds of other distributions have it: the strings in its file changed."""

from __future__ import annotations

HOME = "/lib/x86_64-linux-gnu"
DEBIAN = (f"{HOME}/", f"/usr{HOME}/", "/lib/", "/usr/lib/")
COMPAT = "/usr/glibc-compat"
STORE = "/nix/store/g-2.41"
NOWHERE = ("/absent/", "/usr/absent/", "/no/", "/usr/no/")
ALPINE = (f"{COMPAT}/lib/", f"{COMPAT}/usr/lib/", *NOWHERE[2:])
NIX = (f"{STORE}/lib/", *NOWHERE[1:])
WOLFI = (*NOWHERE[:2], "/lib/", "/usr/lib/")
FEDORA = ("/lib64/", "/usr/lib64/", *NOWHERE[2:])
ARCH = (*NOWHERE[:3], "/usr/lib/")


def built_for(loader: bytes, *directories: str, cache: str = "", token: str = "") -> bytes:
    """A Debian glibc loader as a build with other system directories, cache and ``$LIB`` has it.

    Four directories, filled up with slashes to the lengths of Debian's, which are in the code too.
    """
    old = b"".join(one.encode() + b"\0" for one in DEBIAN)
    new = b""
    for debian, other in zip(DEBIAN, directories, strict=True):
        assert len(other) <= len(debian)
        new += other.encode().ljust(len(debian), b"/") + b"\0"
    assert old in loader
    loader = loader.replace(old, new)
    for before, after in ((b"/etc/ld.so.cache", cache), (b"lib/x86_64-linux-gnu", token)):
        if after:
            assert len(after) <= len(before)
            loader = loader.replace(
                b"\0" + before + b"\0", b"\0" + after.encode().ljust(len(before) + 1, b"\0")
            )
    return loader
