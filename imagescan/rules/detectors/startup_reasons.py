"""Why a step of a chain fails, in words: the end of a sentence that begins with the name asked for."""

from __future__ import annotations

import posixpath

from imagescan.facts import ImageFacts
from imagescan.layers.values import EntryKind
from imagescan.rules.template import phrase
from imagescan.startup.credentials import file_text
from imagescan.startup.values import ChainFault, ChainStep, FaultCode, StepRole

MAXIMUM_SETTINGS = 50  # lines of a pyvenv.cfg that are read
MAXIMUM_PLACES = 50  # paths with the name asked for that are looked at
MAXIMUM_NAMED = 3  # more programs of that name tell nothing


def user_of(facts: ImageFacts, step: ChainStep) -> str:
    """Who starts a step: as configured, or the user that a wrapper on the way became."""
    if step.process is not None and step.process.user != facts.user.credentials:
        return str(step.process.user.uid)
    return facts.user.text or "root"


def reason_of(facts: ImageFacts, step: ChainStep, fault: ChainFault) -> str:
    """The reason of one failing step."""
    user = user_of(facts, step)
    mode = f" (mode {step.entry.mode & 0o7777:04o})" if step.entry else ""
    reasons = {
        FaultCode.MISSING: f"the image has no {fault.path}",
        FaultCode.NOT_IN_PATH: "no directory of PATH has it",
        FaultCode.RELATIVE_PATH: "PATH finds it only relative to the current directory",
        FaultCode.DIRECTORY: "it is a directory",
        FaultCode.NOT_EXECUTABLE: f"nobody may execute it{mode}",
        FaultCode.NOT_PERMITTED: f"the user {user} may not execute it{mode} or not enter {fault.path}",
        FaultCode.UNREADABLE: f"the user {user} may not read it{mode}, as its interpreter must",
        FaultCode.LOOP: "symbolic links lead in a circle",
        FaultCode.NESTED: "scripts interpret each other more than five times",
        FaultCode.USER_UNKNOWN: "there is no such user or group in the image",
        FaultCode.SWITCH_REFUSED: f"only root may become another user, and this runs as {user}",
        FaultCode.OPTION: "this env does not know that option (busybox has no -S)",
        FaultCode.NO_DIRECTORY: f"{fault.path} is in the way and is no directory",
    }
    more = _virtual_environment(facts, step) if fault.code is FaultCode.MISSING else ""
    if not more and fault.code in (FaultCode.MISSING, FaultCode.NOT_IN_PATH):
        more = _elsewhere(facts, step.asked.rpartition("/")[2])
    return reasons.get(fault.code, fault.code.value) + more


def _elsewhere(facts: ImageFacts, name: str) -> str:
    """Programs of that name in other places; "" where there are none, or many."""
    if not name:
        return ""
    found = []
    for path in facts.filesystem.paths_ever(name)[:MAXIMUM_PLACES]:
        entry = facts.filesystem.resolve(path).entry
        if entry is not None and entry.kind is EntryKind.FILE and entry.mode & 0o111:
            found.append(path)
    return f" (there is {phrase(sorted(found), 2)})" if 0 < len(found) <= MAXIMUM_NAMED else ""


def _virtual_environment(facts: ImageFacts, step: ChainStep) -> str:
    """What a virtual environment says of its own origin, where its Python is what is missing."""
    if "python" not in step.asked.rpartition("/")[2]:
        return ""
    candidates = [posixpath.dirname(posixpath.dirname(step.asked))]
    if step.role is StepRole.INTERPRETER:
        candidates.append(posixpath.dirname(posixpath.dirname(step.asked_by)))
    for directory in candidates:
        settings = _settings(facts, f"{directory.rstrip('/')}/pyvenv.cfg")
        if not settings:
            continue
        parts = []
        made_at = settings.get("command", "").rpartition(" ")[2]
        if made_at.startswith("/") and made_at != directory:
            parts.append(f"it was built at {made_at} and is now at {directory}")
        if settings.get("home"):
            parts.append(f"it was made from the Python in {settings['home']}, which must be in the image too")
        return f"; {directory} is a virtual environment: " + ", ".join(parts) if parts else ""
    return ""


def _settings(facts: ImageFacts, path: str) -> dict[str, str]:
    """The settings of a pyvenv.cfg (PEP 405); {} when there is none."""
    lines = (file_text(facts.filesystem, path) or "").splitlines()[:MAXIMUM_SETTINGS]
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
