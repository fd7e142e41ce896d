"""Programs that start another one as another user: whom they take, and how they refuse.

A program's name and the user as written enter, ``UserSwitch`` leaves. gosu reads accounts as the
container runtime does (moby/sys/user); the others with getpwnam(3). All need root.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass
from imagescan.filesystem.values import Credentials
from imagescan.startup.credentials import configured_user
from imagescan.startup.lookup import Surroundings

_NO_ACCOUNT = "user {user} does not exist or the user entry does not contain all the required fields"
_UNKNOWN: Mapping[str, str] = {
    "gosu": 'error: failed switching to "{user}": {reason}',
    "su-exec": "su-exec: getpwnam({name}): Success",
    "setpriv": "setpriv: failed to parse reuid: '{user}'",
    "runuser": f"runuser: {_NO_ACCOUNT}",
    "su": f"su: {_NO_ACCOUNT}",
    "chpst": "chpst: fatal: unknown user/group: {user}",
    "setuidgid": "setuidgid: fatal: unknown account {user}",
    "s6-setuidgid": "s6-envuidgid: fatal: unknown user: {user}",
    "chroot": "chroot: invalid user: '{user}'",
    "sudo": "sudo: unknown user {user}",
}
_REFUSED: Mapping[str, str] = {
    "gosu": 'error: failed switching to "{user}": operation not permitted',
    "su-exec": "su-exec: setgroups: Operation not permitted",
    "setpriv": "setpriv: setresuid failed: Operation not permitted",
    "runuser": "runuser: may not be used by non-root users",
    "chpst": "chpst: fatal: unable to setgroups: permission denied",
    "setuidgid": "setuidgid: fatal: unable to setgid: permission denied",
    "s6-setuidgid": "s6-applyuidgid: fatal: unable to set supplementary group list: Operation not permitted",
    "chroot": "chroot: cannot change root directory to '/': Operation not permitted",
}
_PRIMARY_ONLY = frozenset({"chpst", "setuidgid"})
_BY_NAME_ONLY = frozenset({"runuser", "su", "setuidgid", "s6-setuidgid"})


@dataclass(frozen=True, slots=True)
class UserSwitch:
    """Who the command runs as, or the program's message when it cannot (``unknown``: nobody of that
    name; else it lacks the right)."""

    credentials: Credentials
    fault: str = ""
    unknown: bool = False


def refusal_of(program: str, user: str = "") -> str:
    """What a program says that is not allowed to switch; "" where that is not known."""
    return _REFUSED.get(program, "").format(user=user)


def switch_user(program: str, user: str, around: Surroundings) -> UserSwitch:
    """Become ``user`` (``name|uid[:group|gid]``) by one of the programs of this table."""
    names = {"user": user, "name": user.partition(":")[0]}
    if program in _BY_NAME_ONLY and user.isdecimal():
        # No account is found by its number (one might be named so).
        return UserSwitch(around.user, _UNKNOWN[program].format(**names, reason=""), unknown=True)
    wanted = configured_user(user, around.filesystem)
    if wanted.fault:
        template = _UNKNOWN.get(program, "{reason}")
        return UserSwitch(around.user, template.format(**names, reason=wanted.fault), unknown=True)
    if around.user.uid != 0:
        same = program == "setpriv" and wanted.credentials.uid == around.user.uid
        refused = refusal_of(program, user)
        if refused and not same:
            return UserSwitch(around.user, refused)
    return UserSwitch(_groups_of(program, user, wanted.credentials, around))


def _groups_of(program: str, user: str, wanted: Credentials, around: Surroundings) -> Credentials:
    """The supplementary groups, where a program takes others than the runtime would."""
    if program in _PRIMARY_ONLY:
        return Credentials(wanted.uid, wanted.gids[:1])
    if program == "chroot" and ":" in user:
        own = configured_user(user.partition(":")[0], around.filesystem).credentials
        return Credentials(wanted.uid, (wanted.gids[0], *own.gids[1:]))
    return wanted
