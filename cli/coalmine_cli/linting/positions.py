"""Where a field of a manifest stands: from its path to a line.

Pure. Paths are those of `SpecError`: ``spec.template.spec.containers[0].name``,
``metadata.annotations[coalmine.dev/canary].steps[0]``; behind an annotation the path goes on in its text.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

Token = str | int

_TOKEN: Final = re.compile(r"\[([^\[\]]*)\]|([^.\[\]]+)")
#: A path as it stands in a sentence; a field behind it may have any name.
_PATH: Final = re.compile(r"(?<![\w.])(?:metadata|spec)(?:\.[^\s:;,.\[\]]+|\[[^\[\]\s]+\])+")


def tokens(path: str) -> list[Token]:
    """The steps of `path`; a number in brackets is an index."""
    found: list[Token] = []
    for bracket, word in _TOKEN.findall(path):
        text = bracket or word
        found.append(int(text) if bracket.isascii() and bracket.isdigit() and len(bracket) < 7 else text)
    return found


def path_in(sentence: str) -> str:
    """The first path that `sentence` names; "" when it names none."""
    match = _PATH.search(sentence)
    return match[0] if match else ""


def line_of(node: yaml.Node, path: str) -> int:
    """The line (from 1) of the field at `path` below `node`, or of the nearest one around it."""
    return _line(node, tokens(path), node.start_mark.line + 1)


def _line(node: yaml.Node, path: list[Token], line: int) -> int:
    for at, token in enumerate(path):
        if isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if getattr(p[0], "value", None) == str(token)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(token, int) and token < len(node.value):
            node = node.value[token]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.ScalarNode) and node.style == "|":
            return _inside(node, path[at:], line)
        else:
            return line
    return line


def _inside(scalar: yaml.ScalarNode, path: list[Token], line: int) -> int:
    """The line of a field of the YAML that the block `scalar` holds; its text begins a line below the ``|``."""
    try:
        node = yaml.compose(scalar.value, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return line
    if node is None:
        return line
    return scalar.start_mark.line + 1 + _line(node, path, 1)
