"""How the command line is parsed: the parser of each command, and the types of its arguments.

Each type raises ArgumentTypeError, which the parser shows as one sentence.
"""

import argparse
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ..errors import nearest
from ..names import RELEASE_NAME, ROW_PARTS


class Parser(argparse.ArgumentParser):
    """argparse with "did you mean" for commands, options and choices, and errors of one sentence."""

    passes_on = False  # `train`: arguments that are not its own are those of sft.py

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See `{self.prog} --help`.\n")

    def print_help(self, file: Any = None) -> None:
        if self.passes_on:
            from ..training.arguments import make_parser

            make_parser().print_help(file)
        super().print_help(file)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.passes_on:
            namespace, namespace.arguments = super().parse_known_args(args, namespace)
            return namespace, []
        options = list(self._option_string_actions)
        for arg in args or ():
            if self._subparsers and not arg.startswith("-"):
                break  # the options behind a command are the command's
            name = arg.partition("=")[0]
            if arg.startswith("--") and not any(option.startswith(name) for option in options):
                self.error(f"unknown option `{name}`: use {nearest(name, options, limit=3)}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"unknown `{value}`: use {nearest(value, action.choices, limit=8)}")


def filled_text(text: str) -> str:
    """Return a text that is UTF-8 and not empty."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from error
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def usable_path(text: str) -> Path:
    """Return the path of an argument, whether there is such a file or not."""
    path = Path(filled_text(text))
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error.strerror}") from error
    return path


def column_map(text: str) -> dict[str, str]:
    """Return the columns by part of `PART=COLUMN,PART=COLUMN,…`."""
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    for part, column in pairs:
        if part not in ROW_PARTS or not column:
            raise argparse.ArgumentTypeError(f"{part!r} is not PART=COLUMN: a part is {nearest(part, ROW_PARTS)}")
    return dict(pairs)


def positive(text: str) -> int:
    """Return a positive number."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def points(text: str) -> float:
    """Return a difference of accuracies in points, between 0 and 100."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of points between 0 and 100")
    return number


def model_args(text: str) -> dict[str, Any]:
    """Return the arguments of lm-eval's model by name."""
    if not all("=" in argument for argument in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE,NAME=VALUE,…")
    from lm_eval.utils import simple_parse_args_string

    return dict(simple_parse_args_string(text))


def add_command(commands: Any, run: Callable[[argparse.Namespace], int], **options: Any) -> Parser:
    """Add the command `the-name` of a function `_the_name`, whose docstring is a sentence and an example."""
    description, example = (part.strip() for part in (run.__doc__ or "").split("\n\n"))
    name = run.__name__[1:].replace("_", "-")
    command: Parser = commands.add_parser(
        name, help=description, description=description, epilog=f"Example: {example}", **options
    )
    command.set_defaults(run=run)
    return command


def add_folder(command: Parser) -> None:
    """Add the argument for the release folder."""
    folder = Path(RELEASE_NAME)
    command.add_argument(
        "folder", type=usable_path, nargs="?", default=folder, metavar="DIR", help="default: %(default)s"
    )
