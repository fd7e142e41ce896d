"""How a program's name becomes a file: as runc, a shell, env and the kernel look it up.

A name and the process's surroundings enter, a ``ChainStep`` leaves. Mirrors Go's
os/exec.LookPath (called by runc's standard_init_linux.go as the container's user, in the
container's working directory), execvp(3), and fs/exec.c do_open_execat.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field, replace
from imagescan.filesystem.values import Credentials, FileEntry, PathError, PathResolution, RootFilesystem
from imagescan.findings import TrailLine
from imagescan.layers.values import EntryKind
from imagescan.startup.values import ChainFault, ChainStep, FaultCode, StepRole

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker, containerd, Podman
MAXIMUM_PATH_ELEMENTS = 1000  # a PATH of the config is hostile input
MAXIMUM_NAMES = 20_000  # in all directories of PATH together; more are not looked up at once

GO_ERRNO = {
    "ENOENT": "no such file or directory",
    "ENOTDIR": "not a directory",
    "EACCES": "permission denied",
    "ELOOP": "too many levels of symbolic links",
    "ENAMETOOLONG": "file name too long",
    "EISDIR": "is a directory",
    "ENOEXEC": "exec format error",
    "ELIBBAD": "accessing a corrupted shared library",
    "EIO": "input/output error",
}
_CODES = {"EACCES": FaultCode.NOT_PERMITTED, "ELOOP": FaultCode.LOOP, "EISDIR": FaultCode.DIRECTORY}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a name is looked up in: ``search_path`` is the value of PATH, None when it is unset;
    ``variables`` is the whole environment of the process."""

    filesystem: RootFilesystem
    user: Credentials
    directory: str
    search_path: str | None
    variables: Mapping[str, str] = field(default_factory=dict)

    def with_variables(self, variables: Mapping[str, str]) -> Surroundings:
        """The same with another environment."""
        return replace(self, variables=variables, search_path=variables.get("PATH"))

    def with_search_path(self, search_path: str | None) -> Surroundings:
        """The same with another PATH to look names up in."""
        return replace(self, search_path=search_path)

    def with_user(self, user: Credentials) -> Surroundings:
        """The same as another user."""
        return replace(self, user=user)

    def in_directory(self, directory: str) -> Surroundings:
        """The same in another working directory (relative: from this one)."""
        return replace(self, directory=posixpath.normpath(posixpath.join(self.directory, directory)))


def resolve(around: Surroundings, path: str) -> PathResolution:
    """Look one path up as the container's user, from the working directory."""
    return around.filesystem.resolve(path, directory=around.directory, who=around.user)


def execute_error(around: Surroundings, resolution: PathResolution) -> tuple[str, FaultCode] | None:
    """Why this file cannot be executed, before anyone looks at its content: (errno, code).

    A directory gives EISDIR here, as Go's LookPath says; execve itself would say EACCES.
    """
    if resolution.error is not None:
        errno = resolution.error.name
        return errno, _CODES.get(errno, FaultCode.MISSING)
    entry = resolution.entry
    if entry is None:
        return "ENOENT", FaultCode.MISSING
    if entry.kind == EntryKind.DIRECTORY:
        return "EISDIR", FaultCode.DIRECTORY
    if entry.kind == EntryKind.FILE and entry.permits(around.user, 1):
        return None
    nobody = entry.kind == EntryKind.FILE and not entry.mode & 0o111
    return "EACCES", FaultCode.NOT_EXECUTABLE if nobody else FaultCode.NOT_PERMITTED


def absent_path(resolution: PathResolution, requested: str) -> str:
    """The path to blame: where a dangling link points, the missing directory, or the name asked for."""
    stopped = resolution.stopped_at
    if not resolution.hops or resolution.error is not PathError.ENOENT:
        return stopped or requested
    last = resolution.hops[-1]
    target = posixpath.normpath(posixpath.join(posixpath.dirname(last.link), last.target))
    return target if f"{target}/".startswith(f"{stopped}/") else stopped


def look_path(around: Surroundings, name: str) -> ChainStep:
    """exec.LookPath: a name with a slash as it is, another through PATH; with Go's messages."""
    if "/" in name:
        resolution = resolve(around, name)
        error = execute_error(around, resolution)
        fault = _go_fault(name, error, resolution) if error else None
        tried = trail(around, name, resolution)
        return ChainStep(StepRole.PROGRAM, name, "", name, resolution.entry, tried, fault)
    candidate, entry, tried = search(around, name)
    fault = None
    if entry is None:
        message = f'exec: "{_quote(name)}": executable file not found in $PATH'
        fault = ChainFault(FaultCode.NOT_IN_PATH, "ENOENT", message, name)
    elif not candidate.startswith("/"):
        message = f'exec: "{_quote(name)}": cannot run executable found relative to current directory'
        fault = ChainFault(FaultCode.RELATIVE_PATH, "ENOENT", message, name)
    return ChainStep(StepRole.PROGRAM, name, "", candidate, entry, tried, fault)


def trail(around: Surroundings, path: str, resolution: PathResolution) -> tuple[TrailLine, ...]:
    """How one path was looked up: each link followed, and what there was in the end."""
    source = "path" if path.startswith("/") else f"path from {around.directory}"
    lines: list[TrailLine] = []
    current = path
    for hop in resolution.hops:
        lines.append(TrailLine(source, hop.link, f"link to {hop.target}", f"layer {hop.layer}"))
        source = "link"
        current = posixpath.normpath(posixpath.join(posixpath.dirname(hop.link), hop.target))
    error = execute_error(around, resolution)
    if error is None:
        outcome = "found"
    elif resolution.error is None:
        outcome = _not_executable(resolution.entry, error[1])
    else:
        outcome = _outcome_of(error[0])
    stopped = resolution.stopped_at
    detail = f"at {stopped}" if stopped and stopped != current and resolution.error else ""
    return (*lines, TrailLine(source, current, outcome, detail))


def _not_executable(entry: FileEntry | None, code: FaultCode) -> str:
    if entry is None or code is FaultCode.DIRECTORY:
        return "a directory"
    return f"not executable (mode {entry.mode & 0o7777:04o}, owner {entry.uid}:{entry.gid})"


def search(around: Surroundings, name: str) -> tuple[str, FileEntry | None, tuple[TrailLine, ...]]:
    """The first executable of this name in PATH: (path, entry, every place tried)."""
    tried: list[TrailLine] = []
    for directory in _elements(around):
        candidate = posixpath.normpath(posixpath.join(directory or ".", name))
        resolution = resolve(around, candidate)
        error = execute_error(around, resolution)
        if error is None:
            return candidate, resolution.entry, (*tried, TrailLine("PATH", candidate, "found"))
        tried.append(TrailLine("PATH", candidate, _outcome(resolution, error[0])))
    return name, None, tuple(tried)


def executables(around: Surroundings) -> Mapping[str, FileEntry]:
    """``search`` for every name there is: the executables that PATH leads to. None where one of its
    directories is relative, or they have too many names."""
    found: dict[str, FileEntry] = {}
    names = 0
    for directory in map(posixpath.normpath, _elements(around)):
        place = resolve(around, directory).entry if directory.startswith("/") else None
        if not directory.startswith("/") or names > MAXIMUM_NAMES:
            return {}
        for name in around.filesystem.children(place.path) if place else ():
            names += 1
            resolution = None if name in found else resolve(around, f"{directory}/{name}")
            if resolution and resolution.entry and execute_error(around, resolution) is None:
                found[name] = resolution.entry
    return found


def _elements(around: Surroundings) -> list[str]:
    path = DEFAULT_PATH if around.search_path is None else around.search_path
    return path.split(":", MAXIMUM_PATH_ELEMENTS)[:MAXIMUM_PATH_ELEMENTS] if path else []


def search_directories(around: Surroundings) -> frozenset[str]:
    """The canonical paths of the directories in PATH."""
    entries = (resolve(around, directory).entry for directory in set(_elements(around)) if directory)
    return frozenset(entry.path for entry in entries if entry is not None)


def _outcome(resolution: PathResolution, errno: str) -> str:
    if resolution.error is PathError.ENOENT and resolution.hops:
        return f"link to {resolution.stopped_at or resolution.hops[-1].target}, which is absent"
    return _outcome_of(errno)


def _outcome_of(errno: str) -> str:
    return "absent" if errno in ("ENOENT", "ENOTDIR") else GO_ERRNO[errno]


def _go_fault(name: str, error: tuple[str, FaultCode], resolution: PathResolution) -> ChainFault:
    errno, code = error
    detail = GO_ERRNO[errno]
    if resolution.error is not None:  # os.Stat failed, and its error names the path once more
        detail = f"stat {name}: {detail}"
    return ChainFault(code, errno, f'exec: "{_quote(name)}": {detail}', absent_path(resolution, name))


def _quote(text: str) -> str:
    """strconv.Quote, as far as quotes and backslashes go; the rest is escaped where it is shown."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
