"""The built-in documents are prepared, and mean the same as their YAML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from imagescan.rules.catalogue import builtin_rules, prepared_builtin
from imagescan.rules.prepared import PreparedDocuments, prepare
from imagescan.rules.yaml_reader import read_yaml

ROOT = Path(__file__).parents[2]


def test_the_prepared_file_is_that_of_the_documents() -> None:
    file, text = prepared_builtin()
    assert file.read_text("utf-8") == text, "run: python -m scripts.prepare_rules"


def test_a_scan_s_rules_and_data_need_no_yaml() -> None:
    program = "import sys; from imagescan.rules.catalogue import *; load_rules((), with_examples=False);"
    program += "load_knowledge(); sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_a_prepared_document_is_the_tree_that_yaml_gives() -> None:
    texts = [(path.read_text(), name) for path, name in documents()]
    parse = PreparedDocuments(lambda: prepare((text, until) for text, _ in texts for until in UNTIL)).parse
    for text, name in texts:
        for until in UNTIL:
            assert parse(text, name, until) == read_yaml(text, name, until)


def test_a_document_that_changed_is_parsed() -> None:
    parse = PreparedDocuments(lambda: prepare([("a: 1", None)])).parse
    assert parse("a: 2", "x") == read_yaml("a: 2", "x")
    assert PreparedDocuments(lambda: "").parse("a: 1", "x") == read_yaml("a: 1", "x")


UNTIL = (None, "examples")


def documents() -> list[tuple[Path, str]]:
    return [(file, file.name) for file in sorted((ROOT / "rules").rglob("*.yaml"))]


def test_rules_without_examples_are_those_with_them() -> None:
    short, whole = builtin_rules(with_examples=False), builtin_rules()
    assert [one.id for one in short] == [one.id for one in whole]
    assert [one.message for one in short] == [one.message for one in whole]
