"""The verbs as a tree of words, read off the parsers: what completion is made of.

Pure. Rules: only what argparse knows is told, so that a verb or a flag that is added is completed
without another line; aliases and the older spellings of a flag (``-w=false``) are understood but not offered.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What stands for a value."""

    NONE = "none"
    ROLLOUT = "rollout"
    FILE = "file"
    WORDS = "words"


_KINDS: Final = {"NAME": Kind.ROLLOUT, "DEPLOYMENT": Kind.ROLLOUT, "FILE": Kind.FILE}


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag by all its names; without a value when `takes_value` is false."""

    names: tuple[str, ...]
    about: str
    takes_value: bool
    value: Kind = Kind.NONE
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Positional:
    """An argument without a flag."""

    value: Kind
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or a group of verbs, at `path`."""

    path: tuple[str, ...]
    about: str
    flags: tuple[Flag, ...]
    positionals: tuple[Positional, ...]
    children: tuple[Command, ...]
    aliases: tuple[str, ...] = ()

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def tree(parser: argparse.ArgumentParser) -> Command:
    """The tree of `parser`."""
    return _command(parser, (), "", ())


def _command(parser: argparse.ArgumentParser, path: tuple[str, ...], about: str, aliases: tuple[str, ...]) -> Command:
    flags, positionals, children = [], [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            children = list(_children(action, path))
        elif action.option_strings:
            names = tuple(n for n in action.option_strings if "=" not in n)
            takes_value = action.nargs != 0
            kind, choices = _value(action)
            flags.append(Flag(names, _plain(action.help), takes_value, kind if takes_value else Kind.NONE, choices))
        else:
            positionals.append(Positional(*_value(action)))
    return Command(path, about, tuple(flags), tuple(positionals), tuple(children), aliases)


def _children(action: argparse._SubParsersAction[argparse.ArgumentParser], path: tuple[str, ...]) -> Iterator[Command]:
    abouts = {choice.dest: _plain(choice.help) for choice in action._choices_actions}
    names: dict[int, list[str]] = {}
    for name, parser in action.choices.items():  # an alias stands for the same parser
        names.setdefault(id(parser), []).append(name)
    for name, *aliases in names.values():
        yield _command(action.choices[name], (*path, name), abouts.get(name, ""), tuple(aliases))


def _value(action: argparse.Action) -> tuple[Kind, tuple[str, ...]]:
    if action.choices is not None:
        return Kind.WORDS, tuple(str(choice) for choice in action.choices)
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return _KINDS.get(metavar.partition("|")[0], Kind.NONE), ()


def _plain(text: str | None) -> str:
    """The first part of a help text: an explanation beside a word has little room."""
    return (text or "").partition(";")[0].strip()
