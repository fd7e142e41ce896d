"""Files of the cache that hold values of one class, apart from the layers' own.

Values enter under a name, the same values leave; a file that is damaged, or of another form, is dropped with
one line and is as if it had never been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from imagescan.cache import entry
from imagescan.cache.codec import Codecs
from imagescan.cache.columns import Codec, Damaged, Unstorable, pack, unpack
from imagescan.cache.directory import CacheDirectory, Unusable

Say = Callable[[str], None]


class ValueFiles:
    """The files of one kind.

    Args:
        directory: where.
        kind: the name of their subdirectory.
        hint: the class of the values.
        say: told, in one line each, what was dropped or cannot be kept.
        warn: told that the directory cannot be written to, and why.
        codecs: how values are written; by default all of their parts are.
    """

    def __init__(
        self,
        directory: CacheDirectory,
        kind: str,
        hint: type,
        say: Say,
        warn: Say,
        codecs: Callable[[], Codecs] = Codecs,
    ) -> None:
        self._directory, self._kind, self._hint, self._codecs = directory, kind, hint, codecs
        self._say, self._warn = say, warn

    def read(self, name: str, check: Callable[[Any], None] | None = None) -> Sequence[Any]:
        """The values of a file, none where there is no such file or it is damaged; ``check`` raises
        ``Damaged`` for a value that cannot be."""
        codec, form = self._form
        try:
            file = self._directory.open(self._kind, name)
            if file is None:
                return ()
            values = unpack(entry.StoredFile(file, form).take_columns(), codec)
            for value in values if check else ():
                check(value)  # type: ignore[misc]
            return values
        except (Unusable, Damaged) as error:
            self._directory.remove(self._kind, name)
            self._say(f"dropped {self._kind}/{name}: {error.message}")
            return ()

    def write(self, name: str, values: Sequence[object]) -> bool:
        """Keep values; says whether they could be."""
        codec, form = self._form
        try:
            self._directory.write(self._kind, name, entry.build(form, pack(values, codec)[0]))
        except Unstorable as error:
            self._say(f"{self._kind}/{name} cannot be kept: {error.message}")
            return False
        except Unusable as error:
            self._warn(str(error))
            return False
        return True

    @cached_property
    def _form(self) -> tuple[Codec, bytes]:
        codecs = self._codecs()
        codec = codecs.of(self._hint)
        return codec, entry.fingerprint(codecs.schema(codec))
