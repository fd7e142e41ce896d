"""What a program whose work is to start another one starts.

A wrapper's command line and its surroundings enter, the command line that it executes leaves, with
the user, directory and variables that it gives it. The options are data (``wrapper_table``).
"""

from __future__ import annotations

from collections.abc import Iterator

from imagescan.dataclasses import dataclass, replace
from imagescan.filesystem.values import Credentials
from imagescan.patterns import pattern
from imagescan.startup.account_switch import UserSwitch, refusal_of, switch_user
from imagescan.startup.env_program import read_env
from imagescan.startup.lookup import Surroundings
from imagescan.startup.tellers import C_ERRNO, DJB_ERRNO, GOSU, Teller, execvp_teller
from imagescan.startup.wrapper_table import BUSYBOX_WRAPPERS, SUPERVISORS, WRAPPERS, Wrapper

MAXIMUM_GROUPS = 64
_NICE_NUMBER = pattern(r"-[-+]?[0-9]+")
_ENV = "env"


@dataclass(frozen=True, slots=True)
class Handed:
    """What a program starts.

    ``words`` is the command line, () where it is not known; then ``open_end`` says why. ``fault`` is
    the wrapper's own message where it gives up before it starts anything: it cannot become the user
    (``unknown_user``: there is none of that name), or does not take an ``option``. ``certain`` is false where
    whether it starts that at all depends on something that the image does not say.
    """

    words: tuple[str, ...]
    around: Surroundings
    teller: Teller
    certain: bool = True
    fault: str = ""
    unknown_user: bool = False
    option: str = ""
    open_end: str = ""


@dataclass(frozen=True, slots=True)
class _Options:
    """Options read: names (without dashes) and values in order, and the words after them."""

    given: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]

    def last(self, *names: str) -> str | None:
        """The value of the last of these options, None when none is given."""
        return next((value for name, value in reversed(self.given) if name in names), None)


def wrapper_of(name: str, *, busybox: bool) -> Wrapper | None:
    """The row of the table for a program by its name, or None for a program that is no wrapper."""
    return (BUSYBOX_WRAPPERS.get(name) if busybox else None) or WRAPPERS.get(name)


def failed_to_execute(name: str) -> Teller:
    """How util-linux tells that it cannot execute a command."""
    return execvp_teller(f"{name}: failed to execute {{name}}: {{reason}}")


def supervised(name: str) -> str:
    """What a supervisor starts, in words; "" for a program that is none."""
    services = SUPERVISORS.get(name, "")
    return f"{name} starts {services}" if services else ""


def handed_over(words: tuple[str, ...], around: Surroundings, *, busybox: bool = False) -> Handed | None:
    """What a wrapper starts.

    Args:
        words: its own command line; the first word is its name or path.
        around: its user, directory and variables.
        busybox: the program is an applet of busybox.

    Returns:
        None when it is no wrapper, or starts nothing. An option that the table does not have gives
        an ``open_end``: where the command begins is not known then.
    """
    name = words[0].rpartition("/")[2]
    wrapper = wrapper_of(name, busybox=busybox)
    if wrapper is None:
        return None
    teller = _teller(wrapper, name, words[0], busybox=busybox)
    if name == _ENV:
        return _env(words[1:], around, teller, busybox=busybox)
    try:
        options = _read_options(wrapper, words[1:], numbers=name == "nice")
    except _UnknownOption as unknown:
        return Handed((), around, teller, open_end=f"{name} has the option {unknown}, which is not known")
    if options is None:
        return None
    command = options.rest[wrapper.operands :]
    if name == "sudo":
        command = tuple(_after_assignments(command))
    if not command:
        return None
    return _changed(name, wrapper, options, Handed(command, around, teller, wrapper.sure))


def _teller(wrapper: Wrapper, name: str, written: str, *, busybox: bool) -> Teller:
    if name == "gosu":
        return GOSU
    program = name if busybox or wrapper.message.startswith("{program}: failed to execute") else written
    return execvp_teller(wrapper.message.replace("{program}", program), DJB_ERRNO if wrapper.djb else C_ERRNO)


class _UnknownOption(Exception):
    """An option that the table does not have."""


def _read_options(wrapper: Wrapper, words: tuple[str, ...], *, numbers: bool) -> _Options | None:
    """getopt_long with ``+``. None where an option ends the program before it starts anything."""
    given: list[tuple[str, str]] = []
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("-") or word == "-":
            break
        position += 1
        if word == "--":
            break
        if numbers and _NICE_NUMBER.fullmatch(word):
            continue
        following = words[position] if position < len(words) else None
        read = (
            _long(wrapper, word[2:], following) if word[:2] == "--" else _short(wrapper, word[1:], following)
        )
        if any(name in wrapper.ends for name, _, _ in read):
            return None
        given += [(name, value) for name, value, _ in read]
        position += read[-1][2]
    return _Options(tuple(given), words[position:])


def _long(wrapper: Wrapper, text: str, following: str | None) -> list[tuple[str, str, int]]:
    """One long option, possibly abbreviated: (name, value, words of value consumed)."""
    name, equals, value = text.partition("=")
    known = (*wrapper.long_flags, *wrapper.long_values, *(end for end in wrapper.ends if len(end) > 1))
    exact = [one for one in known if one.rstrip("?") == name]
    found = exact or [one for one in known if one.startswith(name)]
    if len(found) != 1:
        raise _UnknownOption(f"--{name}")
    takes_value = found[0] in wrapper.long_values and not found[0].endswith("?")
    full = found[0].rstrip("?")
    if equals or not takes_value:
        return [(full, value, 0)]
    if following is None:
        raise _UnknownOption(f"--{name} without a value")
    return [(full, following, 1)]


def _short(wrapper: Wrapper, letters: str, following: str | None) -> list[tuple[str, str, int]]:
    """A cluster of short options."""
    read: list[tuple[str, str, int]] = []
    for position, letter in enumerate(letters):
        rest = letters[position + 1 :]
        if letter in wrapper.ends:
            return [*read, (letter, "", 0)]
        if letter in wrapper.values:
            if not rest and following is None:
                raise _UnknownOption(f"-{letter} without a value")
            return [*read, (letter, rest or following or "", 0 if rest else 1)]
        if letter in wrapper.optional:
            return [*read, (letter, rest, 0)]
        if letter not in wrapper.flags:
            raise _UnknownOption(f"-{letter}")
        read.append((letter, "", 0))
    return read


def _after_assignments(words: tuple[str, ...]) -> Iterator[str]:
    begun = False
    for word in words:
        begun = begun or "=" not in word
        if begun:
            yield word


def _changed(name: str, wrapper: Wrapper, options: _Options, handed: Handed) -> Handed | None:
    """With the user, group and directory that the wrapper gives its command."""
    around = handed.around
    if wrapper.user:
        return _switched(handed, switch_user(name, options.rest[wrapper.user - 1], around))
    if name == "setpriv":
        return _setpriv(options, handed)
    if name == "chroot":
        if options.rest[0].rstrip("/") not in ("", "/."):
            return replace(handed, words=(), open_end=f"chroot starts {handed.words[0]} in another root")
        handed = replace(handed, around=around.in_directory("/"))
        if around.user.uid != 0:
            return replace(handed, fault=refusal_of(name))
        spec = options.last("userspec")
        handed = _switched(handed, switch_user(name, spec, around)) if spec else handed
        listed = options.last("groups")
        return handed if listed is None else _with_groups(handed, listed)
    if name == "chpst":
        spec = options.last("u")
        if options.last("/") not in (None, "/"):
            return replace(handed, words=(), open_end=f"chpst starts {handed.words[0]} in another root")
        if options.last("b") is not None or options.last("e") is not None:
            handed = replace(handed, certain=False)
        directory = options.last("C")
        handed = replace(handed, around=around.in_directory(directory) if directory else around)
        return _switched(handed, switch_user(name, spec, around)) if spec else handed
    if name == "sudo":
        spec = options.last("u", "user") or "root"
        return _switched(handed, switch_user(name, spec, around))
    if name == "flock" and handed.words[0] in ("-c", "--command"):
        return replace(handed, words=("/bin/sh", "-c", *handed.words[1:2]))
    return handed


def _switched(handed: Handed, switch: UserSwitch) -> Handed:
    if switch.fault:
        return replace(handed, fault=switch.fault, unknown_user=switch.unknown)
    return replace(handed, around=handed.around.with_user(switch.credentials))


def _setpriv(options: _Options, handed: Handed) -> Handed:
    """Only the effective ids decide what a command may open."""
    around = handed.around
    uid, gid = options.last("reuid", "euid"), options.last("regid", "egid")
    credentials = around.user
    if uid is not None:
        switch = switch_user("setpriv", uid, around)
        if switch.fault:
            return replace(handed, fault=switch.fault, unknown_user=switch.unknown)
        credentials = Credentials(switch.credentials.uid, credentials.gids)
        if options.last("init-groups") is not None:
            credentials = Credentials(credentials.uid, (credentials.gids[0], *switch.credentials.gids[1:]))
    if gid is not None and gid.isdecimal():
        credentials = Credentials(credentials.uid, (int(gid), *credentials.gids[1:]))
    if options.last("clear-groups") is not None:
        credentials = Credentials(credentials.uid, credentials.gids[:1])
    sure = handed.certain and (gid is None or gid.isdecimal())
    if options.last("reset-env") is not None:
        sure = False
    handed = replace(handed, around=around.with_user(credentials), certain=sure)
    listed = options.last("groups")
    return handed if listed is None else _with_groups(handed, listed)


def _with_groups(handed: Handed, listed: str) -> Handed:
    """With these supplementary groups in place of the user's own; names make it uncertain."""
    names = listed.split(",")[:MAXIMUM_GROUPS]
    groups = tuple(int(one) for one in names if one.isdecimal() and len(one) < 11)
    user = handed.around.user
    around = handed.around.with_user(Credentials(user.uid, (user.gids[0], *groups)))
    return replace(handed, around=around, certain=handed.certain and len(groups) == len(names))


def _env(words: tuple[str, ...], around: Surroundings, teller: Teller, *, busybox: bool) -> Handed | None:
    call = read_env(words, around.variables, busybox=busybox)
    if call.refused and busybox and call.refused.startswith(("-S", "-vS")):
        # No busybox until 1.37 has it, and later ones may.
        message = "env: unrecognized option: S"
        return Handed((), around, teller, certain=False, fault=message, option=call.refused)
    if call.refused:
        return Handed((), around, teller, open_end=f"env {call.refused[:80]} cannot be read")
    if not call.words:
        return None
    surroundings = around.with_variables(call.variables)
    if call.directory:
        surroundings = surroundings.in_directory(call.directory)
    return Handed(call.words, surroundings, teller)
