from pathlib import Path

from tests.cli.scanner import imagescan


def test_the_list_has_each_rule_with_its_worst_severity() -> None:
    done = imagescan("rules", "list")
    assert done.code == 0
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert rows["loader/library-missing"] == "error"
    assert len(rows) >= 12


def test_explain_says_why_and_how_to_mend() -> None:
    done = imagescan("explain", "loader/library-missing")
    assert done.code == 0
    assert "fix" in done.stdout


def test_an_unknown_rule_names_a_near_one() -> None:
    done = imagescan("explain", "loader/libary-missing")
    assert (done.code, done.stdout) == (2, "")
    assert "did you mean loader/library-missing?" in done.stderr


def test_every_rule_proves_itself() -> None:
    done = imagescan("rules", "test")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.endswith(" 0 failed\n")


def test_a_folder_without_rules_is_an_error() -> None:
    done = imagescan("rules", "list", "--rules", "/nonexistent/rules", directory=Path("/"))
    assert done.code == 2
    assert "no such folder of rules" in done.stderr


def test_rules_knows_only_its_actions() -> None:
    assert "say list, test or docs" in imagescan("rules", "lint").stderr
