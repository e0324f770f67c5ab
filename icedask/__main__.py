"""Entry point of the command line."""

import os
import sys


def main() -> None:
    """Run the command line; an interrupt while modules are loaded is no mistake to trace."""
    try:
        from icedask.cli import Interrupted
        from icedask.cli import main as run
    except KeyboardInterrupt:
        sys.exit(1)
    try:
        run()
    except Interrupted:
        # Python would wait for the thread that computes a block.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
