"""From a condition's text to its tree: precedence climbing, with expr-lang's table.

Rules: operators, their precedence and their corners are expr-lang's (``-2 ** 2`` is -4, ``0 < x < 1``
chains, ``??`` next to another operator needs parentheses), for a condition that is copied over must mean
here what it meant there. Names and types are none of its business: see `check`.
Not lark: expr-lang's own parser climbs precedences, its corners come out of that technique
by themselves, and errors that say what was expected are made by hand in any case
(docs/decisions/0008-condition-language.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from coalmine_controller.analysis.conditions.lexer import (
    END,
    NAME,
    NUMBER,
    OPERATOR,
    STRING,
    Token,
    number_of,
    shortened,
    tokens,
)
from coalmine_controller.analysis.conditions.syntax import (
    Binary,
    Call,
    Chain,
    Conditional,
    ConditionError,
    Let,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Member,
    Name,
    Node,
    Pointer,
    Sequence,
    Slice,
    Unary,
)

#: expr-lang's own default (conf.DefaultMaxNodes).
MAX_NODES: Final = 10_000
#: Nested parentheses, calls, predicates, unary operators, lets: here and in the walks over the tree a
#: level takes up to eight frames of Python's limit of 1000. Long chains of operators, members and
#: pipes are loops and not bounded by it.
MAX_DEPTH: Final = 64

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


class _Shape(NamedTuple):
    """What stands in a builtin's parentheses behind the list: the predicate, and perhaps one more."""

    optional: bool = False
    extra: bool = False


_LOOPS: Final = {
    **dict.fromkeys(("all", "any", "none", "one", "filter", "map", "groupBy"), _Shape()),
    **dict.fromkeys(("find", "findIndex", "findLast", "findLastIndex"), _Shape()),
    **dict.fromkeys(("count", "sum"), _Shape(optional=True)),
    **dict.fromkeys(("sortBy", "reduce"), _Shape(extra=True)),
}
#: The builtins whose argument is a predicate.
PREDICATES: Final = frozenset(_LOOPS)


def parse(text: str) -> Node:
    """The tree of the condition `text`, without types. Raises ConditionError."""
    parser = _Parser(tokens(text))
    node = parser.sequence()
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, words: list[Token]) -> None:
        self._words = words
        self._position = 0
        self._nodes = 0
        self._depth = 0
        self._predicates = 0

    @property
    def _current(self) -> Token:
        return self._words[self._position]

    def _next(self) -> Token:
        token = self._current
        if token.kind != END:
            self._position += 1
        return token

    def _is(self, operator: str) -> bool:
        return self._current.kind == OPERATOR and self._current.text == operator

    def _expect(self, operator: str, purpose: str) -> None:
        if not self._is(operator):
            raise self._unexpected(f"{operator} {purpose}")
        self._next()

    def _name(self, purpose: str) -> Token:
        if self._current.kind != NAME:
            raise self._unexpected(f"a name {purpose}")
        return self._next()

    def _unexpected(self, expected: str) -> ConditionError:
        token = self._current
        if token.kind == OPERATOR and token.text in ("=", "&"):
            return ConditionError(token.at, f"{token.text} is not an operator: write {token.text * 2}")
        if token.kind == OPERATOR and token.text in ("#", ".") and expected == "a value":
            return ConditionError(token.at, f"{token.text} stands in a predicate only, as in all(result, # > 1)")
        return ConditionError(token.at, f"expected {expected}, found {token}")

    def _count(self, at: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConditionError(at, f"the condition has more than {MAX_NODES} parts: shorten it")

    def _counted(self, node: Node) -> Node:
        self._count(node.at)
        return node

    def expect_end(self) -> None:
        if self._current.kind != END:
            raise self._unexpected("an operator or the end")

    def sequence(self) -> Node:
        """Expressions with ``;`` between them."""
        items = [self.expression(0)]
        while self._is(";"):
            self._next()
            if self._current.kind == END:
                break
            items.append(self.expression(0))
        return items[0] if len(items) == 1 else self._counted(Sequence(items[0].at, tuple(items)))

    def expression(self, precedence: int) -> Node:
        """An expression of operators that bind at least as tightly as `precedence`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(self._current.at, f"nested more than {MAX_DEPTH} levels deep: simplify it")
        if precedence == 0 and self._is("let"):
            node = self._let()
        elif precedence == 0 and self._is("if"):
            node = self._if()
        else:
            node = self._operators(self._primary(), precedence)
            if precedence == 0:
                node = self._conditional(node)
        self._depth -= 1
        return node

    def _operators(self, left: Node, precedence: int) -> Node:
        after_coalesce = False
        while True:
            negated = self._is("not") and self._words[self._position + 1].text in _NEGATABLE
            token = self._words[self._position + 1] if negated else self._current
            binding = _BINARY.get(token.text) if token.kind == OPERATOR else None
            if binding is None or binding < precedence:
                return left
            if token.text == "|":
                self._next()
                left = self._call(self._name("of a function after |"), left)
                after_coalesce = False
                continue
            if after_coalesce and token.text != "??":
                raise ConditionError(token.at, f"?? beside {token.text} is ambiguous: put one of them in parentheses")
            self._position += 2 if negated else 1
            left = self._ordering(left, token) if token.text in _ORDERINGS else self._binary(left, token, binding)
            if negated:
                left = self._counted(Unary(token.at, "!", left))
            after_coalesce = token.text == "??"

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

    def _if(self) -> Node:
        at = self._next().at
        test = self.expression(0)
        self._expect("{", "and what if gives")
        then = self.sequence()
        self._expect("}", "to close what if gives")
        if not self._is("else"):
            raise self._unexpected("else: an if gives a value either way")
        self._next()
        self._expect("{", "after else (an if there goes into the braces)")
        otherwise = self.sequence()
        self._expect("}", "to close what else gives")
        return Conditional(at, test, then, otherwise)

    def _let(self) -> Node:
        self._next()
        name = self._name("after let")
        self._expect("=", f"and the value of {shortened(name.text)}")
        value = self.expression(0)
        self._expect(";", f"and what {shortened(name.text)} is for")
        return self._counted(Let(name.at, name.text, value, self.sequence()))

    def _primary(self) -> Node:
        token = self._current
        if token.kind == OPERATOR and token.text in _UNARY:
            self._next()
            operand = self.expression(_UNARY[token.text])
            return self._postfix(self._counted(Unary(token.at, _SPELLINGS.get(token.text, token.text), operand)))
        if self._is("("):
            self._next()
            inner = self.sequence()
            self._expect(")", "to close the parenthesis")
            return self._postfix(inner)
        if self._predicates and (self._is("#") or self._is(".")):
            return self._postfix(self._counted(self._pointer()))
        if self._is("::"):
            self._next()
            return self._postfix(self._call(self._name("of a function after ::"), None))
        if self._is("["):
            self._next()
            return self._postfix(self._counted(ListOf(token.at, self._items("]", "to close the list"))))
        if self._is("{"):
            self._next()
            return self._postfix(self._map(token))
        if token.kind == NUMBER:
            self._next()
            return self._counted(Literal(token.at, number_of(token)))
        if token.kind == STRING:
            self._next()
            return self._postfix(self._counted(Literal(token.at, token.text)))
        if token.kind == NAME:
            return self._named()
        raise self._unexpected("a value")

    def _pointer(self) -> Pointer:
        """``#``, ``#index``, ``#acc``; or nothing at all before ``.field``."""
        at = self._current.at
        if self._is("."):
            return Pointer(at, "")
        self._next()
        return Pointer(at, self._next().text if self._current.kind == NAME else "")

    def _map(self, opening: Token) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self._is("}"):
            if pairs:
                self._expect(",", "or } to close the map")
                if self._is("}"):
                    break
            if self._current.kind in (NUMBER, STRING, NAME):
                token = self._next()
                key = self._counted(Literal(token.at, token.text))
            elif self._is("("):
                key = self.expression(0)
            else:
                raise self._unexpected("a key (a name, a string, a number, or an expression in parentheses)")
            self._expect(":", "and the value of the key")
            value = self.expression(0)
            self._count(key.at)
            pairs.append((key, value))
        self._next()
        return self._counted(MapOf(opening.at, tuple(pairs)))

    def _named(self) -> Node:
        token = self._next()
        if token.text in _CONSTANTS:
            return self._counted(Literal(token.at, _CONSTANTS[token.text]))
        if self._is("("):
            return self._postfix(self._call(token, None))
        return self._postfix(self._counted(Name(token.at, token.text)))

    def _call(self, name: Token, piped: Node | None) -> Node:
        self._expect("(", f"and the arguments of {shortened(name.text)}")
        if name.text in _LOOPS:
            return self._loop(name, piped)
        arguments = self._items(")", f"to close the arguments of {shortened(name.text)}")
        return self._counted(Call(name.at, name.text, arguments if piped is None else (piped, *arguments)))

    def _loop(self, name: Token, piped: Node | None) -> Node:
        shape = _LOOPS[name.text]
        if piped is None and self._is(")"):
            raise self._unexpected(f"the list that {name.text} goes through")
        collection = self.expression(0) if piped is None else piped
        predicate = extra = None
        if not (shape.optional and self._is(")")):
            if piped is None:
                self._expect(",", f"and the predicate of {name.text}, as in {name.text}(result, # > 1)")
            predicate = self._predicate(name)
            if shape.extra and not self._is(")"):
                self._expect(",", f"or ) to close the arguments of {shortened(name.text)}")
                extra = self.expression(0)
            if self._is(","):
                self._next()
        self._expect(")", f"to close the arguments of {shortened(name.text)}")
        return self._counted(Loop(name.at, name.text, collection, predicate, extra))

    def _predicate(self, name: Token) -> Node:
        at = self._current.at
        self._predicates += 1
        if self._is("{"):
            self._next()
            node = self.sequence()
            self._expect("}", f"to close the predicate of {name.text}")
        else:
            node = self.expression(0)
            if self._is(";"):
                raise ConditionError(self._current.at, f"put the predicate of {name.text} into {{ and }}")
        self._predicates -= 1
        self._count(at)
        return node

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
                node = self._field(node, optional=False)
            elif self._is("?."):
                following = self._words[self._position + 1]
                if following.kind == OPERATOR and following.text == "[":
                    self._next()
                    node = self._index(node, optional=True)
                else:
                    node = self._field(node, optional=True)
            elif self._is("["):
                node = self._index(node, optional=False)
            else:
                return node

    def _field(self, target: Node, *, optional: bool) -> Node:
        self._next()
        name = self._current
        # words that are operators are fine as members: result.in, result.not
        if name.kind != NAME and not (name.kind == OPERATOR and name.text.isalpha()):
            raise self._unexpected("a name after the dot")
        self._next()
        if self._is("("):
            raise ConditionError(name.at, f"{shortened(name.text)} is not a function: results have no methods")
        chained = isinstance(target, Chain)
        key = self._counted(Literal(name.at, name.text))
        inner = target.inner if isinstance(target, Chain) else target
        node = self._counted(Member(name.at, inner, key, optional))
        return self._counted(Chain(name.at, node)) if chained or optional else node

    def _index(self, target: Node, *, optional: bool) -> Node:
        at = self._next().at
        start = None if self._is(":") else self.expression(0)
        if self._is(":"):
            self._next()
            end = None if self._is("]") else self.expression(0)
            node = self._counted(Slice(at, target, start, end))
            self._expect("]", "to close the slice")
            return node
        assert start is not None
        node = self._counted(Member(at, target, start, optional))
        self._expect("]", "to close the index")
        return self._counted(Chain(at, node)) if optional else node
