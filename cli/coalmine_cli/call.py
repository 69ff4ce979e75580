"""One call of a verb: its arguments, the terminal, and time, which is passed in.

Also the arguments that verbs share, and the shape that a verb's file has: `declare(verbs)` adds its
parser and says which coroutine runs it. Verbs import the API client only when they run.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from coalmine_cli.terminal import Terminal

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

#: Kinds that people write before a name.
_KINDS: Final = ("deployment", "deployments", "deploy", "rollout", "rollouts", "ro")

#: Exit codes; also told by `--help`.
DONE = 0
REFUSED = 1
USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Call:
    """What a verb gets. `clock` gives Unix time, `pause` waits for some seconds."""

    arguments: argparse.Namespace
    terminal: Terminal
    clock: Callable[[], float]
    pause: Callable[[float], Awaitable[None]]


Run: TypeAlias = Callable[[Call], Coroutine[Any, Any, int]]


def add_verb(
    verbs: Verbs, name: str, run: Run, *, about: str, more: str = "", aliases: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A verb's parser, which takes the global flags too: they may stand before or behind it."""
    description = f"{about[0].upper()}{about[1:]}. {more}".strip()
    parser = verbs.add_parser(name, help=about, description=description, aliases=aliases)
    add_global_flags(parser)
    parser.set_defaults(run=run)
    return parser


def add_global_flags(parser: argparse.ArgumentParser) -> None:
    """Absent flags leave no trace, so that those before the verb are not overwritten by its own defaults."""
    group = parser.add_argument_group("cluster")
    quiet = argparse.SUPPRESS
    group.add_argument("-n", "--namespace", default=quiet, help="namespace; default: that of the kubeconfig's context")
    group.add_argument("--context", default=quiet, help="context of the kubeconfig; default: its current one")
    group.add_argument("--kubeconfig", default=quiet, metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--no-color", action="store_true", default=quiet, help="no colours; $NO_COLOR does the same")


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=bare_name, help="name of the Deployment; its Rollout has the same")


def bare_name(text: str) -> str:
    """`text` without a kind before it: ``deployment/colorapi`` is what people write for kubectl."""
    kind, separator, name = text.rpartition("/")
    if not separator:
        return text
    if kind.partition(".")[0].lower() not in _KINDS or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no Deployment: write NAME, or deployment/NAME")
    return name


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """`-o`; `more` are formats besides text, json and yaml."""
    choices = ("text", "json", "yaml", *more)
    help_ = f"{', '.join(choices)}; default: text"
    parser.add_argument("-o", "--output", choices=choices, default="text", metavar="FORMAT", help=help_)
