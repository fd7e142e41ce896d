"""The link map as a tree, and why an object is wanted, for a person at a terminal.

Link reports enter, text leaves. In the tree every object stands once, under who asked first; what
is missing stands where it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from imagescan.findings import Blame, TrailLine
from imagescan.links import ClosureObject, LinkReport, ObjectLinks
from imagescan.reports.layout import STYLES, Terminal, indented, render, safe

# A link map has no longer chain of first requesters than this in any sane image; deeper ones are
# cut with a mark, so that a hostile chain cannot exhaust the stack.
DEEPEST = 200
_OWN = ("program", "loader", "vdso")  # loaded by nobody's wish
PRELOADED = "preload"  # how an object came that nobody needs (``loader.values.How``)


def tree_text(
    report: LinkReport, objects: Sequence[ObjectLinks], terminal: Terminal, *, deep: bool, trail: bool
) -> str:
    """The trees of some objects of the report, an empty line between them. ``deep`` draws everything
    that would be loaded, not only what each object itself needs; ``trail`` each step of the search."""
    parts: list[RenderableType] = []
    for links in objects:
        parts += [*_tree(links, deep=deep, trail=trail), ""]
    if not objects:
        parts = [safe("no dynamically linked program in this image")]
    heading = safe(f"{report.image.reference}  {report.image.platform}", STYLES["label"])
    return render([heading, *parts[:-1]] if objects else [heading, *parts], terminal)


def matching(report: LinkReport, name: str) -> tuple[ObjectLinks, ...]:
    """The objects that a user means by ``name``: a path, or the last part of one."""
    exact = tuple(links for links in report.objects if links.path == name)
    return exact or tuple(links for links in report.objects if links.path.rsplit("/", 1)[-1] == name)


def _tree(links: ObjectLinks, *, deep: bool, trail: bool) -> Iterator[RenderableType]:
    head = safe(links.path, STYLES["object"])
    loader = links.loader or ("needs no loader" if links.kind == "static" else "no loader")
    head.append_text(safe(f"  {links.libc or links.kind}, {loader}", f"{STYLES['label']} not bold"))
    yield head
    if links.fault:
        yield indented(safe(links.fault, STYLES["error"]), 2)
    yield from _branches(_children(links) if deep else _direct(links), links.path, "", trail, 0)
    for version in links.versions_missing:
        text = f"version {version.version} not in {version.library} (needed by {version.needed_by})"
        yield indented(safe(text, STYLES["error"]), 2)
    for symbol in links.symbols_missing:
        text = f"symbol {symbol.symbol} not found (needed by {symbol.needed_by}, {symbol.binding})"
        yield indented(safe(text, STYLES["error" if symbol.binding == "immediate" else "warning"]), 2)


_Child = tuple[str, str, bool, tuple[TrailLine, ...]]  # shown, path to go on with, missing, trail


def _direct(links: ObjectLinks) -> dict[str, list[_Child]]:
    reasons = {
        missing.soname: missing.message for missing in links.missing if missing.requester == links.path
    }
    children: list[_Child] = []
    for needed in links.needed:
        answer = f"{needed.path}  [{needed.how}]" if needed.path else reasons.get(needed.soname, "not found")
        children.append((f"{needed.soname} => {answer}", "", needed.path is None, needed.trail))
    return {links.path: children}


def _children(links: ObjectLinks) -> dict[str, list[_Child]]:
    trails = {needed.soname: needed.trail for needed in links.needed}
    children: dict[str, list[_Child]] = {}
    for entry in links.closure:
        if entry.requester is not None:
            name = entry.soname or entry.path.rsplit("/", 1)[-1]
            steps = trails.get(entry.soname, ()) if entry.requester == links.path else ()
            child = (f"{name} => {entry.path}  [{entry.how}]", entry.path, False, steps)
            children.setdefault(entry.requester, []).append(child)
    for missing in links.missing:
        child = (f"{missing.soname} => {missing.message}", "", True, missing.trail)
        children.setdefault(missing.requester, []).append(child)
    return children


def _branches(
    children: dict[str, list[_Child]], path: str, stem: str, trail: bool, depth: int
) -> Iterator[RenderableType]:
    mine = children.pop(path, [])  # taken out, so that no path is drawn twice, whatever the values say
    if mine and depth >= DEEPEST:
        yield Text(f"{stem}└── ... (deeper than {DEEPEST})", style=STYLES["label"])
        return
    for position, (shown, deeper, missing, steps) in enumerate(mine):
        last = position == len(mine) - 1
        line = Text(f"{stem}{'└── ' if last else '├── '}", style=STYLES["label"], overflow="fold")
        yield line.append_text(safe(shown, STYLES["error"] if missing else "default not dim"))
        below = f"{stem}{'    ' if last else '│   '}"
        if trail or missing:
            yield from (_step(step, below) for step in steps)
        if not missing:
            yield from _branches(children, deeper, below, trail, depth + 1)


def _step(step: TrailLine, stem: str) -> Text:
    reason = f" ({step.detail})" if step.detail else ""
    text = f"{stem}  {step.source}: {step.candidate}: {step.outcome}{reason}"
    return safe(text, STYLES["label"])


def why_text(
    report: LinkReport,
    name: str,
    histories: dict[str, tuple[Blame, ...]],
    terminal: Terminal,
    *,
    trail: bool = False,
) -> str:
    """Who needs ``name`` (a soname or a path), where it was looked for, and what the layers did to
    the paths concerned. ``histories`` maps paths to what each layer did, lowest first. ``trail``
    shows the search also where it found something."""
    parts: list[RenderableType] = [
        safe(f"{report.image.reference}  {report.image.platform}", STYLES["label"])
    ]
    askers = list(requests(report, name))
    found = matching(report, name)
    if not askers and not found and not any(histories.values()):
        return render([*parts, safe(f"{name}: nothing in this image has or needs it")], terminal)
    for links in found:
        parts.append(safe(f"{links.path}  {links.kind}", STYLES["object"]))
    parts.append(safe(f"needed by {len(askers):,} {'object' if len(askers) == 1 else 'objects'}"))
    for asker, answer, steps in askers:
        line = safe(asker, STYLES["object"])
        style = STYLES["error"] if answer is None else "default not bold"
        parts.append(indented(line.append_text(safe(f"  => {answer or 'not found'}", style)), 2))
        if answer is None or trail:
            parts += [_step(step, "    ") for step in steps]
    if report.image.history_note and any(histories.values()):
        parts.append(safe(f"layers: {report.image.history_note}", STYLES["label"]))
    for path, events in histories.items():
        for event in events:
            command = f": {event.created_by}" if event.created_by else ""
            parts.append(safe(f"layer {event.layer_index} {event.action} {path}{command}"))
    return render(parts, terminal)


def requests(report: LinkReport, name: str) -> Iterator[tuple[str, str | None, tuple[TrailLine, ...]]]:
    """(who asks, the answer's path or None, the search) for each request for ``name``: a soname,
    the path or real path that answered, or a file that ended the search in vain; also who has it
    preloaded."""
    for links in report.objects:
        for needed in links.needed:
            stopped = needed.path is None and any(step.candidate == name for step in needed.trail)
            if stopped or name in (needed.soname, needed.path, needed.real):
                yield links.path, needed.path, needed.trail
        for entry in _preloaded(links):
            if name in (entry.soname, entry.path, entry.real, entry.path.rpartition("/")[2]):
                yield f"{links.path} ({PRELOADED})", entry.path, ()


def _preloaded(links: ObjectLinks) -> Iterator[ClosureObject]:
    """What is loaded on the program's own account although it does not need it."""
    needed = {one.soname for one in links.needed}
    for entry in links.closure:
        unasked = entry.requester == links.path and entry.soname not in needed
        if links.kind == "program" and (entry.how == PRELOADED or (unasked and entry.how not in _OWN)):
            yield entry
