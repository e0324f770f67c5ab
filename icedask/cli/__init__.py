"""The command line: each command parses, calls one public function and prints."""

from icedask.cli.program import main

__all__ = ["main"]
