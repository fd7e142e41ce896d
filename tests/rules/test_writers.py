"""Who could put a library into a directory: path_resolution(7) and unlink(2), asked of small images."""

from __future__ import annotations

import pytest

from imagescan.rules.detectors.writers import Opening, Writers
from imagescan.startup.credentials import accounts
from tests.startup.images import facts_of

PASSWD = r"root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\nops:x:1000:1000::/:/bin/sh\n"
GROUP = r"root:x:0:\nstaff:x:50:ops\n"


def opening(*files: str, keepers: tuple[str, ...] = (), runs_as: int = 0) -> Opening | None:
    """Who gets into /srv/a/lib of an image with these files and two accounts."""
    lines = "".join(f"\n          {line}" for line in files)
    facts = facts_of(
        f"""
        base: debian
        cmd: [sh]
        files:
          /etc/passwd: {{text: "{PASSWD}"}}
          /etc/group: {{text: "{GROUP}"}}{lines}
        """
    )
    return Writers(facts).opening("/srv/a/lib", keepers, runs_as)


def directory(path: str, mode: str = "0755", uid: int = 0, gid: int = 0) -> str:
    return f"{path}: {{directory: true, mode: {mode}, uid: {uid}, gid: {gid}}}"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), None),
        ((directory("/srv/a/lib"),), None),
        ((directory("/srv/a/lib", "0777"),), Opening("any user", "/srv/a/lib", absent=False)),
        ((directory("/srv/a/lib", "01777"),), Opening("any user", "/srv/a/lib", absent=False)),
        ((directory("/srv/a", "0777"),), Opening("any user", "/srv/a", absent=True)),
        ((directory("/srv/a/lib", uid=33),), Opening("web", "/srv/a/lib", absent=False)),
        ((directory("/srv/a/lib", "0775", gid=33),), Opening("web", "/srv/a/lib", absent=False)),
        ((directory("/srv/a/lib", "02775", gid=50),), Opening("ops", "/srv/a/lib", absent=False)),
        ((directory("/srv/a/lib", "0755", gid=50),), None),
        # Its owner may give itself the right.
        ((directory("/srv/a/lib", "0555", uid=33),), Opening("web", "/srv/a/lib", absent=False)),
        # An account that the image does not know owns nothing that anybody here could use.
        ((directory("/srv/a/lib", uid=4711),), None),
    ],
)
def test_who_writes_the_directory_gets_in(files: tuple[str, ...], expected: Opening | None) -> None:
    assert opening(*files) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # What lies in it can be renamed away, and another directory put there.
        ((directory("/srv/a/lib"), directory("/srv/a", "0777")), Opening("any user", "/srv/a", absent=False)),
        ((directory("/srv/a/lib"), directory("/srv", "0777")), Opening("any user", "/srv", absent=False)),
        # Not where the sticky bit keeps it, except by its owner.
        ((directory("/srv/a/lib"), directory("/srv/a", "01777")), None),
        (
            (directory("/srv/a/lib", "0555", uid=33), directory("/srv/a", "01777")),
            Opening("web", "/srv/a/lib", absent=False),
        ),
        # A directory that nobody else may search protects what is below it.
        ((directory("/srv/a/lib", "0777"), directory("/srv/a", "0700")), None),
        (
            (directory("/srv/a/lib", "0777"), directory("/srv/a", "0700", uid=33)),
            Opening("web", "/srv/a/lib", absent=False),
        ),
    ],
)
def test_every_directory_above_counts(files: tuple[str, ...], expected: Opening | None) -> None:
    assert opening(*files) == expected


def test_a_link_leads_to_the_directory_that_counts() -> None:
    found = opening("/srv/a: {link: /tmp/b}", directory("/tmp", "01777"), directory("/tmp/b", "0777"))
    assert found == Opening("any user", "/tmp/b", absent=True)


def test_a_file_in_the_place_of_the_directory_lets_nobody_in() -> None:
    assert opening('/srv/a: {text: "", mode: 0777}') is None
    assert opening('/srv/a/lib: {text: "", mode: 0777}') is None


def test_who_could_change_the_program_gains_nothing() -> None:
    files = (directory("/srv/a/lib", uid=33), '/srv/a/app: {text: "", mode: 0755, uid: 33}')
    assert opening(*files) is not None
    assert opening(*files, keepers=("/srv/a/app",)) is None
    beside = (directory("/srv/a", uid=33), directory("/srv/a/lib", uid=33), '/srv/a/app: {text: ""}')
    assert opening(*beside, keepers=("/srv/a/app",)) is None, "it may put another file in its place"


def test_the_user_that_the_program_runs_as_gains_nothing() -> None:
    assert opening(directory("/srv/a/lib", uid=33), runs_as=33) is None
    assert opening(directory("/srv/a/lib", "0777"), runs_as=33) == Opening(
        "any user", "/srv/a/lib", absent=False
    )


def test_accounts_are_those_of_the_image_with_their_groups() -> None:
    facts = facts_of(
        f"""
        base: debian
        cmd: [sh]
        files:
          /etc/passwd: {{text: "{PASSWD}#none\\nbad:x:y:z\\nhuge:x:99999999999999999999:1::/:/bin/sh\\n"}}
          /etc/group: {{text: "{GROUP}odd:x:q:ops\\n"}}
        """
    )
    found = {name: (one.uid, tuple(one.gids)) for name, one in accounts(facts.filesystem)}
    assert found == {"root": (0, (0,)), "web": (33, (33,)), "ops": (1000, (1000, 50))}
