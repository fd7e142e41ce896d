"""How one start of a program ends, in the same words for a real run and for a link map.

In: an ``Ended`` process or a ``LinkMap``. Out: an ``Outcome``. Both sides use the loader's own words,
so that the messages are compared too.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from imagescan.loader.missing_symbols import Binding
from imagescan.loader.values import How, LinkMap, LoaderKind
from tests.oracle.chroot import Ended
from tests.oracle.truth import VDSO

OWN = (How.LOADER, How.VDSO, How.RESERVED)
WARNINGS = ("preload-failed", "no-version-information", "wrong-machine-loaded")  # the loader goes on
GLIBC_PREFIX = "error while loading shared libraries: "


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reason`` is "" when the program starts, then ``objects`` are the paths in the link map, in load
    order, without program, loader and vDSO. Otherwise it is the first failure in the loader's words."""

    reason: str = ""
    objects: tuple[str, ...] = ()


def starts(*objects: str) -> Outcome:
    """The program runs with these objects, by the paths that the loader opened."""
    return Outcome("", objects)


def fails(reason: str) -> Outcome:
    """The program does not start."""
    return Outcome(reason)


def absent(name: str) -> Outcome:
    """glibc does not find a library (the first one: it stops there)."""
    return Outcome(f"{name}: cannot open shared object file: No such file or directory")


def musl_absent(name: str) -> Outcome:
    """musl does not find a library."""
    return Outcome(f"{name}: No such file or directory")


def of_run(ended: Ended, interpreter: str) -> Outcome:
    """What a real run of a trap's program showed."""
    if ended.exec_error:
        return Outcome(ended.exec_error)
    if ended.code == 0 and ended.out.startswith("started\n"):
        names = re.findall(r"^object (.*)$", ended.out, re.M)
        return Outcome("", tuple(name for name in names if name not in (interpreter, *VDSO, "")))
    if ended.code < 0:
        return Outcome(signal.Signals(-ended.code).name)
    return Outcome(_glibc_reason(ended.err) or _musl_reason(ended.err) or f"code {ended.code}: {ended.err}")


def _glibc_reason(err: str) -> str:
    if match := re.search(re.escape(GLIBC_PREFIX) + r"(.*)", err):
        return re.sub(r"^(.*: )?(\S+: version `)", r"\2", match[1])
    if versions := re.findall(r"^\S+: (\S+): version `(.*)' not found \(required by (.*)\)$", err, re.M):
        return "; ".join(f"version {name} not in {provider} for {by}" for provider, name, by in versions)
    if match := re.search(
        r"symbol lookup error: (\S+): undefined symbol: (\S+?)(?:, version (\S+))?$", err, re.M
    ):
        return f"undefined symbol {match[2]} of {match[1]}"
    if match := re.search(r"^(\S+: CPU ISA level is lower than required)$", err, re.M):
        return match[1]
    if "Inconsistency detected by ld.so" in err:
        return "Assertion " + err.split("Assertion ")[-1].strip()
    return ""


def _musl_reason(err: str) -> str:
    if match := re.search(r"^Error loading shared library (.+: .+?)(?: \(needed by .*\))?$", err, re.M):
        return match[1]
    if match := re.search(r"^Error relocating (\S+): (\S+): symbol not found$", err, re.M):
        return f"undefined symbol {match[2]} of {match[1]}"
    if match := re.search(r"^(Error relocating \S+: .*)$", err, re.M):
        return match[1]
    return ""


def of_link_map(model: LinkMap) -> Outcome:
    """What imagescan says of the same start: its first certain failure, in the loader's order."""
    if model.interpreter_fault:
        return Outcome(model.interpreter_fault[0])
    for resolution in model.missing:
        assert resolution.missing is not None
        about = resolution.missing.stopped_by or resolution.needed
        return Outcome(f"{about}: {resolution.missing.message}")
    versions = [miss for miss in model.missing_versions if not miss.weak]
    if versions:
        return Outcome(
            "; ".join(
                f"version {miss.version} not in {miss.provider} for {miss.needed_by}" for miss in versions
            )
        )
    for fault in model.faults:
        if fault.code not in WARNINGS:
            return Outcome(fault.message)
    musl = model.loader is not None and model.loader.kind is LoaderKind.MUSL
    for miss in model.missing_symbols:
        if musl or miss.binding is Binding.IMMEDIATE:
            return Outcome(f"undefined symbol {miss.symbol} of {miss.needed_by}")
    return Outcome("", tuple(one.path for one in model.objects[1:] if one.how not in OWN))
