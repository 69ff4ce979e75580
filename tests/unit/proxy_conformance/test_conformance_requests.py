"""Each request case: whole, byte by byte, in two pieces at each byte, and cut at each byte."""

from __future__ import annotations

import itertools

import pytest
from wire_case import CLOSE, RESET, RequestCase
from wire_cases import REQUESTS, identified
from wire_play import Application, clean, judge_cut_request, judge_request, play

#: Cases longer than this are split and cut at a sample of their bytes: what is long in them is a run of the same.
_EACH = 400


def places(sent: bytes) -> list[int]:
    if len(sent) <= _EACH:
        return list(range(1, len(sent)))
    middle = range(_EACH // 2, len(sent) - _EACH // 2, max(1, len(sent) // 50))
    return [*range(1, _EACH // 2), *middle, *range(len(sent) - _EACH // 2, len(sent))]


def bytewise(case: RequestCase) -> list[bytes]:
    """Piece by piece; of a long run of the same, more than a byte at a time."""
    cuts = [0, *places(case.sent), len(case.sent)]
    return [case.sent[a:b] for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("case", identified(REQUESTS, "whole"))
def test_whole(case: RequestCase) -> None:
    judge_request(case, play([case.sent]))
    judge_request(case, play([case.sent]))  # what the sidecar remembers of lines changes nothing


@pytest.mark.parametrize("case", identified(REQUESTS, "byte_by_byte"))
def test_byte_by_byte(case: RequestCase) -> None:
    judge_request(case, play(bytewise(case)))


@pytest.mark.parametrize("case", identified(REQUESTS, "two_pieces"))
def test_two_pieces(case: RequestCase) -> None:
    for place in places(case.sent):
        judge_request(case, play([case.sent[:place], case.sent[place:]]))


@pytest.mark.parametrize("finish", [CLOSE, "half", RESET])
@pytest.mark.parametrize("case", identified(REQUESTS, "cut"))
def test_cut(case: RequestCase, finish: str) -> None:
    pieces = bytewise(case)
    whole = play(pieces)
    at = 0
    for number, (piece, (completed, _)) in enumerate(zip(pieces, whole.after, strict=False)):
        at += len(piece)
        if finish == RESET and number % 4:
            continue  # a reset is told as a close is, but for what it destroys
        judge_cut_request(case, play([case.sent[:at]], finish), completed)


@pytest.mark.parametrize("finish", [CLOSE, "half", RESET])
@pytest.mark.parametrize("case", identified(REQUESTS, "the_client_goes_while_the_application_works"))
def test_the_client_goes_while_the_application_works(case: RequestCase, finish: str) -> None:
    application = Application(lambda message: ([], "keep"))
    played = play([case.sent], finish, application)
    clean(played)
    assert len(application.read) <= 1, "a second request went out before the first was answered"
    for told in application.connections:
        assert told.end.ended, "the application goes on working for nobody"
