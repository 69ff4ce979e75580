"""Errors by blame: what a person wrote, what a peer did. Everything else is our bug."""

from __future__ import annotations


class SpecError(ValueError):
    """Something that a person wrote cannot be carried out.

    `path` names the field, `problem` says what is wrong with it, `advice` what to write
    instead. The text of the error is the sentence shown to that person.
    """

    def __init__(self, path: str, problem: str, advice: str) -> None:
        self.path = path
        self.problem = problem
        self.advice = advice
        super().__init__(f"{path}: {problem}; {advice}" if path else f"{problem}; {advice}")

    def under(self, prefix: str) -> SpecError:
        """The same error, seen from the document that contains the field."""
        joined = f"{prefix}{self.path}" if self.path.startswith("[") else f"{prefix}.{self.path}".rstrip(".")
        return SpecError(joined, self.problem, self.advice)


def shown(value: object) -> str:
    """`value` as an error quotes it: on one line, and cut, for it may be as long as its author liked."""
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


class RemoteError(Exception):
    """A peer (API server, sidecar, metrics backend) failed, refused or talked nonsense."""
