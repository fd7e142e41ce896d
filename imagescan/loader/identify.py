"""Which dynamic loader serves a file, and what the kernel says before it runs.

A program's PT_INTERP, or the ABI of a library, enters; ``LoaderIdentity`` leaves. The path is
only a hint: the file behind it is read. Mirrors fs/binfmt_elf.c ``load_elf_binary`` and follows
``loader.md`` sections 2.1, 3 and 8.
"""

from __future__ import annotations

from imagescan.elf.facts import ElfFacts, LoaderStrings
from imagescan.filesystem.values import FileEntry, PathError, PathResolution, RootFilesystem
from imagescan.layers.values import EntryKind, ImagePath
from imagescan.loader.candidates import matches_machine
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.platforms import platform_of
from imagescan.loader.values import LoaderFault, LoaderIdentity, LoaderKind
from imagescan.patterns import pattern

_LEAST_LEVEL = "x86-64-v2"  # of builds that look at all
CPU_TOO_OLD = f"Fatal glibc error: CPU does not support {_LEAST_LEVEL}"
KERNEL_TOO_OLD = "FATAL: kernel too old"
_NO_KERNEL_CHECK = (2, 36)  # the first glibc that does not look at the kernel's release

_MUSL_NAME = pattern(r"(?:.*/)?ld-musl-[^/]*|(?:.*/)?libc\.so")
_GLIBC_NAME = pattern(
    r"(?:.*/)?(?:ld-linux[^/]*\.so\.\d|ld64\.so\.\d|ld\.so\.1|ld-lsb[^/]*\.so\.\d|ld-\d[^/]*\.so)"
)


def identify_loader(
    filesystem: RootFilesystem, environment: ProcessEnvironment, interpreter: str
) -> LoaderIdentity:
    """The loader that an interpreter path leads to in the image. A path without a file still
    tells by its name which loader was meant."""
    resolution = filesystem.resolve(
        interpreter, directory=environment.working_directory, who=environment.credentials
    )
    content = resolution.entry.content if resolution.entry else None
    elf = content if isinstance(content, ElfFacts) else None
    strings = elf.loader_strings if elf else None
    return LoaderIdentity(
        kind=_kind(strings, interpreter),
        requested=interpreter,
        resolution=resolution,
        elf=elf,
        version=_version(filesystem, strings),
    )


def _kind(strings: LoaderStrings | None, interpreter: str) -> LoaderKind:
    if strings is not None:
        if strings.musl_version or strings.musl_architecture or strings.is_gcompat_stub:
            return LoaderKind.MUSL
        return LoaderKind.GLIBC
    if _MUSL_NAME.fullmatch(interpreter):
        return LoaderKind.MUSL
    return LoaderKind.GLIBC if _GLIBC_NAME.fullmatch(interpreter) else LoaderKind.OTHER


def _version(filesystem: RootFilesystem, strings: LoaderStrings | None) -> tuple[int, ...] | None:
    if strings is None:
        return None
    if strings.musl_version:
        return tuple(int(part) for part in strings.musl_version.split("-")[0].split("."))
    if strings.glibc_version:
        return strings.glibc_version
    # Loaders before 2.33 do not state their version; the libc beside them does.
    for directory in strings.system_directories:
        entry = filesystem.resolve(directory + "libc.so.6").entry
        if entry and isinstance(entry.content, ElfFacts) and entry.content.loader_strings:
            return entry.content.loader_strings.glibc_version
    return None


def kernel_refusal(
    elf: ElfFacts, loader: LoaderIdentity, environment: ProcessEnvironment
) -> tuple[str, str] | None:
    """The errno name and text with which execve fails for the sake of the interpreter, or None."""
    if elf.interpreter_fault:
        return "ENOEXEC", "Exec format error"
    entry = loader.resolution.entry
    if entry is None:
        return _path_refusal(loader.resolution)
    if entry.kind != EntryKind.FILE or not entry.permits(environment.credentials, 1):
        return "EACCES", PathError.EACCES.value
    if loader.elf is None:
        return _not_elf(entry)
    if loader.elf.elf_class != elf.elf_class or not matches_machine(elf, loader.elf):
        return "ELIBBAD", "Accessing a corrupted shared library"
    return None


def loader_refusal(
    filesystem: RootFilesystem, loader: LoaderIdentity, environment: ProcessEnvironment
) -> LoaderFault | None:
    """What glibc's loader says before anything else of a machine that it was not built for; None for
    what nobody stated.

    A CPU below x86-64-v2 (``init_cpu_features``; the file tells no higher level). A kernel older than the
    build's (``DL_SYSDEP_OSCHECK``, elf/rtld.c, until 2.35): the loader's file has no note of it, the libc
    of the same build beside it has.
    """
    strings = loader.elf.loader_strings if loader.elf else None
    if strings is None or loader.kind is not LoaderKind.GLIBC:
        return None
    if strings.refuses_old_cpus and environment.cpu_stated and _LEAST_LEVEL not in environment.cpu:
        return LoaderFault("cpu-level", loader.path or loader.requested, CPU_TOO_OLD)
    if not environment.kernel_stated or loader.version is None or loader.version >= _NO_KERNEL_CHECK:
        return None
    for directory in strings.system_directories:
        entry = filesystem.resolve(directory + "libc.so.6").entry
        if entry is not None and isinstance(entry.content, ElfFacts):
            floor = entry.content.abi_tag
            if floor is not None and floor > environment.kernel:
                return LoaderFault("kernel-too-old", loader.path or loader.requested, KERNEL_TOO_OLD)
    return None


def static_refusal(path: ImagePath, elf: ElfFacts, environment: ProcessEnvironment) -> LoaderFault | None:
    """The same check in a program that has glibc in it (csu/libc-start.c); which glibc it is cannot be
    seen."""
    if not environment.kernel_stated or elf.abi_tag is None or elf.abi_tag <= environment.kernel:
        return None
    return LoaderFault("kernel-too-old", path, KERNEL_TOO_OLD, "if it was linked with glibc before 2.36")


def _path_refusal(resolution: PathResolution) -> tuple[str, str]:
    error = resolution.error or PathError.ENOENT
    return error.name, error.value


def _not_elf(entry: FileEntry) -> tuple[str, str]:
    if entry.size < 52:
        return "EIO", "Input/output error"
    return "ELIBBAD", "Accessing a corrupted shared library"


def libc_flavour(elf: ElfFacts) -> LoaderKind | None:
    """Which libc a file without interpreter was linked for, or None when it does not say."""
    if any(
        version.name.startswith("GLIBC_") for need in elf.version_needs for version in need.versions
    ) or any(name in ("libc.so.6", "libc.so.6.1") or name.startswith("ld-linux") for name in elf.needed):
        return LoaderKind.GLIBC
    if any(name == "libc.so" or name.startswith("libc.musl-") for name in elf.needed):
        return LoaderKind.MUSL
    strings = elf.loader_strings
    if strings is not None:
        return LoaderKind.MUSL if strings.musl_architecture else LoaderKind.GLIBC
    return None


def standard_interpreter(elf: ElfFacts, kind: LoaderKind) -> str | None:
    """The usual PT_INTERP of a file's ABI under a libc, or None for an unknown ABI."""
    platform = platform_of(elf)
    if platform is None or kind == LoaderKind.OTHER:
        return None
    return platform.glibc_interpreter if kind == LoaderKind.GLIBC else platform.musl_interpreter
