"""The command `cot-distill`: parse, call, and turn a user's mistake into one sentence.

Exit codes: 0 done; 1 done except for what is named; 2 rejected, nothing written; 130 interrupted.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from ..environment import check_environment
from ..errors import CotDistillError
from ..messages import message, quiet_libraries
from ..names import HOME_PAGE
from .annotation import add_annotation_commands
from .dataset import add_dataset_commands
from .exploration import add_exploration_commands
from .parser import Parser
from .recommendation import add_recommendation_commands
from .students import add_student_commands
from .studies import add_study_commands


# The extra that a command needs, if it is not `eval`.
_EXTRAS = {"train": "train", "annotate": "annotate", "explore": "explore"}
_EXTRAS |= dict.fromkeys(("demo", "study", "recommend"), "train,eval,study")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command. A user's mistake or a missing extra becomes one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    parser = make_parser()
    if not args:
        parser.print_help()
        return 0
    quiet_libraries()
    try:
        check_environment()
        options = parser.parse_args(args)
        return int(options.run(options))
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(args[0], "eval")
        library = str(error.name).partition(".")[0]
        message(f"cot-distill: `{args[0]}` needs {library}: run `pip install 'cot-distill[{extra}]'`.")
        return 2
    except (CotDistillError, OSError) as error:
        message(f"cot-distill: {error}")
        return 2
    except KeyboardInterrupt:
        message("cot-distill: interrupted. Existing files were not changed.")
        return 130


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="cot-distill",
        description="Distill chain-of-thought reasoning into small models.",
        epilog=f"Documentation: {HOME_PAGE}",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('cot-distill')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_dataset_commands(commands)
    add_student_commands(commands)
    add_study_commands(commands)
    add_recommendation_commands(commands)
    add_annotation_commands(commands)
    add_exploration_commands(commands)
    return parser
