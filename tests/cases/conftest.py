"""Each family's module has a tuple ``CASES``; the checks in ``checks`` run for every one of them."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    chosen = [
        case for case in metafunc.module.CASES if metafunc.function.__name__ != "test_truth" or case.run
    ]
    parameters = [pytest.param(case, id=str(case), marks=_marks(case, metafunc)) for case in chosen]
    metafunc.parametrize("case", parameters)


def _marks(case: object, metafunc: pytest.Metafunc) -> list[pytest.MarkDecorator]:
    wrong = getattr(case, "wrong", "")
    if wrong and metafunc.function.__name__ == "test_the_scan_says_what_the_user_saw":
        return [pytest.mark.xfail(strict=True, reason=wrong)]
    return []
