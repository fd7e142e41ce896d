"""``when``: CEL over one observation."""

from __future__ import annotations

import builtins
import sys

import pytest

from imagescan.errors import RuleError
from imagescan.findings import Tier
from imagescan.rules.conditions import MAXIMUM_EXPRESSION, Condition
from imagescan.rules.observation import Observation
from tests.requirements import require

OBSERVATION = Observation(
    cause=("x",), object="/opt/app", tier=Tier.COMMAND, items=("libz.so.1",), values={"machine": "i386"}
)


@pytest.fixture(autouse=True)
def _cel(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        try:
            import cel_expr_python  # noqa: F401
        except ImportError:
            require(False, "the package cel-expr-python is not installed (pip install imagescan[rules])")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('object.startsWith("/opt/")', True),
        ('tier == "startup"', False),
        ('"libz.so.1" in items && certainty == "certain"', True),
        ('values["machine"] == "i386" && related.size() == 0', True),
        ('object.matches("^/(srv|opt)/")', True),
    ],
)
def test_an_expression_sees_the_observation(expression: str, expected: bool) -> None:
    assert Condition(expression, "w").holds(OBSERVATION) is expected


@pytest.mark.parametrize(
    "expression",
    ["objekt == 'x'", "object == 5", "object", "null", "1 +", "a" * (MAXIMUM_EXPRESSION + 1), "(" * 2000],
)
def test_what_is_no_condition_is_refused_when_it_is_read(expression: str) -> None:
    with pytest.raises(RuleError) as caught:
        Condition(expression, "r.yaml:3:7")
    assert str(caught.value).startswith("r.yaml:3:7")
    assert "\n" not in str(caught.value)


def test_a_failure_while_running_is_an_error_and_not_true() -> None:
    with pytest.raises(RuleError, match="the condition fails"):
        Condition('values["no such"] == "x"', "w").holds(OBSERVATION)


def test_a_hostile_expression_ends() -> None:
    ten = "[0,1,2,3,4,5,6,7,8,9]"
    nested = "true"
    for name in "abcdefgh":
        nested = f"{ten}.all({name}, {nested})"
    with pytest.raises(RuleError):
        Condition(nested, "w").holds(OBSERVATION)


def test_without_the_extra_a_condition_is_refused_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name.startswith("cel_expr_python"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "cel_expr_python", raising=False)
    with pytest.raises(RuleError, match=r"needs CEL \(install imagescan\[rules\]\)"):
        Condition("true", "w")
