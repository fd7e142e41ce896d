"""What the startup room hands on: each step from the configured command to a program.

Vocabulary: OCI image specification (config.md: Entrypoint, Cmd, User, WorkingDir, Healthcheck)
and execve(2).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from imagescan.dataclasses import dataclass
from imagescan.filesystem.values import Credentials, FileEntry
from imagescan.findings import TrailLine
from imagescan.layers.values import ImagePath
from imagescan.scripts import Script


class Purpose(StrEnum):
    """What a chain is for."""

    START = "start"  # ENTRYPOINT + CMD
    HEALTHCHECK = "healthcheck"
    SCRIPT = "script"  # an executable script somewhere in the image, asked as if it were started


class StepRole(StrEnum):
    """Why a file is on the chain."""

    PROGRAM = "program"  # named by the config (or the script asked about)
    INTERPRETER = "interpreter"  # named by a #! line
    ENV_PROGRAM = "env program"  # named by the argument of env in a #! line
    SHELL_COMMAND = "shell command"  # the first word of a shell form's command line
    HANDED_OVER = "handed over"  # what a wrapper or a script starts
    SCRIPT_FILE = "script file"  # what an interpreter is given to read


class FaultCode(StrEnum):
    """Why a step fails; the errno is in ``ChainFault.errno``."""

    MISSING = "missing"
    NOT_IN_PATH = "not in PATH"
    RELATIVE_PATH = "found relative to the current directory"
    DIRECTORY = "directory"
    NOT_EXECUTABLE = "not executable"
    NOT_PERMITTED = "not permitted"
    LOOP = "too many links"
    FORMAT = "format"
    SHEBANG = "shebang"
    NESTED = "nested too deep"
    UNREADABLE = "not readable"
    USER_UNKNOWN = "user unknown"
    SWITCH_REFUSED = "user switch refused"
    OPTION = "option not known"
    NO_DIRECTORY = "no working directory"


@dataclass(frozen=True, slots=True)
class ChainFault:
    """Why a step fails. ``message`` is the text of whoever tries (runtime, kernel, env, shell),
    ``path`` the file that is absent or wrong."""

    code: FaultCode
    errno: str
    message: str
    path: str


@dataclass(frozen=True, slots=True)
class Process:
    """What a program on the chain is started as, where that is not what the config says."""

    user: Credentials
    directory: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One file on the way, or the failure to find it.

    ``asked`` is the name as written, ``asked_by`` the file that wrote it ("" for the config), with
    ``line`` the line in it (0 where there is none), ``opened`` the path as opened (links not
    followed). ``certain`` is false when a failure here need not keep the container from starting;
    ``expected`` is false for what is only started in some case that the image does not decide.
    ``process`` is None where it is the container's own.
    """

    role: StepRole
    asked: str
    asked_by: str
    opened: str
    entry: FileEntry | None
    tried: tuple[TrailLine, ...] = ()
    fault: ChainFault | None = None
    certain: bool = True
    expected: bool = True
    process: Process | None = None
    line: int = 0

    @property
    def script(self) -> Script | None:
        """The step's file as a script, if it is one."""
        content = self.entry.content if self.entry else None
        return content if isinstance(content, Script) else None


@dataclass(frozen=True, slots=True)
class StartupChain:
    """From a command line to the programs that it starts.

    ``arguments`` is the whole command line. ``shell_form`` says that a shell reads it. ``steps``
    is empty when nothing is configured; ``note`` then says so. ``open_ends`` say in words where
    something more is started, and why it is not known what.
    """

    purpose: Purpose
    arguments: tuple[str, ...]
    steps: tuple[ChainStep, ...]
    shell_form: bool = False
    note: str = ""
    open_ends: tuple[str, ...] = ()

    @property
    def failing(self) -> ChainStep | None:
        """The first step that fails for sure, else the first that may, or None."""
        failing = [step for step in self.steps if step.fault and step.expected]
        return next((step for step in failing if step.certain), failing[0] if failing else None)

    @property
    def paths(self) -> tuple[ImagePath, ...]:
        """Canonical paths of the files that are started in the ordinary course, in order."""
        return tuple(dict.fromkeys(step.entry.path for step in self.steps if step.entry and step.expected))


@dataclass(frozen=True, slots=True)
class ConfiguredUser:
    """Who runs the container: ``text`` as configured, ``fault`` the runtime's message when the
    name is unknown (then ``credentials`` are root's, to go on with)."""

    text: str
    credentials: Credentials
    fault: str = ""
