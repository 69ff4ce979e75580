"""Each answer case: whole, byte by byte, in two pieces at each byte, and cut at each byte."""

from __future__ import annotations

import itertools

import pytest
from wire_case import CLOSE, KEEP, RESET, AnswerCase
from wire_cases import ANSWERS, identified
from wire_play import NEXT, Played, judge_answer, judge_closed_answer, judge_cut_answer, play, writes
from wire_reading import answers
from wire_sidecar import MemorySidecar
from wire_transport import End
from wire_turns import Turns

_EACH = 400


def places(written: bytes) -> list[int]:
    if len(written) <= _EACH:
        return list(range(1, len(written)))
    return [*range(1, _EACH // 2), *range(_EACH // 2, len(written), max(1, len(written) // 50))]


def turnwise(case: AnswerCase, pieces: list[bytes], then: str) -> Played:
    """The application writes each piece on a turn of its own."""
    application = writes(case, [], KEEP)

    def go_on(turns: Turns, sidecar: MemorySidecar, client: End) -> None:
        if not application.connections:
            return
        end = application.connections[0].end
        for piece in pieces:
            end.send(piece)
            turns.settle()
        if then == CLOSE:
            end.close()
        elif then == RESET:
            end.reset()

    return play([case.asked], application=application, then=go_on)


@pytest.mark.parametrize("case", identified(ANSWERS, "whole"))
def test_whole(case: AnswerCase) -> None:
    judge_answer(case, play([case.asked], application=writes(case, [case.written], case.then)))
    judge_answer(case, turnwise(case, [case.written], case.then))


@pytest.mark.parametrize("case", identified(ANSWERS, "byte_by_byte"))
def test_byte_by_byte(case: AnswerCase) -> None:
    cuts = [0, *places(case.written), len(case.written)]
    judge_answer(case, turnwise(case, [case.written[a:b] for a, b in itertools.pairwise(cuts)], case.then))


@pytest.mark.parametrize("case", identified(ANSWERS, "two_pieces"))
def test_two_pieces(case: AnswerCase) -> None:
    for place in places(case.written):
        judge_answer(case, turnwise(case, [case.written[:place], case.written[place:]], case.then))


@pytest.mark.parametrize("then", [CLOSE, RESET])
@pytest.mark.parametrize("case", identified(ANSWERS, "cut"))
def test_cut(case: AnswerCase, then: str) -> None:
    until_close = then == CLOSE and case.expect != 502 and ends_with_its_connection(case)
    for place in [0, *places(case.written)]:
        part = case.written[:place]
        kept = turnwise(case, [part], KEEP)
        whole = bool(kept.client) and is_whole(case, kept)
        played = turnwise(case, [part], then)
        if until_close and not whole:
            judge_closed_answer(case, played)
        else:
            judge_cut_answer(case, played, whole)


def ends_with_its_connection(case: AnswerCase) -> bool:
    """Only the close says that the answer is whole."""
    return (
        case.then != KEEP
        and is_whole(case, turnwise(case, [case.written], CLOSE))
        and not is_whole(case, turnwise(case, [case.written], KEEP))
    )


def is_whole(case: AnswerCase, played: Played) -> bool:
    """The client had a whole answer while the application's connection was open."""
    return bool(answers(played.client, [case.asked.split(b" ")[0]], played.ended == "eof").messages)


@pytest.mark.parametrize("case", identified([case for case in ANSWERS if case.reused is not None]))
def test_the_connection_is_used_again_or_not(case: AnswerCase) -> None:
    application = writes(case, [case.written], case.then)

    def ask_again(turns: Turns, sidecar: MemorySidecar, client: End) -> None:
        turns.settle()
        client.send(NEXT)

    played = play([case.asked], application=application, then=ask_again)
    assert played.errors == []
    assert [message.start[1] for message in application.read][-1:] == [b"/next"]
    assert len(application.connections) == (1 if case.reused else 2)
    assert played.client.endswith(b"ok")
