"""Make rules/prepared.json: the built-in documents as parsed, so that a scan does not parse them.

python -m scripts.prepare_rules
"""

from __future__ import annotations

from pathlib import Path

from imagescan.rules.catalogue import prepared_builtin

if __name__ == "__main__":
    file, text = prepared_builtin()
    Path(str(file)).write_text(text, encoding="utf-8")
