"""``when``: a CEL expression over one observation, and nothing else.

The text of an expression enters, a ``Condition`` leaves. Follows the Common Expression Language
specification through cel-expr-python, which the extra ``imagescan[rules]`` installs; without it a
document with ``when`` is refused.
"""

from __future__ import annotations

from typing import Any

from imagescan.errors import RuleError
from imagescan.rules.observation import Observation

VARIABLES = ("object", "tier", "certainty", "condition", "items", "related", "values")
MAXIMUM_EXPRESSION = 4096  # characters


class Condition:
    """A compiled expression of static type bool."""

    def __init__(self, expression: str, where: str) -> None:
        """Compile an expression.

        Raises:
            RuleError: the extra is not installed, or the expression is no CEL expression over
                ``VARIABLES`` that gives true or false.
        """
        self.expression = expression
        self._where = where
        self._cel: Any = _import(where)
        if len(expression) > MAXIMUM_EXPRESSION:
            raise RuleError(f"the condition is longer than {MAXIMUM_EXPRESSION} characters", where=where)
        kinds = self._cel.Type
        text, texts = kinds.STRING, kinds.List(kinds.STRING)
        variables = dict.fromkeys(VARIABLES, text) | {
            "items": texts,
            "related": texts,
            "values": kinds.Map(text, text),
        }
        try:
            self._compiled = self._cel.NewEnv(variables=variables).compile(expression)
        except Exception as error:  # the library raises bare RuntimeError and ValueError
            reason = " ".join(str(error).split())[:300]
            raise RuleError(f"the condition does not compile: {reason}", where=where) from None
        if self._compiled.return_type() != kinds.BOOL:
            raise RuleError("the condition does not give true or false", where=where)

    def holds(self, observation: Observation) -> bool:
        """Whether the expression is true for an observation.

        Raises:
            RuleError: the expression fails, for example on a key that ``values`` has not, or does
                not end.
        """
        try:
            result = self._compiled.eval(data=_data(observation))
        except Exception as error:  # the library raises bare RuntimeError for a spent budget
            reason = " ".join(str(error).split())[:300]
            raise RuleError(f"the condition fails: {reason}", where=self._where) from None
        # A failure is a value too, and a truthy one: its type tells it apart.
        if result.type() != self._cel.Type.BOOL:
            raise RuleError(f"the condition fails: {result.value()}", where=self._where)
        return bool(result.value())


def _data(observation: Observation) -> dict[str, object]:
    """The observation as CEL values; bytes of a path that are no UTF-8 become question marks."""

    def text(value: str) -> str:
        return value.encode("utf-8", "replace").decode("utf-8")

    return {
        "object": text(observation.object),
        "tier": observation.tier.value,
        "certainty": observation.certainty.value,
        "condition": text(observation.condition),
        "items": [text(item) for item in observation.items],
        "related": [text(path) for path in observation.related],
        "values": {name: text(value) for name, value in observation.values.items()},
    }


def _import(where: str) -> Any:  # noqa: ANN401 - the library is only there with the extra
    try:
        from cel_expr_python import cel  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise RuleError(
            "this rule has a condition (when:), which needs CEL",
            where=where,
            advice="install imagescan[rules]",
        ) from None
    return cel
