"""Arguments: which a template wants, which it was given, and ``{{args.x}}`` replaced by them.

Rules (Argo's): a template's own value is a default that a given one overrides; a declared
argument without any value is refused, even if nothing uses it; a given one that no template declares
is passed over. ``{{args.x}}`` and ``{{ args.x }}`` are replaced in every string of a metric,
keys of mappings included; other ``{{...}}`` stay as they are. A replaced value is not looked
at again, so that an argument cannot bring in another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from coalmine.model.errors import SpecError
from coalmine_controller.analysis.fields import Fields, shown

_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PREFIX: Final = "args."
MAX_ARGUMENTS: Final = 100  # far more than anyone writes; keeps the substitution's work bounded


def declared(raw: Any, path: str) -> dict[str, str | None]:
    """The arguments that ``spec.args`` declares, each with its own value if it has one. Raises SpecError."""
    if raw is None:
        return {}
    if not isinstance(raw, list):
        raise SpecError(path, f"{shown(raw)} is not a list", "write [{name: NAME}]")
    if len(raw) > MAX_ARGUMENTS:
        raise SpecError(path, f"{len(raw)} arguments are too many", f"write at most {MAX_ARGUMENTS}")
    found: dict[str, str | None] = {}
    for i, entry in enumerate(raw):
        fields = Fields(entry, f"{path}[{i}]", "write {name: NAME, value: VALUE}")
        fields.known(("name", "value"), ("valueFrom",))
        name = fields.text("name")
        if name in found:
            raise SpecError(fields.at("name"), f"{name!r} is declared twice", "write it once")
        found[name] = None if fields.raw("value") is None else fields.text("value", "")
    return found


def merge(templates: Mapping[str, Mapping[str, str | None]], given: Mapping[str, str]) -> dict[str, str]:
    """The value of every argument that some template declares.

    `templates` maps what an error calls a template to its `declared` arguments. Raises
    SpecError for one without a value, and for one that two templates give different values.
    """
    values: dict[str, str | None] = {}
    for template, arguments in templates.items():
        for name, value in arguments.items():
            other = values.get(name)
            if name not in given and value is not None and other is not None and value != other:
                raise SpecError(
                    f"{template}: spec.args",
                    f"{name!r} has another value than in the template before it",
                    "give the argument where the templates are named",
                )
            values[name] = given.get(name, value if other is None else other)
    for template, arguments in templates.items():
        for name in arguments:
            if values[name] is None:
                raise SpecError(
                    f"{template}: spec.args",
                    f"{name!r} has no value",
                    f"add {{name: {name}, value: VALUE}} to the args",
                )
    return {name: value for name, value in values.items() if value is not None}


def substitute(raw: Any, values: Mapping[str, str], path: str) -> Any:
    """`raw` with the placeholders in its strings replaced. Raises SpecError for an unknown argument."""
    if isinstance(raw, str):
        return _PLACEHOLDER.sub(lambda match: _replacement(match, values, path), raw)
    if isinstance(raw, list):
        return [substitute(item, values, f"{path}[{i}]") for i, item in enumerate(raw)]
    if isinstance(raw, dict):
        return {substitute(key, values, path): substitute(value, values, f"{path}.{key}") for key, value in raw.items()}
    return raw


def used(raw: Any) -> set[str]:
    """The names of the arguments that the strings of `raw` ask for."""
    if isinstance(raw, str):
        tags = (match[1].strip() for match in _PLACEHOLDER.finditer(raw))
        return {tag.removeprefix(_PREFIX) for tag in tags if tag.startswith(_PREFIX)}
    if isinstance(raw, list):
        return set().union(*(used(item) for item in raw))
    if isinstance(raw, dict):
        return set().union(*(used(part) for pair in raw.items() for part in pair))
    return set()


def _replacement(match: re.Match[str], values: Mapping[str, str], path: str) -> str:
    tag = match[1].strip()
    if not tag.startswith(_PREFIX):
        return match[0]
    name = tag.removeprefix(_PREFIX)
    if name not in values:
        known = f"declared are {', '.join(sorted(values))}" if values else "none is declared"
        raise SpecError(path, f"{{{{{tag}}}}} names no argument", f"declare it in spec.args; {known}")
    return values[name]
