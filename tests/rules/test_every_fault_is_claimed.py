"""Whatever the loader room can say, some rule says it to the user."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from imagescan.rules.catalogue import builtin_rules

LOADER = Path(__file__).parents[2] / "imagescan" / "loader"
FORMAT = Path(__file__).parents[2] / "docs" / "rules" / "FORMAT.md"


def codes() -> Iterator[str]:
    """The first argument of every ``LoaderFault(...)`` in the loader room."""
    for file in LOADER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "LoaderFault":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{file.name}:{node.lineno}: write the code out"
                yield code.value


def test_every_code_of_a_loader_fault_is_the_business_of_one_rule() -> None:
    claimed = [rule.parameters["fault"] for rule in builtin_rules() if rule.detector.name == "loader-fault"]
    assert sorted(claimed) == sorted(set(codes())), "one rule for each code, and none for a code that is gone"
    assert len(claimed) > 10


def test_the_format_names_every_code() -> None:
    row = next(line for line in FORMAT.read_text().splitlines() if line.startswith("| `loader-fault`"))
    assert set(codes()) <= set(re.findall(r"[a-z-]+", row))
