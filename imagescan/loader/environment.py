"""What surrounds a process when the kernel starts it: the inputs of the simulation besides files.

Enters from the image's config (and what-if options); leaves unchanged into every search. Follows
``loader.md`` sections 1, 4.8 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field, replace
from imagescan.filesystem.values import Credentials, FileEntry

_SET_USER_ID, _SET_GROUP_ID, _GROUP_EXECUTE = 0o4000, 0o2000, 0o010


@dataclass(frozen=True, slots=True)
class ProcessEnvironment:
    """The environment of the programs of one image.

    ``cpu`` lists the enabled glibc-hwcaps names of the target machine, best first, such as
    ``("x86-64-v3", "x86-64-v2")``; empty is the baseline. ``cpu_stated`` says that this is the
    machine, and not only the least that the platform has. ``kernel`` is the running kernel's
    version, for ABI tags; ``kernel_stated`` that it was given. ``page_size`` is the kernel's in bytes,
    None when it was not given. ``elevated`` says that ``credentials`` are those that a set-id program has
    got from its file. ``bind_now`` and the LD_* variables are read from ``variables``.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    credentials: Credentials = field(default_factory=Credentials)
    cpu: tuple[str, ...] = ()
    cpu_stated: bool = False
    kernel: tuple[int, int, int] = (6, 0, 0)
    kernel_stated: bool = False
    page_size: int | None = None
    elevated: bool = False

    def variable(self, name: str) -> str:
        """A variable's value, empty when unset."""
        return self.variables.get(name, "")

    @property
    def stated_kernel(self) -> tuple[int, int, int] | None:
        """The kernel's version where the caller stated it."""
        return self.kernel if self.kernel_stated else None

    def is_secure(self, program: FileEntry) -> bool:
        """AT_SECURE: ids or capabilities that the user does not have already (``loader.md`` 2.6;
        fs/exec.c bprm_fill_uid, security/commoncap.c)."""
        who = self.credentials
        if self.elevated:
            return True
        if program.mode & _SET_USER_ID and program.uid != who.uid:
            return True
        if program.mode & _SET_GROUP_ID and program.mode & _GROUP_EXECUTE and program.gid not in who.gids[:1]:
            return True
        return program.capability is not None and who.uid != 0

    def elevated_by(self, program: FileEntry) -> ProcessEnvironment | None:
        """What surrounds a set-id program once it runs; None for every other program. Its file's ids
        decide what its loader may open, after the kernel has opened the interpreter as the user
        (fs/exec.c bprm_fill_uid, begin_new_exec)."""
        who = self.credentials
        uid = program.uid if program.mode & _SET_USER_ID else who.uid
        sets_group = program.mode & _SET_GROUP_ID and program.mode & _GROUP_EXECUTE
        gids = (program.gid, *who.gids[1:]) if sets_group else who.gids
        if self.elevated or Credentials(uid, gids) == who:
            return None
        return replace(self, credentials=Credentials(uid, gids), elevated=True)
