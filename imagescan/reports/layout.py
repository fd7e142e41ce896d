"""The few means that the terminal formats share: styles, safe text and hanging lines.

Only the sixteen colours of the terminal's own theme are used, so that a report reads on light
and dark backgrounds. Nothing is cut: what is too long for the width is folded.
"""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from imagescan.dataclasses import dataclass
from imagescan.reports.visible import visible

STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "note": "bold cyan",
    "passed": "bold green",
    "failed": "bold red",
    "label": "dim",
    "object": "bold",
}
MINIMUM_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a report will be read: columns, and whether colours are wanted."""

    width: int = 80
    colour: bool = False


def safe(text: str, style: str = "") -> Text:
    """Text of any origin, made visible; never read as markup."""
    return Text(visible(text), style=style, overflow="fold")


def lines(text: str, style: str = "") -> Text:
    """The same for text that may have several lines: line ends stay, all else is made visible."""
    return Text("\n").join([safe(line, style) for line in text.split("\n")])


def hanging(rows: list[tuple[Text, Text]], indent: int, label_width: int) -> RenderableType:
    """Labels in a narrow first column, and beside each its text, folded under itself."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=label_width, no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(label, text)
    return Padding(table, (0, 0, 0, indent))


def indented(text: Text, indent: int) -> RenderableType:
    """A paragraph whose every line starts at ``indent``."""
    return Padding(text, (0, 0, 0, indent))


def render(parts: list[RenderableType], terminal: Terminal) -> str:
    """The parts below each other, as text with or without colour codes, no trailing spaces. A text
    with ``no_wrap`` stays one line, however long."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(terminal.width, MINIMUM_WIDTH),
        force_terminal=terminal.colour,
        color_system="standard" if terminal.colour else None,
        no_color=not terminal.colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().split("\n")[:-1])
