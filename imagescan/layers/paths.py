"""Names as a tar has them enter; normalised paths below the image's root leave.

Follows POSIX pathname resolution without symlinks, which is what Go's ``path.Clean`` does with
every name before containerd, Docker and umoci unpack it.
"""

from __future__ import annotations

from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers.values import ImagePath

MAXIMUM_PATH_BYTES = 4095  # include/uapi/linux/limits.h PATH_MAX without its terminator

WHITEOUT_PREFIX = b".wh."
OPAQUE_MARKER = b".wh..wh..opq"
METADATA_PREFIX = b".wh..wh."  # AUFS housekeeping, such as .wh..wh.plnk

_UNUSABLE_WHITEOUTS = frozenset({b"", b".", b".."})


def normalise(name: bytes) -> bytes:
    """A tar name as a path without leading or trailing slash, ``.``, ``..`` or empty parts.

    ``./usr//bin/`` is ``usr/bin``; ``/``, ``.`` and ``./`` are the root, ``b""``; ``a/../b`` is
    ``b``, as every unpacker cleans it. A name that climbs above the root is an error of the
    layer: Docker refuses it as a breakout attempt, umoci and containerd clamp it to the root. No
    honest builder writes one, and two runtimes would make two different images of it.

    Raises:
        CorruptLayer: an empty name, a NUL byte in it, or one that climbs above the root.
        LimitExceeded: longer than ``MAXIMUM_PATH_BYTES``.
    """
    check_length(name)
    if name.startswith(b"./"):
        name = name[2:] or b"."
    if name.endswith(b"/"):
        name = name[:-1] or b"."
    if b"//" in name or b"/." in name or b"\0" in name or name[:1] in b"./":
        return _normalise_slowly(name)
    return name


def check_length(name: bytes) -> None:
    """Refuse a path that no kernel takes.

    Raises:
        LimitExceeded: longer than ``MAXIMUM_PATH_BYTES``.
    """
    if len(name) > MAXIMUM_PATH_BYTES:
        raise LimitExceeded(
            f"a path of {len(name)} bytes, more than {MAXIMUM_PATH_BYTES}: {_shown(name[:60])}..."
        )


def _normalise_slowly(name: bytes) -> bytes:
    if not name:
        raise CorruptLayer("an entry without a name")
    if b"\0" in name:
        raise CorruptLayer(f"a NUL byte in the name {_shown(name)}")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise CorruptLayer(f"the name {_shown(name)} climbs out of the image")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def removed_name(base: bytes) -> bytes:
    """The name that the whiteout file ``.wh.NAME`` removes.

    Raises:
        CorruptLayer: the whiteout names nothing, the directory itself, or its parent, which
            containerd refuses too.
    """
    name = base[len(WHITEOUT_PREFIX) :]
    if name in _UNUSABLE_WHITEOUTS:
        raise CorruptLayer(f"the whiteout {_shown(base)} names no file")
    return name


def decode(path: bytes) -> ImagePath:
    """Bytes of a tar as text; what is not UTF-8 is kept as surrogates."""
    # A call of ImagePath takes longer than the decoding.
    return path.decode("utf-8", "surrogateescape")  # type: ignore[return-value]


def _shown(name: bytes) -> str:
    return repr(decode(name))
