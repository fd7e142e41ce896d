"""The entry of the command line. Imports nothing before it knows that it must: ``--version``
answers in little more than the time that Python takes to start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the process's arguments and end with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from imagescan import __version__

        sys.stdout.write(f"imagescan {__version__}\n")
        sys.exit(0)
    from imagescan.cli.main import run_process

    run_process(sys.argv[1:])


if __name__ == "__main__":
    main()
