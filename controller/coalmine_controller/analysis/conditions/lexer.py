"""The words of a condition: expr-lang's tokens.

Rules: every token keeps its offset. Strings are quoted with ``"`` or ``'`` (escapes as in Go) or
with backquotes (raw). Comments are ``//`` and ``/* */``. Letters, digits and space are Go's:
Python's ``\\s`` and ``\\w`` hold more, so they are not used.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from coalmine_controller.analysis.conditions.syntax import ConditionError

NUMBER: Final = "number"
STRING: Final = "string"
NAME: Final = "name"
OPERATOR: Final = "operator"
END: Final = "end"

#: A condition is a line or a few; the bound keeps the lexer's own work small.
MAX_TEXT: Final = 64 * 1024

#: Words that are operators wherever they stand, except as a member behind a dot.
WORDS: Final = frozenset(
    {"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"}
)

#: unicode.IsSpace.
_SPACE: Final = re.compile(
    "(?:[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
    r"|//[^\n]*|/\*.*?\*/)+",
    re.DOTALL,
)
_NUMBER: Final = re.compile(
    r"0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]*)?"
)
# The longest first.
_OPERATOR: Final = re.compile(r"&&|\|\||==|!=|<=|>=|\*\*|\.\.|\?\?|\?\.|::|##|[-+*/%^!<>?:.,;=|&#()\[\]{}]")
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_INT64: Final = 2**63
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Token(NamedTuple):
    """A word; `text` is the operator or name, the string's value, or the number as written."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        if self.kind == END:
            return "the end"
        shown = shortened(self.text)
        return f'"{shown}"' if self.kind == STRING else shown


def shortened(text: str) -> str:
    """What of a word or a name goes into a sentence, which goes into an event and a status."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, END last. Raises ConditionError."""
    if len(text) > MAX_TEXT:
        raise ConditionError(0, f"{len(text)} characters are too many: write at most {MAX_TEXT}")
    text = _SURROGATES.sub("\ufffd", text)  # what no UTF-8 holds, Go reads so
    found: list[Token] = []
    at = 0
    while True:
        space = _SPACE.match(text, at)
        if space is not None:
            at = space.end()
        if at >= len(text):
            found.append(Token(END, "", len(text)))
            return found
        token, at = _token(text, at)
        found.append(token)
        if token.text in ("#", "##") and token.kind == OPERATOR:  # #index is one word in writing, and two tokens
            end = _word_end(text, at)
            if end > at:
                found.append(Token(NAME, text[at:end], at))
            at = end


def _token(text: str, at: int) -> tuple[Token, int]:
    character = text[at]
    if text.startswith("/*", at):
        raise ConditionError(at, "the comment is not closed: expected */")
    if character in "\"'":
        return _quoted(text, at)
    if character == "`":
        return _raw(text, at)
    number = _NUMBER.match(text, at)
    if number is not None:
        end = number.end()
        if end < len(text) and _in_word(text[end]):
            raise ConditionError(at, f"{text[at : end + 1]!r} is not a number")
        return Token(NUMBER, number[0], at), end
    end = _word_end(text, at)
    if end > at:
        word = text[at:end]
        return Token(OPERATOR if word in WORDS else NAME, word, at), end
    operator = _OPERATOR.match(text, at)
    if operator is not None:
        return Token(OPERATOR, operator[0], at), operator.end()
    raise ConditionError(at, f"{character!r} has no meaning here: expected a value or an operator")


def _in_word(character: str) -> bool:
    category = unicodedata.category(character)
    return character in "_$" or category[0] == "L" or category == "Nd"


def _word_end(text: str, at: int) -> int:
    while at < len(text) and _in_word(text[at]):
        at += 1
    return at


def _quoted(text: str, start: int) -> tuple[Token, int]:
    quote, at, parts = text[start], start + 1, []
    while at < len(text) and text[at] != quote:
        if text[at] == "\n":
            break
        if text[at] != "\\":
            parts.append("\n" if text[at] == "\r" else text[at])
            at += 1
            continue
        escape = _ESCAPE.match(text, at)
        if escape is None or escape[1] == {"'": '"', '"': "'"}[quote]:
            raise ConditionError(at, f"{text[at : at + 2]!r} is not an escape: write \\\\ for a backslash")
        parts.append(_unescaped(escape, at))
        at = escape.end()
    if at >= len(text) or text[at] != quote:
        raise ConditionError(start, f"the string is not closed: expected {quote}")
    return Token(STRING, "".join(parts), start), at + 1


def _unescaped(escape: re.Match[str], at: int) -> str:
    letter, octal = escape[1], escape[5]
    if letter is not None:
        return _ESCAPED.get(letter, letter)
    code = int(octal, 8) if octal else int(escape[2] or escape[3] or escape[4], 16)
    if code > 0x10FFFF:
        raise ConditionError(at, f"{escape[0]} is not a character")
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def _raw(text: str, start: int) -> tuple[Token, int]:
    """A backquoted string: no escapes, not even for the backquote."""
    end = text.find("`", start + 1)
    if end < 0:
        raise ConditionError(start, "the string is not closed: expected `")
    return Token(STRING, text[start + 1 : end], start), end + 1


def number_of(token: Token) -> int | float:
    """The number that a NUMBER token writes. Raises ConditionError."""
    text = token.text.replace("_", "").lower()
    try:
        if text.startswith(("0x", "0o", "0b")):
            number: int | float = int(text, 0)
        elif any(mark in text for mark in ".e"):
            number = float(text)
        elif len(text) > 19:  # more digits than 2**63 has: refused below, without the work
            number = int(text.lstrip("0")[:20] or "0")
        else:
            number = int(text)
    except ValueError:
        raise ConditionError(token.at, f"{token.text} is not a number") from None
    if number == float("inf") or (isinstance(number, int) and number >= _INT64):
        raise ConditionError(token.at, f"{token.text[:40]} is too large")
    return number
