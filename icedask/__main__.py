"""Entry point of the command line."""

import sys


def main() -> None:
    """Run the command line; an interrupt while modules are loaded is no mistake to trace."""
    try:
        from icedask.cli import main as run
    except KeyboardInterrupt:
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
