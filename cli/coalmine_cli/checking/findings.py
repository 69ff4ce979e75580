"""What was looked at, how it stands, and what to do about it.

Pure. Rules: what is not good says what to write or to run. What could not be looked at is `SKIPPED`, with the
reason: it is neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from coalmine.kube.resources import Object, name_of, namespace_of

#: What is about no namespace.
CLUSTER: Final = "cluster"


class Result(StrEnum):
    """FAILED does not work as it stands; a WARNING may be meant."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. `check` names what was looked at, `about` is "cluster", a namespace, or namespace/name."""

    result: Result
    check: str
    about: str
    message: str
    advice: str = ""

    @property
    def text(self) -> str:
        """The whole sentence, with what to do."""
        return f"{self.message}; {self.advice}" if self.advice else self.message

    def to_json(self) -> dict[str, Any]:
        return {
            "result": self.result.value,
            "check": self.check,
            "about": self.about,
            "message": self.message,
            "advice": self.advice,
        }


def ok(check: str, about: str, message: str) -> Finding:
    return Finding(Result.OK, check, about, message)


def warning(check: str, about: str, message: str, advice: str) -> Finding:
    return Finding(Result.WARNING, check, about, message, advice)


def failed(check: str, about: str, message: str, advice: str) -> Finding:
    return Finding(Result.FAILED, check, about, message, advice)


def skipped(check: str, about: str, message: str, advice: str = "") -> Finding:
    return Finding(Result.SKIPPED, check, about, message, advice)


def about(obj: Object) -> str:
    """How a finding names an object: namespace/name."""
    return f"{namespace_of(obj)}/{name_of(obj)}" if namespace_of(obj) else name_of(obj)


def is_bad(found: Iterable[Finding], *, strict: bool) -> bool:
    """Whether the exit code is 1; warnings count when `strict`."""
    bad = (Result.FAILED, Result.WARNING) if strict else (Result.FAILED,)
    return any(f.result in bad for f in found)
