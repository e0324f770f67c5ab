"""The command line: each command parses, calls one public function and prints."""

from icedask.cli.program import Interrupted, main

__all__ = ["Interrupted", "main"]
