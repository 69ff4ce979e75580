"""YAML in an annotation: bounded, without aliases, without keys that stand twice.

Its own module, as a sidecar, which is given JSON, need not load the parser (half a megabyte).
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from coalmine.model.errors import SpecError, shown

#: An annotation is written by hand: 64 KiB is far beyond any, and bounds the YAML parser.
MAX_TEXT: Final = 64 * 1024
#: Halves of characters, which JSON's escapes can spell. No text may have one: it has no UTF-8, in which every text is
#: hashed, stored and sent.
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
#: Digits of a number: beyond it Python's own conversions give up with errors of their own.
_MAX_SCALAR: Final = 40


def load(text: str, path: str, advice: str) -> Any:
    """The values of a YAML (or JSON) text. Raises SpecError naming `path` and the line."""
    if len(text) > MAX_TEXT:
        raise SpecError(path, f"{len(text)} characters are too many", f"write at most {MAX_TEXT}")
    try:
        return _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(path, f"not YAML{where}: {problem}", advice) from None


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few bytes of them can stand for gigabytes. Without keys that stand
    twice, too: YAML forbids them, and the loader would drop the first one silently."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if _SURROGATES.search(event.value):
            problem = "there is half a character: write the character itself rather than its escapes \\uD800 to \\uDFFF"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_scalar_node(anchor)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and isinstance(node, yaml.ScalarNode) and len(node.value) > _MAX_SCALAR:
            raise yaml.constructor.ConstructorError(None, None, "the number is too long", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            # a date of the 13th month, an explicit tag on a value that it does not fit: the
            # library's constructors raise whatever Python does
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown(getattr(node, 'value', ''))} is no value of its kind", node.start_mark
            ) from error


def _load(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
