"""The functions that a condition may call: Argo's six, and expr-lang's own that take no predicate.

Rules: a function is pure; a value that it does not take raises ValueError with a sentence. How
many arguments there are, and of which types as far as that was known, `signatures` has seen to.
`isNil` and `default` look at the whole result, whatever they are given: so do Argo's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from coalmine_controller.analysis.conditions import formats, lists, numbers, texts
from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.values import (
    INTEGERS,
    LISTS,
    NUMBERS,
    AnyMap,
    Int64,
    NilList,
    Pair,
    Pairs,
    UnfitError,
    encoded,
    equal,
    to_int,
    type_name,
    words_of,
)


class Context(Protocol):
    """What a function may know beside its arguments."""

    result: Any
    budget: Budget


Function = Callable[[Context, Sequence[Any]], Any]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitError(f"{name} does not take {words_of(value)}")
    return value


def _list(name: str, value: Any) -> Any:
    if not isinstance(value, LISTS):
        raise UnfitError(f"{name} does not take {words_of(value)}")
    return value


def _pairs(name: str, value: Any, budget: Budget) -> list[tuple[Any, Any]]:
    """Sorted by key, where keys are strings: expr-lang gives them in a new order each time."""
    if not isinstance(value, dict | AnyMap):
        raise UnfitError(f"{name} does not take {words_of(value)}")
    budget.spend(len(value))
    if isinstance(value, dict):
        return sorted(value.items(), key=_by_key)
    pairs = list(value.items())
    if name != "keys" and any(isinstance(key, float) and math.isnan(key) for key, _ in pairs):
        raise UnfitError(f"{name}: a key is NaN, and so there is nothing under it")
    return pairs


def _by_key(pair: tuple[str, Any]) -> bytes:
    return encoded(pair[0])


def _as_int(context: Context, given: Sequence[Any]) -> Int64:
    (value,) = given
    if isinstance(value, str):
        context.budget.text(len(value))
        return Int64(numbers.read_int("asInt", value))
    if type(value) not in NUMBERS:
        raise UnfitError(f"asInt does not take {words_of(value)}")
    return Int64(to_int(value))


def _as_float(context: Context, given: Sequence[Any]) -> float:
    (value,) = given
    if isinstance(value, str):
        context.budget.text(len(value))
        return numbers.read_float("asFloat", value)
    if type(value) not in NUMBERS:
        raise UnfitError(f"asFloat does not take {words_of(value)}")
    return float(value)


def _of_float(name: str, function: Callable[[float], bool]) -> Function:
    def call(_: Context, given: Sequence[Any]) -> bool:
        (value,) = given
        if type(value) is not float:  # Go has no way from an integer to float64 without saying so
            raise UnfitError(f"{name} takes a number, not {words_of(value)}; write float(...)")
        return function(value)

    return call


def _default(context: Context, given: Sequence[Any]) -> Any:
    return given[1] if context.result is None else context.result


def _len(_: Context, given: Sequence[Any]) -> int:
    (value,) = given
    if not isinstance(value, (*LISTS, str, dict, AnyMap)):
        raise UnfitError(f"len does not take {words_of(value)}")
    return len(value)


def _get(context: Context, given: Sequence[Any]) -> Any:
    target, key = given
    if isinstance(target, dict | AnyMap):
        return lists.member(target, key)
    if not isinstance(target, (*LISTS, str)):
        return None
    to_int(key)
    try:
        return lists.fetch(target, key, context.budget)
    except UnfitError:
        return None


def _end(index: int) -> Function:
    def call(context: Context, given: Sequence[Any]) -> Any:
        try:
            return lists.fetch(given[0], index, context.budget)
        except UnfitError:
            return None

    return call


def _keys(context: Context, given: Sequence[Any]) -> list[Any]:
    return [key for key, _ in _pairs("keys", given[0], context.budget)]


def _values(context: Context, given: Sequence[Any]) -> list[Any]:
    return [value for _, value in _pairs("values", given[0], context.budget)]


def _to_pairs(context: Context, given: Sequence[Any]) -> Pairs:
    return Pairs(Pair(pair) for pair in _pairs("toPairs", given[0], context.budget))


def _from_pairs(context: Context, given: Sequence[Any]) -> AnyMap:
    made = AnyMap()
    context.budget.spend(len(_list("fromPairs", given[0])))
    for pair in given[0]:
        if not isinstance(pair, LISTS) or len(pair) != 2:
            raise UnfitError(f"fromPairs takes pairs: lists of two, not {words_of(pair)}")
        made[pair[0]] = pair[1]
    return made


def _reverse(context: Context, given: Sequence[Any]) -> list[Any]:
    items = list(reversed(_list("reverse", given[0])))
    context.budget.keep(len(items))
    context.budget.spend(len(items))
    return items


def _uniq(context: Context, given: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for item in _list("uniq", given[0]):
        context.budget.spend(1 + len(found))
        if not any(equal(item, other, context.budget) for other in found):
            found.append(item)
    return found


def _concat(context: Context, given: Sequence[Any]) -> list[Any]:
    size = sum(len(_list("concat", value)) for value in given)
    context.budget.keep(size)
    context.budget.spend(size)
    return [item for value in given for item in value] or NilList()


def _flatten(context: Context, given: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []

    def add(items: Any) -> None:
        context.budget.spend(len(items))
        for item in items:
            if isinstance(item, LISTS):
                add(item)
            else:
                flat.append(item)

    add(_list("flatten", given[0]))
    context.budget.keep(len(flat))
    return flat


def _join(context: Context, given: Sequence[Any]) -> str:
    items, glue = given[0], _text("join", given[1]) if len(given) == 2 else ""
    if not isinstance(items, list) or isinstance(items, Pair | Pairs):
        raise UnfitError(f"join takes a list of strings, not {words_of(items)} of others")
    return texts.join([_text("join", item) for item in items], glue, context.budget)


def _sort(context: Context, given: Sequence[Any]) -> list[Any]:
    return lists.sort(given[0], given[1] if len(given) == 2 else "asc", context.budget)


def _of_texts(name: str, function: Callable[..., Any], words: int = 2) -> Function:
    """Of so many strings at most, and perhaps a number behind them."""

    def call(context: Context, given: Sequence[Any]) -> Any:
        strings = [_text(name, value) for value in given[:words]]
        for string in strings:
            context.budget.text(len(string))
        return function(context.budget, *strings, *(to_int(value) for value in given[words:]))

    return call


def _of_numbers(name: str, function: Callable[[Any], Any]) -> Function:
    def call(_: Context, given: Sequence[Any]) -> Any:
        (value,) = given
        if type(value) not in NUMBERS:
            raise UnfitError(f"{name} does not take {words_of(value)}")
        return function(value)

    return call


def _of_bits(name: str, function: Callable[..., int]) -> Function:
    def call(_: Context, given: Sequence[Any]) -> int:
        for value in given:
            if type(value) not in INTEGERS:
                raise UnfitError(f"{name} takes integers, not {words_of(value)}")
        return function(*(int(value) for value in given))

    return call


FUNCTIONS: Final[dict[str, Function]] = {
    "asInt": _as_int,
    "asFloat": _as_float,
    "isNaN": _of_float("isNaN", math.isnan),
    "isInf": _of_float("isInf", math.isinf),
    "isNil": lambda context, _: context.result is None,
    "default": _default,
    "len": _len,
    "type": lambda _, given: type_name(given[0]),
    "string": lambda context, given: formats.string(given[0], context.budget),
    "toJSON": lambda context, given: formats.to_json(given[0], context.budget),
    "fromJSON": _of_texts("fromJSON", formats.from_json),
    "toBase64": _of_texts("toBase64", formats.to_base64),
    "fromBase64": _of_texts("fromBase64", formats.from_base64),
    "get": _get,
    "abs": _of_numbers("abs", numbers.absolute),
    "ceil": _of_numbers("ceil", numbers.ceil),
    "floor": _of_numbers("floor", numbers.floor),
    "round": _of_numbers("round", numbers.rounded),
    "int": lambda context, given: numbers.integer(given[0], context.budget),
    "float": lambda context, given: numbers.real(given[0], context.budget),
    "max": lambda context, given: numbers.extreme("max", "<", given, context.budget),
    "min": lambda context, given: numbers.extreme("min", ">", given, context.budget),
    "mean": lambda context, given: numbers.mean(given, context.budget),
    "median": lambda context, given: numbers.median(given, context.budget),
    **{name: _of_bits(name, function) for name, function in numbers.BITS.items()},
    "trim": _of_texts("trim", texts.trim),
    "trimPrefix": _of_texts("trimPrefix", texts.trim_prefix),
    "trimSuffix": _of_texts("trimSuffix", texts.trim_suffix),
    "upper": _of_texts("upper", texts.upper),
    "lower": _of_texts("lower", texts.lower),
    "split": _of_texts("split", texts.split),
    "splitAfter": _of_texts("splitAfter", texts.split_after),
    "replace": _of_texts("replace", texts.replace, 3),
    "repeat": _of_texts("repeat", texts.repeat, 1),
    "indexOf": _of_texts("indexOf", texts.index_of),
    "lastIndexOf": _of_texts("lastIndexOf", texts.last_index_of),
    "hasPrefix": _of_texts("hasPrefix", texts.has_prefix),
    "hasSuffix": _of_texts("hasSuffix", texts.has_suffix),
    "join": _join,
    "first": _end(0),
    "last": _end(-1),
    "take": lambda context, given: lists.take(given[0], given[1], context.budget),
    "reverse": _reverse,
    "uniq": _uniq,
    "concat": _concat,
    "flatten": _flatten,
    "sort": _sort,
    "keys": _keys,
    "values": _values,
    "toPairs": _to_pairs,
    "fromPairs": _from_pairs,
}
