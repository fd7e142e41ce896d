"""Regular expressions that are compiled when they are first used.

The text of an expression enters, something that is used as a compiled one leaves. Compiling all hundred of
this program's takes 10 ms before a scan begins, and a scan uses some of them. Type checkers are shown
``re.compile`` itself.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import compile as pattern
else:

    class LatePattern:
        """What ``re.compile`` would give, made when one of its methods is first asked for."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._source = text, flags

        def __getattr__(self, name: str) -> object:
            compiled = re.compile(*self._source)
            found = getattr(compiled, name)
            setattr(self, name, found)  # from now on as fast as the compiled one's own
            return found

    pattern = LatePattern

__all__ = ["pattern"]
