"""Data classes and named tuples as the standard library has them, at a twentieth of their price when the
program starts.

A class with annotations enters, the class with methods leaves. ``dataclasses`` of the standard library
compiles every method of every class when its module is imported, half a millisecond for each of this
program's 180 classes, and imports ``inspect``: 90 ms before a scan begins. Here ``__init__`` is compiled when
a class has more than a few values, and a scan makes values of a third of the classes; the other methods are
shared. A named tuple of ``typing`` costs half a millisecond as well, because it compiles its annotations.

Only what this program uses is here: ``frozen``, ``slots`` and ``eq`` of the decorator; ``default``,
``default_factory``, ``repr`` and ``compare`` of a field; ``_make`` and ``_replace`` of a named tuple.
Functions of the standard library (``replace``, ``fields``, ``asdict``) take these values too. Type checkers
are shown the standard library's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, is_dataclass, replace
    from typing import NamedTuple
else:
    from imagescan.light_dataclasses import NamedTuple, dataclass, field, fields, is_dataclass, replace

__all__ = ["NamedTuple", "dataclass", "field", "fields", "is_dataclass", "replace"]
