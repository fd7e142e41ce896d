"""The configured user, as moby/sys/user reads it."""

from __future__ import annotations

import pytest

from imagescan.filesystem.values import Credentials
from imagescan.startup.values import ConfiguredUser
from tests.startup.images import facts_of

ACCOUNTS = """
base: none
user: "{user}"
files:
  /etc/passwd: {{text: "root:x:0:0::/:/bin/sh\\napp:x:100:200::/:/bin/sh\\n1234:x:5:6::/:\\nbroken\\n"}}
  /etc/group: {{text: "root:x:0:\\nwheel:x:10:root,app\\nstaff:x:50:app\\n"}}
"""


def user(text: str) -> ConfiguredUser:
    return facts_of(ACCOUNTS.format(user=text)).user


@pytest.mark.parametrize(
    ("text", "uid", "gids"),
    [
        ("", 0, (0, 10)),
        ("app", 100, (200, 10, 50)),
        ("100", 100, (200, 10, 50)),
        ("app:wheel", 100, (10,)),
        ("app:77", 100, (77,)),
        ("4711", 4711, (0,)),
        ("4711:4712", 4711, (4712,)),
        ("1234", 1234, (0,)),  # a number is always a uid, never a name
        (":50", 0, (50,)),
    ],
)
def test_known_users(text: str, uid: int, gids: tuple[int, ...]) -> None:
    found = user(text)
    assert (found.credentials, found.fault) == (Credentials(uid, gids), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("app:nobody", "unable to find group nobody: no matching entries in group file"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("-1", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_unknown_users(text: str, message: str) -> None:
    assert user(text).fault == message


def test_without_account_files_only_numbers_work() -> None:
    assert facts_of("{user: app}").user.fault
    assert not facts_of('{user: "1000"}').user.fault
