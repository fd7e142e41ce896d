"""Compare a report with the file that holds it. ``IMAGESCAN_UPDATE_GOLDEN=1`` writes the files anew;
look at the difference before you commit it."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("IMAGESCAN_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text
