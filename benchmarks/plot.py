"""The picture of ``docs/performance.svg``: seconds of each tool on each image, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_LEFT, _BAR, _GAP, _WIDTH, _SCALE_WIDTH = 190, 16, 6, 760, 480
_COLOURS = {"limit, two processes": "#8a8f98", "imagescan": "#1f77b4", "imagescan again": "#6baed6"}
_OTHER = "#d08a4e"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.t{font-weight:600;font-size:14px}line{stroke:#ccc}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}line{stroke:#555}}"
)


def svg(title: str, groups: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """One group of bars for each image; the bars are (tool, wall seconds)."""
    values = [value for bars in groups.values() for _, value in bars if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    body, y = [f'<text class="t" x="10" y="22">{title}</text>'], 40
    top = y
    for group, bars in groups.items():
        body.append(f'<text class="t" x="10" y="{y + 14}">{group}</text>')
        y += 22
        for tool, value in bars:
            length = max(2.0, (math.log10(value) - low) / (high - low) * _SCALE_WIDTH)
            colour = _COLOURS.get(tool, _OTHER)
            body.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{tool}</text>')
            body.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>')
            body.append(f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}">{value:.3g} s</text>')
            y += _BAR + _GAP
        y += 8
    for power in range(low, high + 1):
        x = _LEFT + (power - low) / (high - low) * _SCALE_WIDTH
        body.insert(1, f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}"/>')
        body.append(f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{10.0**power:g} s</text>')
    size = f'width="{_WIDTH}" height="{y + 26}" viewBox="0 0 {_WIDTH} {y + 26}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *body, "</svg>", ""])
