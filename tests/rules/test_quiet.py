"""A healthy image passes: nothing at warning or above on a plain Debian root file system."""

from __future__ import annotations

import pytest

from imagescan.findings import Severity
from imagescan.options import ScanOptions
from imagescan.scan import scan
from tests.oracle.roots import root

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", ["bullseye", "bookworm", "trixie"])
def test_a_plain_debian_has_no_warning(name: str) -> None:
    options = ScanOptions(entrypoint=("bash",))
    (result,) = scan(f"dir:{root(name)}", options)
    loud = [finding for finding in result.report.findings if finding.severity is not Severity.NOTE]
    assert loud == []
    assert dict(result.report.counts.objects), "something was judged"
    assert result.report.counts.programs > 100
