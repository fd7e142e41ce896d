"""The machine that a caller states: CPU level, kernel, page size.

``ScanOptions`` enter, the machine's part of a ``ProcessEnvironment`` leaves; what is not stated is the
least that the platform has.
"""

from __future__ import annotations

from imagescan.errors import UsageError
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.platforms import cpu_levels, known_cpu_levels
from imagescan.options import ScanOptions
from imagescan.patterns import pattern

_KERNEL = pattern(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-+~.].{0,64})?")
PAGE_SIZES = {"4k": 4096, "16k": 16384, "64k": 65536}


def stated_machine(options: ScanOptions) -> ProcessEnvironment:
    """The machine that the caller states.

    Raises:
        UsageError: no such CPU level, kernel or page size.
    """
    levels = _levels(options.cpu)
    machine = ProcessEnvironment(cpu=levels or (), cpu_stated=levels is not None)
    return ProcessEnvironment(
        cpu=machine.cpu,
        cpu_stated=machine.cpu_stated,
        kernel=_kernel(options.kernel) if options.kernel is not None else machine.kernel,
        kernel_stated=options.kernel is not None,
        page_size=_page_size(options.page_size),
    )


def _levels(cpu: str | None) -> tuple[str, ...] | None:
    """The glibc-hwcaps names of a CPU level; None when none is stated."""
    if cpu is None:
        return None
    levels = cpu_levels(cpu)
    if levels is None:
        raise UsageError(
            f"unknown CPU level {cpu!r}", advice="choose one of " + ", ".join(known_cpu_levels())
        )
    return levels


def _kernel(text: str) -> tuple[int, int, int]:
    """The numbers of a release as ``uname -r`` says it."""
    match = _KERNEL.fullmatch(text)
    if match is None:
        raise UsageError(f"not a kernel release: {text!r}", advice="write it as uname -r does, such as 5.10")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _page_size(text: str | None) -> int | None:
    if text is None:
        return None
    size = PAGE_SIZES.get(text.lower().removesuffix("ib").removesuffix("b"))
    if size is None:
        raise UsageError(f"no such page size: {text!r}", advice="choose one of " + ", ".join(PAGE_SIZES))
    return size
