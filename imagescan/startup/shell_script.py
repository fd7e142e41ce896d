"""What a shell script starts in an image: a walk through it, with the image's answers.

A ``ShellProgram`` and its surroundings enter, ``Followed`` leaves. What is only known at run time is
an open end, in words.
"""

from __future__ import annotations

import posixpath
from itertools import islice

from imagescan.dataclasses import dataclass
from imagescan.layers.values import EntryKind
from imagescan.scripts import Script as ScriptFile
from imagescan.shell.parser import parse
from imagescan.shell.state import ShellState
from imagescan.shell.syntax import Script, Simple, UnreadableScript
from imagescan.shell.values import Place, Questions, Started
from imagescan.shell.walk import Walk
from imagescan.shell.words import Expander
from imagescan.startup import lookup
from imagescan.startup.lookup import Surroundings
from imagescan.startup.shells import ShellCall

MAXIMUM_LINE = 1 << 16  # characters after -c; a script file has its own limit (``scripts.TEXT_LIMIT``)
MAXIMUM_VARIABLES = 2000  # variables of the image that a script is followed with
MAXIMUM_LOOKUPS = 20_000  # paths looked at for one script
MAXIMUM_STARTED = 64  # programs that one script is followed to
_FILE_TESTS = frozenset({"-e", "-f", "-d", "-x", "-r", "-w", "-s", "-L", "-h", "-a"})


@dataclass(frozen=True, slots=True)
class ShellProgram:
    """A shell's call and the text that it reads; ``path`` is the file, or who gave the line."""

    call: ShellCall
    text: str
    path: str


@dataclass(frozen=True, slots=True)
class StartedProgram:
    """A program that a script starts, with the surroundings that it gets.

    ``expected`` is false where the script may not come by; what ends in the script's own arguments
    (``exec "$@"``) is expected, for a container's command is there to be run.
    """

    words: tuple[str, ...]
    around: Surroundings
    line: int
    replaces: bool
    certain: bool
    expected: bool


@dataclass(frozen=True, slots=True)
class Followed:
    """Where a script leads."""

    started: tuple[StartedProgram, ...] = ()
    open_ends: tuple[str, ...] = ()


def follow_shell(program: ShellProgram, around: Surroundings) -> Followed:
    """Walk through a script; it never fails: what cannot be read is an open end."""
    call = program.call
    if len(program.text) > MAXIMUM_LINE:
        return Followed(open_ends=(f"{program.path}: the command line is too long to be followed",))
    answers = _Answers(around)
    expander = Expander(call.zero, around.user.uid, answers.substitute)
    answers.expander = expander
    walk = Walk(expander, Questions(answers.file_test, answers.is_found, answers.source))
    variables: dict[str, str | None] = dict(islice(around.variables.items(), MAXIMUM_VARIABLES))
    state = ShellState(
        positional=call.positional,
        variables=variables,
        exported=set(variables),
        directory=around.directory,
        errexit=call.errexit,
    )
    if around.search_path is not None:
        state.variables.setdefault("PATH", around.search_path)
        state.exported.add("PATH")
    try:
        walk.script(parse(program.text), state, Place(last=True, decisive=True))
    except (UnreadableScript, RecursionError) as problem:
        reason = str(problem) if isinstance(problem, UnreadableScript) else "it is nested too deep"
        return Followed(open_ends=(f"{program.path}: the script cannot be followed: {reason}",))
    kept = [one for one in walk.started if _matters(one, answers, line=call.line is not None)]
    open_ends = tuple(
        dict.fromkeys(
            f"{program.path}: what line {one.line} starts is only known at run time"
            for one in kept
            if one.words is None
        )
    )
    known = (_program(one, around, call.positional) for one in kept[:MAXIMUM_STARTED] if one.words)
    return Followed(tuple(known), open_ends[:MAXIMUM_STARTED])


def _matters(one: Started, answers: _Answers, *, line: bool) -> bool:
    """Whether a program belongs to the chain: what takes the shell's place or ends the script, and what
    would end it by being absent. Others that may be absent (or come from elsewhere) do not count."""
    if one.words is None:
        return one.replaces or one.last
    if one.replaces or one.last or (line and one.reached):
        return one.certain or (line and one.reached) or bool(answers.is_found(one.words[0], one.state))
    return one.certain and not answers.is_found(one.words[0], one.state)


def _program(one: Started, around: Surroundings, arguments: tuple[str, ...]) -> StartedProgram:
    assert one.words is not None
    inside = around.with_variables(one.state.environment())
    if one.state.variables.get("PATH", "") is None or "PATH" not in one.state.variables:
        inside = inside.with_search_path(around.search_path)
    directory = one.state.directory
    known = directory is not None or one.words[0].startswith("/") or "/" not in one.words[0]
    if directory is not None:
        inside = inside.in_directory(directory)
    certain = one.certain and known and one.state.variables.get("PATH", "") is not None
    hands_on = bool(arguments) and one.words[-len(arguments) :] == arguments
    return StartedProgram(one.words, inside, one.line, one.replaces, certain, one.reached or hands_on)


class _Answers:
    """The image's answers to what a script asks."""

    expander: Expander

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._lookups = 0
        self._sourced: dict[str, Script | None] = {}

    def _exhausted(self, paths: int = 1) -> bool:
        self._lookups += paths
        return self._lookups > MAXIMUM_LOOKUPS

    def _inside(self, state: ShellState) -> Surroundings:
        directory = state.directory or self._around.directory
        path = state.variables.get("PATH")
        return self._around.in_directory(directory).with_search_path(path)

    def is_found(self, name: str, state: ShellState) -> bool | None:
        """Whether a command would be found; None where it may come from elsewhere."""
        around = self._inside(state)
        if self._exhausted((around.search_path or "").count(":") + 1):
            return None
        if "/" in name:
            resolution = lookup.resolve(around, name)
            return True if lookup.execute_error(around, resolution) is None else None
        return True if lookup.search(around, name)[1] is not None else None

    def file_test(self, operator: str, path: str, state: ShellState) -> bool | None:
        """A file test: what the image has is there; what it has not may be mounted or made."""
        if (
            self._exhausted()
            or operator not in _FILE_TESTS
            or (state.directory is None and not path.startswith("/"))
        ):
            return None
        around = self._inside(state)
        entry = lookup.resolve(around, path).entry
        if entry is None:
            return None
        if operator in ("-f", "-s"):
            return entry.kind is EntryKind.FILE and (operator == "-f" or entry.size > 0)
        if operator == "-d":
            return entry.kind is EntryKind.DIRECTORY
        wanted = {"-x": 1, "-w": 2, "-r": 4}.get(operator)
        if wanted is not None:
            return entry.permits(around.user, wanted)
        return True if operator in ("-e", "-a") else None

    def source(self, path: str, state: ShellState) -> Script | None:
        """The commands of a file that is sourced."""
        if self._exhausted():
            return None
        entry = lookup.resolve(self._inside(state), path).entry if "/" in path else None
        content = entry.content if entry else None
        if entry is None or not isinstance(content, ScriptFile) or not content.text:
            return None
        if entry.path not in self._sourced:
            try:
                self._sourced[entry.path] = parse(content.text)
            except UnreadableScript:
                self._sourced[entry.path] = None
        return self._sourced[entry.path]

    def substitute(self, command: str, state: ShellState) -> str | None:
        """The output of the few commands whose output follows from the image."""
        try:
            script = parse(command)
        except UnreadableScript:
            return None
        if len(script) != 1 or script[0].background:
            return None
        return self._chain_output(script, state)

    def _chain_output(self, script: Script, state: ShellState) -> str | None:
        pipelines = script[0].pipelines
        simple = [one.commands[0] for one in pipelines if len(one.commands) == 1 and not one.negated]
        if len(simple) != len(pipelines) or not all(isinstance(one, Simple) for one in simple):
            return None
        words = [
            self.expander.fields(one.words, state)
            for one in simple
            if isinstance(one, Simple) and not one.assignments
        ]
        if len(words) == 2 and script[0].operators == ("&&",) and words[0] and words[0][0] == "cd":
            if words[1] not in (["pwd"], ["pwd", "-P"]) or len(words[0]) != 2 or state.directory is None:
                return None
            return posixpath.normpath(posixpath.join(state.directory, words[0][1]))
        return self._output(words[0], state) if len(words) == 1 and words[0] else None

    def _output(self, words: list[str], state: ShellState) -> str | None:
        if self._exhausted():
            return None
        name, arguments = words[0], [word for word in words[1:] if word != "--"]
        if name == "id" and len(arguments) == 1:
            numbers = {"-u": self._around.user.uid, "-g": self._around.user.gids[0]}
            return str(numbers[arguments[0]]) if arguments[0] in numbers else None
        if name == "pwd" and not arguments:
            return state.directory
        if name == "uname" and arguments in ([], ["-s"]):
            return "Linux"
        if name == "dirname" and len(arguments) == 1:
            return posixpath.dirname(arguments[0].rstrip("/")) or ("/" if arguments[0][:1] == "/" else ".")
        if name == "basename" and len(arguments) == 1:
            return posixpath.basename(arguments[0].rstrip("/"))
        if name in ("readlink", "realpath") and arguments and arguments[0] in ("-f", "-m", "-e"):
            arguments = arguments[1:]
            name = "realpath"
        if name == "realpath" and len(arguments) == 1:
            entry = lookup.resolve(self._inside(state), arguments[0]).entry
            return entry.path if entry else None
        if name in ("which", "command") and arguments:
            wanted = arguments[1:] if arguments[0] == "-v" else arguments
            if len(wanted) == 1 and "/" not in wanted[0] and self.is_found(wanted[0], state):
                candidate, entry, _ = lookup.search(self._inside(state), wanted[0])
                return candidate if entry is not None else None
        return None
