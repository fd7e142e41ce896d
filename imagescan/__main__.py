"""The entry of the command line. Imports nothing before it knows that it must: ``--version``
answers in little more than the time that Python takes to start."""

from __future__ import annotations

import os
import sys

BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells report it
NOT_JUDGED = 2


def main() -> None:
    """Run the command line with the process's arguments and end the process with its exit code."""
    _replace_closed_streams()
    try:
        if sys.argv[1:] in (["--version"], ["-V"]):
            from imagescan import __version__

            sys.stdout.write(f"imagescan {__version__}\n")
            code = 0
        else:
            from imagescan.cli.unchanged import answer

            known = answer(sys.argv[1:], os.environ)
            code = _run(sys.argv[1:]) if known is None else known
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:  # nobody takes the output
        code = BROKEN_PIPE if isinstance(error, BrokenPipeError) else NOT_JUDGED
    # Everything is written. Python would flush again, and take apart each value of a scan by itself.
    os._exit(code)


def _run(arguments: list[str]) -> int:
    import gc

    # A scan makes many long-lived values and hardly a cycle: collecting costs a tenth of it for nothing.
    gc.disable()
    from imagescan.cli.main import run_process

    return run_process(arguments)


def _replace_closed_streams() -> None:
    """Python has None for a standard stream that was closed (``>&-``): nobody reads it."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - pathlib is slow to import
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115


if __name__ == "__main__":
    main()
