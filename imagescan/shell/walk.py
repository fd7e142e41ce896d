"""What a shell script starts, read without running it.

A parsed script and the state that it begins with enter; ``Started`` values leave, in the order in
which they are come by. Conditions are answered where the image and its config answer them; where
they do not, both ways are gone and nothing found there is certain. Follows XCU 2.8 and 2.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from imagescan.dataclasses import replace
from imagescan.shell.builtins import BUILTINS, HARMLESS, SILENT, Builtin
from imagescan.shell.state import ShellState, merged
from imagescan.shell.syntax import (
    AndOr,
    Case,
    Command,
    Function,
    Group,
    If,
    Loop,
    Opaque,
    Pipeline,
    Script,
    Simple,
    Text,
    UnreadableScript,
    Word,
)
from imagescan.shell.tests import evaluate, negated
from imagescan.shell.values import Place, Questions, Started
from imagescan.shell.words import Expander, is_all_arguments

MAXIMUM_COMMANDS = 5000  # commands looked at for one script, calls of functions counted each time
MAXIMUM_CALLS = 12  # functions and sourced files inside each other

Result: TypeAlias = tuple[bool | None, ShellState | None]
"""Whether a command succeeds (None: not known), and the state after it (None: nothing comes after)."""


class Walk:
    """One walk through one script."""

    def __init__(self, expander: Expander, questions: Questions) -> None:
        self.expander = expander
        self.questions = questions
        self.started: list[Started] = []
        self.calls = 0
        self._commands = 0
        self._returns: list[list[ShellState]] = [[]]
        self._breaks: list[list[ShellState]] = []

    def script(self, items: Script, state: ShellState, place: Place) -> Result:
        """A list of commands.

        Raises:
            UnreadableScript: more than ``MAXIMUM_COMMANDS`` are looked at.
        """
        truth: bool | None = True
        after: ShellState | None = state
        for position, item in enumerate(items):
            assert after is not None
            truth, after = self._and_or(item, after, place.within(last=position == len(items) - 1))
            if after is None:
                break
        return truth, after

    def called(self, body: Script | Command, state: ShellState, place: Place) -> Result:
        """A function's body or a sourced file: ``return`` ends it."""
        if self.calls >= MAXIMUM_CALLS:
            state.certain = False
            return None, state
        self.calls += 1
        self._returns.append([])
        if isinstance(body, tuple):
            truth, after = self.script(body, state, place)
        else:
            truth, after = self._command(body, state, place)
        returned = self._returns.pop()
        self.calls -= 1
        return (None if returned else truth), merged([*returned, after])

    def returns(self, state: ShellState) -> None:
        """``return``: the innermost call ends here."""
        self._returns[-1].append(state)

    def breaks(self, state: ShellState) -> None:
        """``break`` or ``continue``: the innermost loop's round ends here."""
        if self._breaks:
            self._breaks[-1].append(state)

    def _and_or(self, item: AndOr, state: ShellState, place: Place) -> Result:
        if item.background:
            self._chain(item, state.copy(), replace(place.condition, inside=True))
            return True, state
        return self._chain(item, state, place)

    def _chain(self, item: AndOr, state: ShellState, place: Place) -> Result:
        """Pipelines joined by && and ||."""
        truth, after = self._pipeline(item.pipelines[0], state, _before(item, 0, place))
        for position, operator in enumerate(item.operators, start=1):
            if after is None:
                return truth, None
            wanted = operator == "&&"
            pipeline, where = item.pipelines[position], _before(item, position, place)
            if truth is None:
                truth, after = self._perhaps(pipeline, after, where, wanted)
            elif truth is wanted:
                truth, after = self._pipeline(pipeline, after, where)
        return truth, after

    def _perhaps(self, pipeline: Pipeline, state: ShellState, place: Place, wanted: bool) -> Result:
        """A pipeline that depends on an outcome that is not known."""
        known = len(self.started)
        follows = place if wanted and not place.caught else replace(place, reached=False)
        _, after = self._pipeline(pipeline, state.copy(), follows)
        if after is None:
            state.certain &= len(self.started) == known or not wanted
            return (not wanted), state
        return None, merged([state, after])

    def _pipeline(self, pipeline: Pipeline, state: ShellState, place: Place) -> Result:
        if len(pipeline.commands) == 1:
            if pipeline.negated:
                place = replace(place, caught=True)
            truth, after = self._command(pipeline.commands[0], state, place)
            return (negated(truth) if pipeline.negated else truth), after
        for position, command in enumerate(pipeline.commands):
            last = position == len(pipeline.commands) - 1
            inside = replace(place.within(last=last), caught=place.caught or not last, inside=True)
            self._command(command, state.copy(), inside)
        return None, state

    def _command(self, command: Command, state: ShellState, place: Place) -> Result:
        self._commands += 1
        if self._commands > MAXIMUM_COMMANDS:
            raise UnreadableScript("the script is too long to be followed")
        match command:
            case Simple():
                return self._simple(command, state, place)
            case If():
                return self._if(command, state, place)
            case Loop():
                return self._loop(command, state, place)
            case Case():
                return self._case(command, state, place)
            case Group():
                return self._group(command, state, place)
            case Function():
                state.functions[command.name] = command.body
                return True, state
            case Opaque():
                return None, state

    def _group(self, group: Group, state: ShellState, place: Place) -> Result:
        if not group.subshell:
            return self.script(group.body, state, place)
        truth, after = self.script(group.body, state.copy(), replace(place, inside=True))
        return (truth if after is not None else None), state

    def _if(self, command: If, state: ShellState, place: Place) -> Result:
        ends: list[ShellState | None] = []
        known = len(self.started)
        current: ShellState | None = state
        for condition, body in command.arms:
            assert current is not None
            truth, current = self.script(condition, current, place.condition)
            if current is None:
                break
            if truth is None:
                place = replace(place, reached=False)
                ends.append(self.script(body, current.copy(), place)[1])
            elif truth:
                ends.append(self.script(body, current, place)[1])
                current = None
                break
        if current is not None:
            ends.append(self.script(command.otherwise, current, place)[1])
        return None, self._after(ends, known)

    def _case(self, command: Case, state: ShellState, place: Place) -> Result:
        self.expander.assumed = False
        value = self.expander.text(command.word, state)
        if self.expander.assumed:
            value = None
        ends: list[ShellState | None] = []
        known = len(self.started)
        for patterns, body in command.arms:
            answers = [
                None if value is None else self.expander.matches(value, one, state) for one in patterns
            ]
            if True in answers:
                ends.append(self.script(body, state.copy(), place)[1])
                return None, self._after(ends, known)
            if None in answers:
                place = replace(place, reached=False)
                ends.append(self.script(body, state.copy(), place)[1])
        return None, self._after([*ends, state], known)

    def _loop(self, command: Loop, state: ShellState, place: Place) -> Result:
        known = len(self.started)
        inside = replace(place.condition, reached=False)
        start = state.copy()
        if command.name:
            start.assign(command.name, None)
        self._breaks.append([])
        _, after = self.script(command.condition, start, inside)
        if after is not None:
            _, after = self.script(command.body, after, inside)
        ends = [state, after, *self._breaks.pop()]
        return None, self._after(ends, known)

    def _after(self, ends: Sequence[ShellState | None], known: int) -> ShellState | None:
        """Where ways meet; one that ended by starting something leaves the rest uncertain."""
        result = merged(ends)
        if result is not None and None in ends and any(one.replaces for one in self.started[known:]):
            result.certain = False
        return result

    def _simple(self, command: Simple, state: ShellState, place: Place) -> Result:
        expander = self.expander
        expander.assumed = False
        if not command.words:
            for name, word in command.assignments:
                expander.assumed = False
                value = expander.text(word, state)
                state.assign(name, value, assumed=expander.assumed)
            return True, state
        head = command.words[0]
        if len(head) == 1 and isinstance(head[0], Text) and head[0].text in ("[", "test", "[["):
            return self._test(command.words, state), state
        words = expander.fields(command.words, state)
        own = state.copy()
        for name, word in command.assignments:
            own.assign(name, expander.text(word, state), assumed=expander.assumed)
            own.exported.add(name)
        unnamed = self._names_nothing(command, state)
        if not words or not words[0] or unnamed:
            return self._unknown(command, state, own, place, nothing=words == [] and not unnamed)
        own.certain &= not expander.assumed
        return self.run(words, command, state, own, place)

    def _names_nothing(self, command: Simple, state: ShellState) -> bool:
        """Whether the program's name is a variable that is empty here: a deployment is to set it."""
        words = command.words
        head = words[0][0] if words[0] else None
        named = words[1:2] if isinstance(head, Text) and head.text == "exec" else words[:1]
        return bool(named) and not is_all_arguments(named[0]) and self.expander.fields(named, state) == []

    def run(
        self, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
    ) -> Result:
        """A command of known words; ``own`` is the state that it is started in."""
        name = words[0]
        function = state.functions.get(name)
        if function is not None:
            saved, state.positional = state.positional, tuple(words[1:])
            truth, after = self.called(function, state, place)
            if after is not None:
                after.positional = saved
            return truth, after
        builtin: Builtin | None = BUILTINS.get(name)
        if builtin is not None:
            return builtin(self, words, command, state, own, place)
        if name in SILENT:
            return (SILENT[name], state)
        return self.external(words, command, state, own, place)

    def external(
        self, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
    ) -> Result:
        """A program that is started and comes back."""
        decides = not place.caught and (place.decisive or state.errexit)
        self.started.append(
            Started(tuple(words), command.line, False, place.reached, decides, place.last, own)
        )
        if words[0].rpartition("/")[2] not in HARMLESS:
            state.certain = False
        return None, state

    def replaced(
        self, words: tuple[str, ...] | None, command: Simple, own: ShellState, place: Place
    ) -> ShellState | None:
        """``exec``: the shell ends here (a subshell only itself)."""
        decides = not (place.inside and place.caught)
        last = place.last or not place.inside
        self.started.append(Started(words, command.line, not place.inside, place.reached, decides, last, own))
        return None

    def _unknown(
        self, command: Simple, state: ShellState, own: ShellState, place: Place, *, nothing: bool
    ) -> Result:
        """A command whose words are only known at run time, or that has none after expansion."""
        if nothing:
            return True, state
        first = self.expander.fields(command.words[:1], state)
        name = first[0] if first else ""
        if name == "exec":
            rest = command.words[1:]
            return None, self.replaced(None, command, own, place) if rest else state
        if name in BUILTINS:
            return BUILTINS[name](self, [name], command, state, own, place)
        if name in state.functions:
            own.positional = None
            saved, state.positional = state.positional, None
            truth, after = self.called(state.functions[name], state, place)
            if after is not None:
                after.positional = saved
            return truth, after
        if name in SILENT:
            return None, state
        if name:
            # The program is known, its arguments are not.
            return self.external([name], command, state, replace(own, certain=False), place)
        if place.last:
            self.started.append(Started(None, command.line, False, place.reached, True, True, own))
        state.certain = False
        return None, state

    def _test(self, words: Sequence[Word], state: ShellState) -> bool | None:
        texts: list[str | None] = []
        name = words[0][0].text if isinstance(words[0][0], Text) else ""
        for word in words[1:]:
            self.expander.assumed = False
            value = self.expander.text(word, state)
            texts.append(None if self.expander.assumed else value)
        if name == "[":
            if not texts or texts[-1] != "]":
                return None
            texts.pop()
        return evaluate(
            texts,
            lambda operator, path: self.questions.file_test(operator, path, state),
            patterns=name == "[[",
        )


def _before(item: AndOr, position: int, place: Place) -> Place:
    """The place of one pipeline of several: what follows || looks at its failure."""
    last = position == len(item.pipelines) - 1
    if last:
        return place
    following = item.operators[position:]
    caught = place.caught or ("||" in following and not _only_fails(item, position))
    # The left side of && never ends a script by set -e.
    caught |= following[0] == "&&" and not place.decisive
    return replace(place, last=False, caught=caught)


def _only_fails(item: AndOr, position: int) -> bool:
    """Whether what follows the first || only ends the script in failure."""
    at = position + item.operators[position:].index("||") + 1
    commands = item.pipelines[at].commands
    first = commands[0]
    if len(commands) != 1 or not isinstance(first, Simple) or not first.words:
        return False
    texts = ["".join(part.text for part in word if isinstance(part, Text)) for word in first.words]
    return texts[0] in ("exit", "return", "false") and texts[1:] != ["0"]
