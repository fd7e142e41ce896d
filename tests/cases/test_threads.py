"""No thread is silently missing: each is a case or has a reason."""

from pathlib import Path

import yaml

from tests.cases.table import HEADER, documented, families

KNOWN = yaml.safe_load(Path(__file__).with_name("threads.yaml").read_text())
STARRED = {thread for threads in KNOWN["threads"].values() for thread in threads}
REBUILT = {case.thread for family in families() for case in family.cases}


def test_each_thread_is_a_case_or_has_a_reason() -> None:
    without = STARRED - REBUILT
    assert without == set(KNOWN["not_rebuilt"])
    assert all(reason.strip() for reason in KNOWN["not_rebuilt"].values())


def test_no_two_cases_have_the_same_name() -> None:
    names = [str(case) for family in families() for case in family.cases]
    assert len(names) == len(set(names))
    folders = [case.folder for family in families() for case in family.cases]
    assert len(folders) == len(set(folders))


def test_the_documented_table_is_whole_and_its_last_line_is_the_sum() -> None:
    _, *lines = documented()
    assert tuple(lines[:2]) == HEADER
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == [*(family.name for family in families()), "**all**"]
    for column in range(1, 7):
        assert sum(int(row[column]) for row in rows[:-1]) == int(rows[-1][column])
