"""What functions take and give, as far as it is known before evaluation.

Rules: expr-lang's own, one of two forms. Either a function has overloads, and an argument fits
as Go would have it fit (`overloads`), or it looks at its arguments' types itself (the functions
below). What is not known fits everywhere, and is looked at again when the function is called.
A wrong type raises ValueError with a sentence; types that a function gives may be wrong (``mean``
of integers is not an integer): conditions get the same answers as there only by the same mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from coalmine_controller.analysis.conditions.kinds import (
    ANY_MAP,
    ANYTHING,
    BOOL,
    FLOAT,
    INT,
    INT64,
    LIST,
    STRING,
    STRINGS,
    UNKNOWN,
    Kind,
    Type,
    assignable,
    element_of,
)

Signature = Callable[[str, Sequence[Type]], Type]


class ArgumentError(ValueError):
    """The argument at `position`, counted from 0, does not fit."""

    def __init__(self, position: int, problem: str) -> None:
        self.position = position
        super().__init__(problem)


def overloads(*forms: tuple[tuple[Type, ...], Type]) -> Signature:
    """A function of one or several lists of parameters; the first that fits says what it gives."""

    def check(name: str, given: Sequence[Type]) -> Type:
        fault: ValueError | None = None
        for parameters, gives in forms:
            if len(parameters) == len(given):
                unfit = [index for index, wanted in enumerate(parameters) if not _fits(wanted, given[index])]
                if not unfit:
                    return gives
                fault = fault or _unfit(name, given, unfit[0])
        raise fault or ValueError(_wrong_number(name, [len(parameters) for parameters, _ in forms], given))

    return check


def _fits(wanted: Type, found: Type) -> bool:
    # An integer passes for a number here; `check` turns those that are written down into numbers.
    if found.integer and wanted.number:
        return True
    return (found.unknown and found.kind is not Kind.NIL) or assignable(found, wanted)


def _wrong_number(name: str, wanted: Sequence[int], given: Sequence[Type]) -> str:
    words = " or ".join(str(number) for number in sorted(set(wanted)))
    return f"{name} takes {words} argument{'' if words == '1' else 's'}, not {len(given)}"


def _unfit(name: str, given: Sequence[Type], position: int) -> ArgumentError:
    return ArgumentError(position, f"{name} does not take {given[position].words}")


def _of_kinds(name: str, given: Sequence[Type], position: int, kinds: frozenset[Kind]) -> None:
    if not given[position].unknown and given[position].kind not in kinds:
        raise _unfit(name, given, position)


def one_of(gives: Type, *kinds: Kind) -> Signature:
    """A function of one argument of these kinds."""

    def check(name: str, given: Sequence[Type]) -> Type:
        if len(given) != 1:
            raise ValueError(_wrong_number(name, [1], given))
        _of_kinds(name, given, 0, frozenset(kinds))
        return gives

    return check


_NUMBERS: Final = (Kind.INT, Kind.INT64, Kind.FLOAT)


def absolute(name: str, given: Sequence[Type]) -> Type:
    """abs: of the type of its argument."""
    one_of(FLOAT, *_NUMBERS)(name, given)
    return _bare(given[0])


def end_of_list(name: str, given: Sequence[Type]) -> Type:
    """first, last."""
    one_of(ANYTHING, Kind.LIST)(name, given)
    return ANYTHING if given[0].unknown else element_of(_bare(given[0]))


def take(name: str, given: Sequence[Type]) -> Type:
    """take: of the type of its list."""
    if len(given) != 2:
        raise ValueError(_wrong_number(name, [2], given))
    _of_kinds(name, given, 0, frozenset({Kind.LIST}))
    _of_kinds(name, given, 1, frozenset({Kind.INT, Kind.INT64}))
    return _bare(given[0])


def concat(name: str, given: Sequence[Type]) -> Type:
    """concat: any number of lists."""
    if not given:
        raise ValueError(f"{name} takes at least 1 argument, not 0")
    for position in range(len(given)):
        _of_kinds(name, given, position, frozenset({Kind.LIST}))
    return LIST


def aggregate(name: str, given: Sequence[Type]) -> Type:
    """max, min, mean, median: numbers and lists of them; behind a list nothing is looked at."""
    if not given:
        raise ValueError(f"{name} takes at least 1 argument, not 0")
    for position, found in enumerate(given):
        if found.unknown or found.kind is Kind.LIST:
            return ANYTHING
        _of_kinds(name, given, position, frozenset(_NUMBERS))
    return given[0]


def get(name: str, given: Sequence[Type]) -> Type:
    """get: what an index gives, nil where there is nothing."""
    if len(given) != 2:
        raise ValueError(_wrong_number(name, [2], given))
    container, key = given
    if container.unknown:
        return UNKNOWN
    if container.kind is Kind.LIST:
        if not (key.integer or key.unknown):
            raise ArgumentError(1, f"{name}: a list is indexed by an integer, not {key.words}")
    elif container.kind is Kind.MAP:
        require_key(container, key)
    else:
        raise _unfit(name, given, 0)
    return element_of(container)


def require_key(container: Type, key: Type) -> None:
    """ValueError unless `key` may be a key of the map `container`."""
    if not key.unknown and not assignable(key, ANYTHING if container.go.startswith("map[any]") else STRING):
        raise ValueError(f"this map has strings as keys, not {key.words}")


def _bare(found: Type) -> Type:
    """The type as Go names it, what is known of elements forgotten."""
    if found.unknown:
        return ANYTHING
    return LIST if found.go == LIST.go else found


_LISTS: Final = (LIST, STRINGS)
_TEXT_TEXT: Final = (STRING, STRING)

SIGNATURES: Final[dict[str, Signature]] = {
    # Argo's
    "asInt": overloads(((ANYTHING,), INT64)),
    "asFloat": overloads(((ANYTHING,), FLOAT)),
    "isNaN": overloads(((FLOAT,), BOOL)),
    "isInf": overloads(((FLOAT,), BOOL)),
    "isNil": overloads(((ANYTHING,), BOOL)),
    "default": overloads(((ANYTHING, ANYTHING), ANYTHING)),
    # any value
    "len": one_of(INT, Kind.LIST, Kind.MAP, Kind.STRING),
    "type": overloads(((ANYTHING,), STRING)),
    "string": overloads(((ANYTHING,), STRING)),
    "toJSON": overloads(((ANYTHING,), STRING)),
    "fromJSON": overloads(((STRING,), ANYTHING)),
    "get": get,
    # numbers
    "abs": absolute,
    **dict.fromkeys(("ceil", "floor", "round"), one_of(FLOAT, *_NUMBERS)),
    "int": one_of(INT, *_NUMBERS, Kind.STRING),
    "float": one_of(FLOAT, *_NUMBERS, Kind.STRING),
    **dict.fromkeys(("max", "min", "mean", "median"), aggregate),
    **dict.fromkeys(
        ("bitand", "bitor", "bitxor", "bitnand", "bitshl", "bitshr", "bitushr"), overloads(((INT, INT), INT))
    ),
    "bitnot": overloads(((INT,), INT)),
    # strings
    **dict.fromkeys(("trim", "trimPrefix", "trimSuffix"), overloads(((STRING,), STRING), (_TEXT_TEXT, STRING))),
    **dict.fromkeys(("upper", "lower", "toBase64", "fromBase64"), overloads(((STRING,), STRING))),
    **dict.fromkeys(("split", "splitAfter"), overloads((_TEXT_TEXT, STRINGS), ((*_TEXT_TEXT, INT), STRINGS))),
    "replace": overloads(((*_TEXT_TEXT, STRING, INT), STRING), ((*_TEXT_TEXT, STRING), STRING)),
    "repeat": overloads(((STRING, INT), STRING)),
    **dict.fromkeys(("indexOf", "lastIndexOf"), overloads((_TEXT_TEXT, INT))),
    **dict.fromkeys(("hasPrefix", "hasSuffix"), overloads((_TEXT_TEXT, BOOL))),
    "join": overloads(*(((each, STRING), STRING) for each in _LISTS), *(((each,), STRING) for each in _LISTS)),
    # lists
    **dict.fromkeys(("first", "last"), end_of_list),
    "take": take,
    **dict.fromkeys(("reverse", "uniq", "flatten"), one_of(LIST, Kind.LIST)),
    "concat": concat,
    "sort": overloads(*(((each, STRING), LIST) for each in _LISTS), *(((each,), LIST) for each in _LISTS)),
    # maps
    **dict.fromkeys(("keys", "values", "toPairs"), one_of(LIST, Kind.MAP)),
    "fromPairs": one_of(ANY_MAP, Kind.LIST),
}
