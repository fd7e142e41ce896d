"""The real program does in the image what a finding says that it cannot do.

In: a ``Break``. Out: what the program said. Needs root.
"""

from __future__ import annotations

from pathlib import Path

from tests.oracle.chroot import execute
from tests.oracle.plugins import opens, with_probe
from tests.silence.breaks import Break, Opened
from tests.silence.images import root


def said(one: Break) -> str:
    """The words of the loader, or of the program that met it; "" when nothing went wrong."""
    directory = root(one.image)
    if isinstance(one.proof, Opened):
        return _opened(directory, one.proof)
    command, *arguments = one.proof.command
    ended = execute(directory, command, arguments, environment=one.proof.environment)
    return ended.out + ended.err if ended.code else ""


def _opened(directory: Path, proof: Opened) -> str:
    with with_probe(directory) as view:
        answer = opens(view, proof.host, (proof.plugin,), now=True, shared=False)
    assert answer is not None, f"{proof.host} did not run the probe"
    return answer
