"""The command line: one module per group of commands. Data goes to stdout, messages to stderr."""

from .commands import main, make_parser


__all__ = ["main", "make_parser"]
