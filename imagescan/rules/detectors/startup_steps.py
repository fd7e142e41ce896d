"""Steps of the startup chain, the health check and other scripts that fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.facts import ImageFacts, ScriptFacts
from imagescan.filesystem.values import FileEntry
from imagescan.findings import Blame, Certainty, Tier, TrailLine
from imagescan.layers.values import EntryKind
from imagescan.rules.blame import blame_absent, blame_environment, blame_present
from imagescan.rules.blame_config import blame_command, blame_instruction
from imagescan.rules.detectors.registry import Detector, Parameters, text, texts
from imagescan.rules.detectors.startup_reasons import reason_of, user_of
from imagescan.rules.messages import exec_failure
from imagescan.rules.observation import Observation
from imagescan.scripts import Script
from imagescan.startup.execution import refusal
from imagescan.startup.values import ChainFault, ChainStep, FaultCode, StartupChain, StepRole

STEP_VALUES = frozenset({"asked", "asked_by", "absent", "reason", "mode", "user"})
_CUT = "the interpreter's path is cut at 127 bytes, and no such file exists"
OLD_LINE_LIMIT = 128  # BINPRM_BUF_SIZE before Linux 5.1, which cut longer lines silently
_CAUGHT = "unless the command line catches the failure"
_IF_STARTED = "if something starts it"


def failing_steps(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """The failing step of the chain for ``purpose``, where its role and fault are among those wanted.

    Parameters: ``purpose`` (start, healthcheck, script), ``roles``, ``faults``, and ``form``: shell
    for the shell of a shell form, exec for everything else, or any.
    """
    purpose = text(parameters, "purpose")
    if purpose == "script":
        for script in _started_first(facts):
            if script.chain is not None:
                yield from _script_failure(facts, script, script.chain, parameters)
        return
    chain = facts.startup if purpose == "start" else facts.healthcheck
    step = chain.failing if chain else None
    if chain is None or step is None or not _has_form(chain, step, text(parameters, "form")):
        return
    if _wanted(step, parameters):
        yield _observe(facts, step, chain, Tier.STARTUP)


def _started_first(facts: ImageFacts) -> list[ScriptFacts]:
    """Scripts with the one that starts the container first: its failure is what the user meets."""
    started = facts.startup.paths[:1]
    return sorted(facts.scripts, key=lambda script: script.path not in started)


def _has_form(chain: StartupChain, step: ChainStep, form: str) -> bool:
    """Whether the failing program is a shell that is to read a command line, or is not."""
    is_shell = chain.shell_form and step.role is StepRole.PROGRAM
    return form == "any" or is_shell == (form == "shell")


def _wanted(step: ChainStep, parameters: Parameters) -> bool:
    fault = step.fault
    return (
        fault is not None
        and step.role.value in texts(parameters, "roles")
        and fault.code.value in texts(parameters, "faults")
        and not _blames_carriage_return(step)
    )


def _blames_carriage_return(step: ChainStep) -> bool:
    """Whether the name that is missing only carries a CR: ``crlf-shebang`` tells that."""
    return step.role in (StepRole.INTERPRETER, StepRole.ENV_PROGRAM) and step.asked.endswith("\r")


def _script_failure(
    facts: ImageFacts, script: ScriptFacts, chain: StartupChain, parameters: Parameters
) -> Iterator[Observation]:
    """How a script fails where it is started; by itself if it is on no chain."""
    for started in (facts.startup, facts.healthcheck):
        step = started.failing if started else None
        if started is not None and step is not None and _is_part_of(step, script, started):
            if _wanted(step, parameters):
                yield _observe(facts, step, started, Tier.STARTUP, starting=script.path)
            return
    step = chain.failing
    if step is not None and _wanted(step, parameters):
        on_path = script.path.rpartition("/")[0] in facts.search_directories
        yield _observe(facts, step, chain, script.tier, starting=script.path, on_path=on_path)


def _is_part_of(step: ChainStep, script: ScriptFacts, chain: StartupChain) -> bool:
    """Whether a failing interpreter (or what env starts) is that of this script."""
    if step.role not in (StepRole.INTERPRETER, StepRole.ENV_PROGRAM, StepRole.PROGRAM):
        return False
    asked_by = step.asked_by or step.opened
    return any(
        one.entry is not None and one.entry.path == script.path and one.opened == asked_by
        for one in chain.steps
    )


def _observe(
    facts: ImageFacts,
    step: ChainStep,
    chain: StartupChain,
    tier: Tier,
    *,
    starting: str = "",
    on_path: bool = True,
) -> Observation:
    fault = step.fault
    assert fault is not None, "only failing steps are observed"
    starting = starting or chain.steps[0].opened
    certain, condition = step.certain, _CAUGHT
    if tier is not Tier.STARTUP and not on_path:
        certain, condition = False, _IF_STARTED
    return Observation(
        cause=(step.role.value, step.asked),
        object=step.asked_by or starting,
        tier=tier,
        certainty=Certainty.CERTAIN if certain else Certainty.CONDITIONAL,
        items=(step.asked,),
        related=(starting,) if step.asked_by and starting != step.asked_by else (),
        values=_values(facts, step, fault),
        runtime_message=_message(step, fault, tier),
        trail=way_to(chain, step),
        blame=_blame(facts, step, fault),
        condition="" if certain else condition,
    )


def _message(step: ChainStep, fault: ChainFault, tier: Tier) -> str:
    """A script that is no part of the container's start is met from a shell (bash's words)."""
    if tier is Tier.STARTUP or step.role is not StepRole.INTERPRETER:
        return fault.message
    reason = fault.message.rpartition(": ")[2].capitalize()
    return f"{step.asked_by}: {step.asked}: bad interpreter: {reason}"


def way_to(chain: StartupChain, step: ChainStep) -> tuple[TrailLine, ...]:
    """What was tried in order: each file on the way to a step by how it was found, then the step's own
    search."""
    lines: list[TrailLine] = []
    for one in chain.steps:
        if one is step:
            break
        if one.entry is not None and one.fault is None:
            by = f"{one.role.value} of {one.asked_by}" if one.asked_by else one.role.value
            lines.append(TrailLine(by, one.opened, "found", _real(one)))
    if step.tried:
        return (*lines, *step.tried)
    fault = step.fault
    by = f"{step.role.value} of {step.asked_by}" if step.asked_by else step.role.value
    return (*lines, TrailLine(by, step.opened, fault.errno if fault else "found", ""))


def _real(step: ChainStep) -> str:
    return f"is {step.entry.path}" if step.entry and step.entry.path != step.opened else ""


def _values(facts: ImageFacts, step: ChainStep, fault: ChainFault) -> dict[str, str]:
    return {
        "asked": step.asked,
        "asked_by": step.asked_by,
        "absent": fault.path,
        "reason": reason_of(facts, step, fault),
        "mode": f"{step.entry.mode & 0o7777:04o}" if step.entry else "",
        "user": user_of(facts, step),
    }


def _blame(facts: ImageFacts, step: ChainStep, fault: ChainFault) -> tuple[Blame, ...]:
    """Who removed what is missing, or brought what is there and wrong; else who asks for it."""
    if fault.code is FaultCode.NO_DIRECTORY:
        return blame_instruction(facts, "WORKDIR", step.asked) or blame_present(facts, fault.path)
    if fault.code is FaultCode.USER_UNKNOWN:
        return _blame_asker(facts, step) or blame_present(facts, "/etc/passwd")
    if step.entry is not None:
        return blame_present(facts, step.entry.path)
    removed = blame_absent(facts, [fault.path, *(line.candidate for line in step.tried)])
    search = blame_environment(facts, "PATH") if fault.code is FaultCode.NOT_IN_PATH else ()
    return removed or (*_blame_asker(facts, step), *search)


def _blame_asker(facts: ImageFacts, step: ChainStep) -> tuple[Blame, ...]:
    """The layer of the script that names a program, or the instruction."""
    asker = facts.filesystem.resolve(step.asked_by).entry if step.asked_by else None
    if asker is not None and isinstance(asker.content, Script):
        return blame_present(facts, asker.path)
    word = step.asked.rpartition("/")[2]
    return blame_command(facts, word) or blame_instruction(facts, "HEALTHCHECK", word)


def carriage_returns(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Scripts whose first line ends in CR LF and which fail for it."""
    chains = [(facts.startup, Tier.STARTUP), (facts.healthcheck, Tier.STARTUP)]
    chains += [(script.chain, script.tier) for script in facts.scripts]
    seen: set[str] = set()
    for chain, tier in chains:
        step = chain.failing if chain else None
        if chain is None or step is None or step.fault is None or not _blames_carriage_return(step):
            continue
        entry = next((one.entry for one in chain.steps if one.opened == step.asked_by), None)
        path = entry.path if entry else step.asked_by
        if path in seen:
            continue
        seen.add(path)
        yield Observation(
            cause=(path,),
            object=path,
            tier=tier,
            items=(step.asked,),
            values={"interpreter": step.asked.rstrip("\r"), "asked": step.asked},
            runtime_message=step.fault.message,
            trail=way_to(chain, step),
            blame=blame_present(facts, path),
        )


def refused_files(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Files of the chains that the kernel takes for no program: ENOEXEC.

    Parameter ``kind``: ``shebang`` for a ``#!`` line that is too long, ``unknown`` for a file that
    is neither a program nor a usable script.
    """
    unread = {found.path for found in facts.incomplete}
    for chain in (facts.startup, facts.healthcheck):
        for step in chain.steps if chain else ():
            if chain is None or not step.expected:
                continue
            reason = _refusal(step, unread)
            too_long = step.script is not None and step.script.fault is not None and "256" in reason
            if reason and step.entry and too_long == (text(parameters, "kind") == "shebang"):
                condition = "" if step.certain else _CAUGHT
                yield _refused(facts, chain, step, reason, condition)
            elif text(parameters, "kind") == "shebang" and step.entry and _cut_by_old_kernels(facts, step):
                condition = "" if facts.kernel else "on a kernel before 5.1"
                yield _refused(facts, chain, step, _CUT, condition)


def _cut_by_old_kernels(facts: ImageFacts, step: ChainStep) -> bool:
    """Whether a kernel before 5.1 would cut the interpreter's path at its buffer of 128 bytes."""
    if step.fault or step.script is None or (facts.kernel and facts.kernel >= (5, 1, 0)):
        return False
    return len(step.script.interpreter.encode("utf-8", "surrogateescape")) + len("#!") >= OLD_LINE_LIMIT


def _refused(
    facts: ImageFacts, chain: StartupChain, step: ChainStep, reason: str, condition: str
) -> Observation:
    assert step.entry is not None, "a file that is there"
    first = chain.steps[0].opened
    errno = "ENOENT" if reason == _CUT else "ENOEXEC"
    return Observation(
        cause=(step.entry.path,),
        object=step.entry.path,
        tier=Tier.STARTUP,
        certainty=Certainty.CONDITIONAL if condition else Certainty.CERTAIN,
        values={"reason": reason},
        runtime_message=step.fault.message if step.fault else exec_failure(first, errno),
        trail=way_to(chain, step),
        blame=blame_present(facts, step.entry.path),
        condition=condition,
    )


def _refusal(step: ChainStep, unread: set[str]) -> str:
    if step.script is not None:
        return refusal(step.script) if step.fault else ""  # a shell runs what the kernel refuses
    by_kernel = step.role in (StepRole.PROGRAM, StepRole.INTERPRETER)
    if not by_kernel or step.fault or step.entry is None or step.entry.path in unread:
        return ""  # a shell or env that meets ENOEXEC runs the file as a script of its own
    return _unknown_format(step.entry)


def _unknown_format(entry: FileEntry) -> str:
    if entry.content is not None or entry.kind != EntryKind.FILE:
        return ""
    return "it is empty" if entry.size == 0 else "it is no program and does not begin with #!"


def unknown_user(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """The configured user or group does not exist in the image."""
    if facts.user.fault:
        where = "group" if facts.user.fault.startswith("unable to find group") else "passwd"
        yield Observation(
            cause=(facts.user.text,),
            object=f"/etc/{where}",
            tier=Tier.STARTUP,
            items=(facts.user.text,),
            values={"user": facts.user.text, "file": f"/etc/{where}"},
            runtime_message=facts.user.fault,
            trail=_accounts_read(facts, where),
            blame=blame_instruction(facts, "USER", facts.user.text) or blame_present(facts, f"/etc/{where}"),
        )


def _accounts_read(facts: ImageFacts, where: str) -> tuple[TrailLine, ...]:
    files = ("/etc/passwd",) if where == "passwd" else ("/etc/passwd", "/etc/group")
    return tuple(
        TrailLine(
            "accounts",
            file,
            "absent"
            if facts.filesystem.resolve(file).entry is None
            else "no such entry"
            if file == f"/etc/{where}"
            else "found",
        )
        for file in files
    )


def no_command(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """An image with a config that names nothing to start."""
    described = facts.manifest.config_digest is not None or facts.manifest.digest is not None
    if described and not facts.startup.arguments:
        yield Observation(
            cause=("no command",),
            object="/",
            tier=Tier.STARTUP,
            runtime_message="docker: Error response from daemon: no command specified",
            trail=(
                TrailLine("config", "ENTRYPOINT", "absent"),
                TrailLine("config", "CMD", "absent"),
            ),
        )


NO_COMMAND = Detector("no-command", no_command)
FAILING_STEP = Detector(
    "failing-step", failing_steps, {"purpose": str, "roles": tuple, "faults": tuple, "form": str}, STEP_VALUES
)
CARRIAGE_RETURN = Detector("carriage-return", carriage_returns, values=frozenset({"interpreter", "asked"}))
REFUSED_FILE = Detector("refused-file", refused_files, {"kind": str}, frozenset({"reason"}))
UNKNOWN_USER = Detector("unknown-user", unknown_user, values=frozenset({"user", "file"}))
