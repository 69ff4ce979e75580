"""All cases, gathered from the files that hold them: one file a subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cases_answer_body
import cases_answer_ends
import cases_chunks
import cases_coding
import cases_fields
import cases_hops
import cases_length
import cases_pipelining
import cases_request_line
import cases_status_line
import pytest
from wire_case import AnswerCase, RequestCase

REQUESTS: list[RequestCase] = [
    *cases_request_line.CASES,
    *cases_fields.CASES,
    *cases_length.CASES,
    *cases_coding.CASES,
    *cases_chunks.CASES,
    *cases_hops.CASES,
    *cases_pipelining.CASES,
]

ANSWERS: list[AnswerCase] = [*cases_status_line.CASES, *cases_answer_body.CASES, *cases_answer_ends.CASES]


def identified(cases: Sequence[RequestCase | AnswerCase], test: str = "") -> list[Any]:
    """The cases as parameters of a test, by source and name; what the proxy does otherwise today fails, strictly."""
    return [
        pytest.param(
            case,
            id=f"{case.source}: {case.name}".encode("ascii", "replace").decode(),
            marks=[pytest.mark.xfail(strict=True, reason=case.wrong)] if test in case.wrongly else [],
        )
        for case in cases
    ]
