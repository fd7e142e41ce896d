"""What was worked out of a frozen value, remembered with it.

A value and a function of it enter, the function's result leaves: worked out once, however many ask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, TypeVar

_View = TypeVar("_View")


class Viewed:
    """A frozen value (without slots) of which many ask for the same. A copy remembers nothing."""

    @cached_property
    def _views(self) -> dict[object, Any]:
        return {}

    def view(self, work_out: Callable[[Self], _View]) -> _View:
        """What a function makes of this value. It must depend on nothing else, and nobody may change it."""
        if work_out not in self._views:
            self._views[work_out] = work_out(self)
        found: _View = self._views[work_out]
        return found
