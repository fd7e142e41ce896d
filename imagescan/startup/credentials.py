"""Who runs the container.

The config's User and the text of /etc/passwd and /etc/group enter, ``ConfiguredUser`` leaves.
Mirrors moby/sys/user GetExecUser, which Docker, containerd and Podman share in substance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from imagescan.filesystem.values import Credentials, RootFilesystem
from imagescan.layers.values import EntryKind
from imagescan.startup.values import ConfiguredUser

MAXIMUM_ID = (1 << 31) - 1
MAXIMUM_ACCOUNTS = 500  # records of passwd, of group, and members of one group, when all are asked for
_ROOT = Credentials()


def file_text(filesystem: RootFilesystem, path: str) -> str | None:
    """The text of a small file of the image: "" when absent or empty, None when it was not kept."""
    entry = filesystem.resolve(path).entry
    if entry is None or entry.kind != EntryKind.FILE or entry.size == 0:
        return ""
    text = getattr(entry.content, "text", None)
    return text if isinstance(text, str) else None


def accounts(filesystem: RootFilesystem) -> Iterator[tuple[str, Credentials]]:
    """The image's accounts by name, as passwd lists them, with all their groups; the first
    ``MAXIMUM_ACCOUNTS``. What is no record or has no such number is passed over."""
    groups: dict[str, list[int]] = {}
    for record in islice(_records(file_text(filesystem, "/etc/group") or "", 4), MAXIMUM_ACCOUNTS):
        number = _number(record[2])
        for member in record[3].split(",")[:MAXIMUM_ACCOUNTS] if number is not None else ():
            groups.setdefault(member, []).append(number or 0)
    for record in islice(_records(file_text(filesystem, "/etc/passwd") or "", 4), MAXIMUM_ACCOUNTS):
        uid, gid = _number(record[2]), _number(record[3])
        if uid is not None and gid is not None:
            yield record[0], Credentials(uid, (gid, *groups.get(record[0], ())))


def configured_user(text: str, filesystem: RootFilesystem) -> ConfiguredUser:
    """The credentials of ``User`` (``name|uid[:group|gid]``, empty for root).

    Where the account files exist but could not be read, nobody is called unknown.
    """
    name, _, group = text.partition(":")
    passwd = file_text(filesystem, "/etc/passwd")
    accounts = list(_records(passwd or "", 4))
    wanted = _number(name) if name else 0
    if wanted is not None:
        matches = [account for account in accounts if _number(account[2]) == wanted]
    else:
        matches = [account for account in accounts if account[0] == name]
    uid, gid, login = wanted, 0, ""
    if matches:
        login, uid, gid = matches[0][0], _number(matches[0][2]), _number(matches[0][3]) or 0
    if uid is None:
        if passwd is None:
            return ConfiguredUser(text, _ROOT)
        return _unknown(text, f"unable to find user {name}: no matching entries in passwd file")
    return _with_groups(text, filesystem, (uid, gid, login), group)


def _with_groups(
    text: str, filesystem: RootFilesystem, account: tuple[int, int, str], group: str
) -> ConfiguredUser:
    uid, gid, login = account
    group_file = file_text(filesystem, "/etc/group")
    groups = list(_records(group_file or "", 3))
    supplementary: list[int] = []
    if group:
        wanted = _number(group)
        names = [_number(record[2]) for record in groups if record[0] == group]
        chosen = wanted if wanted is not None else next((found for found in names if found is not None), None)
        if chosen is None and group_file is None:
            return ConfiguredUser(text, Credentials(uid, (gid,)))
        if chosen is None:
            return _unknown(text, f"unable to find group {group}: no matching entries in group file")
        gid = chosen
    elif login:
        members = ((_number(record[2]), record[3].split(",")) for record in groups if len(record) > 3)
        supplementary = [number for number, names in members if number is not None and login in names]
    if not (0 <= uid <= MAXIMUM_ID and 0 <= gid <= MAXIMUM_ID):
        return _unknown(text, "uids and gids must be in range 0-2147483647")
    return ConfiguredUser(text, Credentials(uid, (gid, *supplementary)))


def _unknown(text: str, message: str) -> ConfiguredUser:
    return ConfiguredUser(text, _ROOT, message)


def _records(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        record = line.strip().split(":")
        if len(record) >= fields:
            yield record


def _number(text: str) -> int | None:
    """strconv.Atoi, for decimal digits with an optional sign."""
    digits = text[1:] if text[:1] in "+-" else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
