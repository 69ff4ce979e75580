"""Label and field selectors, as in a request's query and as in an object's spec.

What the texts may say is that of apimachinery's pkg/labels and pkg/fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object, labels_of
from coalmine_sandbox.api.errors import StatusError, bad_request
from coalmine_sandbox.api.strategy import names

#: A selector is typed by a person or built from a few labels; kube-apiserver bounds the whole URL at some 8 KiB.
_LONGEST: Final = 16_384

Labels = Mapping[str, str]


class Requirement(NamedTuple):
    """One part of a label selector; all parts must hold."""

    key: str
    operator: str  # In, NotIn, Exists, DoesNotExist, Gt, Lt
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        return value is not None and _number_matches(value, self.operator, next(iter(self.values)))


class Selector(NamedTuple):
    """A conjunction; without parts it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


# --- the text of a query -----------------------------------------------------------------------

_SYMBOLS: Final = ("==", "!=", "=", "!", "(", ")", ",", ">", "<")
_TOKEN: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_OPERATORS: Final = {"=": "In", "==": "In", "!=": "NotIn", "in": "In", "notin": "NotIn", ">": "Gt", "<": "Lt"}
_END: Final = ""


def parse_labels(text: str) -> Selector:
    """A query's ``labelSelector``. Raises StatusError (400), worded as labels.Parse words it."""
    if len(text) > _LONGEST:
        raise bad_request(f"unable to parse requirement: a selector of more than {_LONGEST} characters")
    return Selector(tuple(_Parser(text).requirements()))


class _Parser:
    """Reads requirements from left to right; a word such as ``in`` is an operator only after a key."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), _END]
        self._at = 0

    def requirements(self) -> Iterator[Requirement]:
        if self._next == _END:
            return
        if self._next in _SYMBOLS and self._next != "!":
            raise bad_request(f"found '{self._next}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                yield self._requirement()
            except _Unexpected as error:
                raise bad_request(f"unable to parse requirement: {error}") from error
            found = self._take()
            if found == _END:
                return
            if found != ",":
                raise bad_request(f"found '{found}', expected: ',' or 'end of string'")
            if self._next in (*_SYMBOLS, _END) and self._next != "!":
                raise bad_request(f"found '{self._next}', expected: identifier after ','")

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _requirement(self) -> Requirement:
        absent = self._next == "!"
        if absent:
            self._take()
        key = self._identifier()
        if wrong := names.qualified(key):
            raise _Unexpected(f'<nil>: Invalid value: "{key}": {"; ".join(wrong)}')
        if self._next in (_END, ","):
            return Requirement(key, "DoesNotExist" if absent else "Exists")
        word = self._take()
        if word not in _OPERATORS:
            raise _Unexpected(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if word in ("in", "notin") else [self._value()]
        return Requirement(key, _OPERATORS[word], frozenset(_checked(key, _OPERATORS[word], values)))

    def _identifier(self) -> str:
        found = self._take()
        if found == _END or found in _SYMBOLS:
            raise _Unexpected(f"found '{found}', expected: identifier")
        return found

    def _value(self) -> str:
        return "" if self._next in (_END, ",") else self._identifier()

    def _values(self) -> list[str]:
        """What stands between parentheses; nothing between two commas is the empty value."""
        if (found := self._take()) != "(":
            raise _Unexpected(f"found '{found}' expected: '('")
        values = [""] if self._next in (")", ",") else [self._identifier()]
        while (found := self._take()) != ")":
            if found != ",":
                raise _Unexpected(f"found '{found}', expected: ',' or ')'")
            values.append("" if self._next in (")", ",") else self._identifier())
        return values


class _Unexpected(Exception):
    """What a requirement is not."""


def _checked(key: str, operator: str, values: list[str]) -> list[str]:
    for number, value in enumerate(values):
        path = f"values[{number}]"
        if operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?[0-9]{1,19}", value):
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _Unexpected(f'{path}: Invalid value: "{value}": {detail}')
        if wrong := names.label_value(value):
            raise _Unexpected(f'{path}[{key}]: Invalid value: "{value}": {"; ".join(wrong)}')
    return values


def _number_matches(value: str, operator: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if operator == "Gt" else int(value) < int(bound)
    except ValueError:
        return False


def of_object(selector: Mapping[str, Any] | None) -> Selector | None:
    """A metav1.LabelSelector; None (matches nothing) where there is none."""
    if selector is None:
        return None
    requirements = [Requirement(k, "In", frozenset({v})) for k, v in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        requirements.append(Requirement(each["key"], each["operator"], frozenset(each.get("values") or ())))
    return Selector(tuple(requirements))


def text_of(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as kubectl prints it (metav1.FormatLabelSelector)."""
    found = of_object(selector)
    if found is None:
        return "<none>"
    said = []
    for key, operator, values in found.requirements:
        listed = ",".join(sorted(values))
        if operator == "Exists":
            said.append(key)
        elif operator == "DoesNotExist":
            said.append(f"!{key}")
        elif operator == "NotIn":
            said.append(f"{key} notin ({listed})")
        elif len(values) == 1 and key in (selector or {}).get("matchLabels", {}):
            said.append(f"{key}={listed}")
        else:
            said.append(f"{key} in ({listed})")
    return ",".join(sorted(said)) or "<none>"


# --- fields ------------------------------------------------------------------------------------


class FieldTerm(NamedTuple):
    path: str
    equal: bool
    value: str


def parse_fields(text: str, supported: Collection[str], *, default: bool = False) -> tuple[FieldTerm, ...]:
    """A query's ``fieldSelector``; `default`: of a kind that knows only its metadata. Raises StatusError (400)."""
    if len(text) > _LONGEST:
        raise bad_request(f"invalid selector: it has more than {_LONGEST} characters")
    terms = []
    for part in _terms(text):
        found = re.match(r"([^=!]*)(!=|==|=)", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path = found[1]
        if path not in supported:
            only = ", ".join(f'"{each}"' for each in supported)
            known = f'"{path}" is not a known field selector: only {only}'
            raise bad_request(known if default else f"field label not supported: {path}")
        terms.append(FieldTerm(path, found[2] != "!=", _unescaped(part[found.end() :])))
    return tuple(terms)


def exact_name(text: str) -> str:
    """The one name that a query's ``fieldSelector`` asks for, "" where it does not, or cannot be read.

    A role that is bound to names allows a list or a watch of that name (apiserver's RequestInfo).
    """
    try:
        terms = [re.fullmatch(r"metadata\.name==?(.*)", part, re.DOTALL) for part in _terms(text[:_LONGEST])]
        name = next((_unescaped(term[1]) for term in terms if term), "")
    except StatusError:
        return ""
    return "" if name in (".", "..") or "/" in name or "%" in name else name


def _terms(text: str) -> Iterator[str]:
    """The parts between commas; one that belongs to a value has a backslash before it."""
    began, escaped = 0, False
    for at, sign in enumerate(f"{text},"):
        if sign == "," and (not escaped or at == len(text)):
            if at > began:
                yield text[began:at]
            began = at + 1
        escaped = sign == "\\" and not escaped


def _unescaped(value: str) -> str:
    found, escaped = [], False
    for sign in value:
        if escaped:
            if sign not in "\\,=":
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{sign}")
        elif sign == "=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(sign)}")
        escaped = sign == "\\" and not escaped
        if not escaped:
            found.append(sign)
    if escaped:
        raise bad_request("invalid field selector: invalid escape sequence: \\")
    return "".join(found)


def field(obj: Object, path: str) -> str:
    """A selectable field's text; "" where there is none."""
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = value.get(part)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


Match = Callable[[Object], bool]


def matcher(labels: Selector, terms: tuple[FieldTerm, ...], read: Callable[[Object, str], str] = field) -> Match | None:
    """Whether an object is selected; None when everything is."""
    if not labels.requirements and not terms:
        return None

    def matches(obj: Object) -> bool:
        if not labels.matches(labels_of(obj)):
            return False
        return all((read(obj, term.path) == term.value) is term.equal for term in terms)

    return matches
