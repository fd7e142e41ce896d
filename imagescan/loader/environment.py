"""What surrounds a process when the kernel starts it: the inputs of the simulation besides files.

Enters from the image's config (and what-if options); leaves unchanged into every search. Follows
``loader.md`` sections 1, 4.8 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field
from imagescan.filesystem.values import Credentials, FileEntry

_SET_USER_ID, _SET_GROUP_ID, _GROUP_EXECUTE = 0o4000, 0o2000, 0o010


@dataclass(frozen=True, slots=True)
class ProcessEnvironment:
    """The environment of the programs of one image.

    ``cpu`` lists the enabled glibc-hwcaps names of the target machine, best first, such as
    ``("x86-64-v3", "x86-64-v2")``; empty is the baseline. ``cpu_stated`` says that this is the
    machine, and not only the least that the platform has. ``kernel`` is the running kernel's
    version, for ABI tags; ``kernel_stated`` that it was given. ``page_size`` is the kernel's in bytes,
    None when it was not given. ``bind_now`` and the LD_* variables are read from ``variables``.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    credentials: Credentials = field(default_factory=Credentials)
    cpu: tuple[str, ...] = ()
    cpu_stated: bool = False
    kernel: tuple[int, int, int] = (6, 0, 0)
    kernel_stated: bool = False
    page_size: int | None = None

    def variable(self, name: str) -> str:
        """A variable's value, empty when unset."""
        return self.variables.get(name, "")

    def is_secure(self, program: FileEntry) -> bool:
        """AT_SECURE: ids or capabilities that the user does not have already (``loader.md`` 2.6;
        fs/exec.c bprm_fill_uid, security/commoncap.c)."""
        who = self.credentials
        if program.mode & _SET_USER_ID and program.uid != who.uid:
            return True
        if program.mode & _SET_GROUP_ID and program.mode & _GROUP_EXECUTE and program.gid not in who.gids[:1]:
            return True
        return program.capability is not None and who.uid != 0
