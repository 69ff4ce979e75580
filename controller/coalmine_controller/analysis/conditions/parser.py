"""From a condition's text to its tree: precedence climbing, with expr-lang's table.

Rules: operators, their precedence and their corners are expr-lang's (``-2 ** 2`` is -4, ``0 < x < 1``
chains, ``??`` next to another operator needs parentheses), for a condition that is copied over must mean
here what it meant there. What the language has and this version has not is refused by name.
Not lark: expr-lang's own parser climbs precedences, its corners come out of that technique
by themselves, and errors that say what was expected are made by hand in any case.
"""

from __future__ import annotations

from typing import Final

from coalmine_controller.analysis.conditions.lexer import END, NAME, NUMBER, OPERATOR, STRING, Token, tokens
from coalmine_controller.analysis.conditions.syntax import (
    Binary,
    Call,
    Conditional,
    ConditionError,
    ListOf,
    Literal,
    Member,
    Name,
    Node,
    Unary,
)

#: expr-lang's own default (conf.DefaultMaxNodes).
MAX_NODES: Final = 10_000
#: Nested parentheses, calls, unary operators: the recursion below stays far from Python's limit of
#: 1000 frames. Long chains of operators are loops and not bounded by it.
MAX_DEPTH: Final = 100

_UNARY: Final = {"not": 50, "!": 50, "-": 90, "+": 90}
_BINARY: Final = {
    "|": 0, "or": 10, "||": 10, "and": 15, "&&": 15,
    "==": 20, "!=": 20, "<": 20, ">": 20, ">=": 20, "<=": 20,
    "in": 20, "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
    "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500,
}  # fmt: skip
_RIGHT: Final = frozenset({"**", "^"})
_ORDERINGS: Final = frozenset({"<", ">", "<=", ">="})
_NEGATABLE: Final = frozenset({"in", "matches", "contains", "startsWith", "endsWith"})
_SPELLINGS: Final = {"and": "&&", "or": "||", "not": "!", "^": "**"}
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
#: Parts of expr-lang that this version does not read.
_NOT_YET: Final = frozenset({"|", "matches", "..", "?.", "#", "{", "let", "if", "::"})
_INT64: Final = 2**63
#: Functions of expr-lang whose argument is a predicate, which this version does not read.
PREDICATES: Final = frozenset(
    {"all", "any", "none", "one", "filter", "map", "count", "sum", "find", "findIndex", "findLast", "findLastIndex"}
    | {"groupBy", "sortBy", "reduce"}
)


def parse(text: str) -> Node:
    """The tree of the condition `text`. Raises ConditionError."""
    parser = _Parser(tokens(text))
    node = parser.expression(0)
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, words: list[Token]) -> None:
        self._words = words
        self._position = 0
        self._nodes = 0
        self._depth = 0

    @property
    def _current(self) -> Token:
        return self._words[self._position]

    def _next(self) -> Token:
        token = self._current
        self._position += 1
        return token

    def _is(self, operator: str) -> bool:
        return self._current.kind == OPERATOR and self._current.text == operator

    def _expect(self, operator: str, purpose: str) -> None:
        if not self._is(operator):
            raise self._unexpected(f"{operator} {purpose}")
        self._next()

    def _unexpected(self, expected: str) -> ConditionError:
        token = self._current
        if token.kind == OPERATOR and token.text in _NOT_YET:
            return ConditionError(token.at, f"{token.text} is not supported by this version of Coalmine")
        if token.kind == OPERATOR and token.text in ("=", "&"):
            return ConditionError(token.at, f"{token.text} is not an operator: write {token.text * 2}")
        return ConditionError(token.at, f"expected {expected}, found {token}")

    def _counted(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConditionError(node.at, f"the condition has more than {MAX_NODES} parts: shorten it")
        return node

    def expect_end(self) -> None:
        if self._current.kind != END:
            raise self._unexpected("an operator or the end")

    def expression(self, precedence: int) -> Node:
        """An expression of operators that bind at least as tightly as `precedence`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(self._current.at, f"nested more than {MAX_DEPTH} levels deep: simplify it")
        left = self._primary()
        after_coalesce = False
        while True:
            negated = self._is("not") and self._words[self._position + 1].text in _NEGATABLE
            token = self._words[self._position + 1] if negated else self._current
            binding = _BINARY.get(token.text) if token.kind == OPERATOR else None
            if binding is None or binding < precedence:
                break
            if token.text in _NOT_YET:
                raise ConditionError(token.at, f"{token.text} is not supported by this version of Coalmine")
            if after_coalesce and token.text != "??":
                raise ConditionError(token.at, f"?? beside {token.text} is ambiguous: put one of them in parentheses")
            self._position += 2 if negated else 1
            left = self._ordering(left, token) if token.text in _ORDERINGS else self._binary(left, token, binding)
            if negated:
                left = self._counted(Unary(token.at, "!", left))
            after_coalesce = token.text == "??"
        if precedence == 0:
            left = self._conditional(left)
        self._depth -= 1
        return left

    def _binary(self, left: Node, token: Token, binding: int) -> Node:
        right = self.expression(binding if token.text in _RIGHT else binding + 1)
        return self._counted(Binary(token.at, _SPELLINGS.get(token.text, token.text), left, right))

    def _ordering(self, left: Node, token: Token) -> Node:
        """``a < b < c`` is ``a < b && b < c``."""
        chain: Node | None = None
        while True:
            right = self.expression(_BINARY[token.text] + 1)
            link = self._counted(Binary(token.at, token.text, left, right))
            chain = link if chain is None else self._counted(Binary(token.at, "&&", chain, link))
            if not (self._current.kind == OPERATOR and self._current.text in _ORDERINGS):
                return chain
            token, left = self._next(), right

    def _conditional(self, test: Node) -> Node:
        while self._is("?"):
            at = self._next().at
            then = test if self._is(":") else self.expression(0)
            self._expect(":", "and the other value of ?")
            test = self._counted(Conditional(at, test, then, self.expression(0)))
        return test

    def _primary(self) -> Node:
        token = self._current
        if token.kind == OPERATOR and token.text in _UNARY:
            self._next()
            operand = self.expression(_UNARY[token.text])
            return self._postfix(self._counted(Unary(token.at, _SPELLINGS.get(token.text, token.text), operand)))
        if self._is("("):
            self._next()
            inner = self.expression(0)
            self._expect(")", "to close the parenthesis")
            return self._postfix(inner)
        if self._is("["):
            self._next()
            return self._postfix(self._counted(ListOf(token.at, self._items("]", "to close the list"))))
        if token.kind == NUMBER:
            self._next()
            return self._counted(Literal(token.at, _number(token)))
        if token.kind == STRING:
            self._next()
            return self._postfix(self._counted(Literal(token.at, token.text)))
        if token.kind == NAME:
            return self._named()
        raise self._unexpected("a value")

    def _named(self) -> Node:
        token = self._next()
        if token.text in _CONSTANTS:
            return self._counted(Literal(token.at, _CONSTANTS[token.text]))
        if not self._is("("):
            return self._postfix(self._counted(Name(token.at, token.text)))
        if token.text in PREDICATES:
            raise ConditionError(token.at, f"{token.text}() is not supported by this version of Coalmine")
        self._next()
        arguments = self._items(")", f"to close the arguments of {token.text}")
        return self._postfix(self._counted(Call(token.at, token.text, arguments)))

    def _items(self, closing: str, purpose: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._is(closing):
            if items:
                self._expect(",", f"or {closing} {purpose}")
                if self._is(closing):
                    break
            items.append(self.expression(0))
        self._next()
        return tuple(items)

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._is("."):
                self._next()
                name = self._next()
                # words that are operators are fine as members: result.in, result.not
                if name.kind != NAME and not (name.kind == OPERATOR and name.text.isalpha()):
                    self._position -= 1
                    raise self._unexpected("a name after the dot")
                if self._is("("):
                    raise ConditionError(name.at, f"{name.text} is not a function: results have no methods")
                node = self._counted(Member(name.at, node, self._counted(Literal(name.at, name.text))))
            elif self._is("["):
                at = self._next().at
                if self._is(":"):
                    raise ConditionError(at, "slices are not supported by this version of Coalmine")
                key = self.expression(0)
                if self._is(":"):
                    raise ConditionError(at, "slices are not supported by this version of Coalmine")
                self._expect("]", "to close the index")
                node = self._counted(Member(at, node, key))
            else:
                return node


def _number(token: Token) -> int | float:
    text = token.text.replace("_", "").lower()
    try:
        if text.startswith(("0x", "0o", "0b")):
            number: int | float = int(text, 0)
        elif any(mark in text for mark in ".e"):
            number = float(text)
        elif len(text) > 19:  # more digits than 2**63 has: refused below, without the work
            number = _INT64
        else:
            number = int(text)
    except ValueError:
        raise ConditionError(token.at, f"{token.text} is not a number") from None
    if number == float("inf") or (isinstance(number, int) and number >= _INT64):
        raise ConditionError(token.at, f"{token.text[:40]} is too large")
    return number
