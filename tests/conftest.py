"""What holds for all tests: with ``CI=true`` a skipped test fails the whole run; no process that a test
starts uses the user's own cache."""

import os

import pytest

from tests.requirements import in_ci

os.environ["IMAGESCAN_NO_CACHE"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and in_ci() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and in_ci():
        terminalreporter.write_line(f"CI must not skip, and {len(skipped)} tests were skipped", red=True)
