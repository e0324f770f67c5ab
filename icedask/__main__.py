"""Entry point of the command line."""

from icedask.cli import main

if __name__ == "__main__":
    main()
