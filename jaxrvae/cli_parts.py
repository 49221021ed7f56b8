"""What the commands of the command line share."""

import argparse
from typing import Any


def verb(verbs: Any, name: str, text: str, example: str, command: Any) -> Any:
    """A subcommand whose help ends in one worked example."""
    parser = verbs.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command, refuse=parser.error)
    return parser


def add_input(parser: Any) -> None:
    """What images are read by."""
    parser.add_argument("--channel", help="its number, or the name of one in the file")
    parser.add_argument(
        "--pixel-size", type=float, metavar="NM", help="nm a pixel, if files lack it"
    )


def add_training(parser: Any) -> None:
    """What the model and its training are told."""
    parser.add_argument("--epochs", type=int, metavar="N", help="default: 4000 steps")
    parser.add_argument("--learning-rate", type=float, metavar="RATE")
    parser.add_argument("--content-dim", type=int, metavar="N", help="default 2")
    parser.add_argument("--seed", type=int, metavar="N")


def add_quiet(parser: Any) -> None:
    """How much is said."""
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
