"""What a caller starts otherwise than the image's config says: program, variables, user, directory.

An ``ImageConfig`` and ``ScanOptions`` enter, the config as the container would get it leaves, and what
was overridden as text for the report. Semantics of Kubernetes (``command``, ``args``, ``env``,
``runAsUser`` and ``workingDir`` of core/v1 Container) and of ``docker run``, which agree.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.dataclasses import replace
from imagescan.findings import Override
from imagescan.options import ScanOptions
from imagescan.sources.values import ImageConfig


def overridden(config: ImageConfig, options: ScanOptions) -> ImageConfig:
    """The config as the container would be started with.

    An entrypoint also drops the image's Cmd (the arguments were meant for another program); a
    command replaces Cmd alone.
    """
    if options.entrypoint is not None:
        config = replace(config, entrypoint=options.entrypoint, cmd=None)
    if options.command is not None:
        config = replace(config, cmd=options.command)
    if options.user is not None:
        config = replace(config, user=options.user)
    if options.working_directory is not None:
        config = replace(config, working_dir=options.working_directory)
    return replace(config, env=with_variables(config.env, options.variables))


def with_variables(lines: tuple[str, ...], wanted: Iterable[str]) -> tuple[str, ...]:
    """Environment lines with those wanted in place of equally named ones, the others in their order.

    ``NAME=value`` sets and ``NAME=`` sets to nothing; ``NAME`` alone removes, as ``docker run -e
    NAME`` does for a name that the caller has not set: nothing of the caller's own gets in.
    """
    changes = {one.partition("=")[0]: one if "=" in one else None for one in wanted}
    kept = [line for line in lines if line.partition("=")[0] not in changes]
    return (*kept, *(line for line in changes.values() if line is not None))


def described(options: ScanOptions) -> tuple[Override, ...]:
    """What was overridden, for the report: the option's name and its value as it could be given."""
    found = [Override("add", one) for one in options.added]
    stated = {
        "rebase": options.rebase,
        "base": options.base,
        "kernel": options.kernel,
        "page-size": options.page_size,
    }
    found += [Override(name, value) for name, value in stated.items() if value is not None]
    if options.entrypoint is not None:
        found.append(Override("entrypoint", _joined(options.entrypoint)))
    if options.command is not None:
        found.append(Override("cmd", _joined(options.command)))
    found += [Override("env", variable) for variable in options.variables]
    if options.user is not None:
        found.append(Override("user", options.user))
    if options.working_directory is not None:
        found.append(Override("workdir", options.working_directory))
    return tuple(found)


def _joined(words: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(words)
