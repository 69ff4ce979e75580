"""Which arm gets the next request: exact shares, at random places.

PURE: randomness is passed in (a callable that returns a float in [0, 1)).

Rules:
- A share of w is *placed*: block k spans requests ceil(k/w) to ceil((k+1)/w) - 1 and holds one
  of them at a random place. Whatever the window of n requests, it cuts at most two blocks,
  so the count differs from n*w by less than 2. Nothing periodic is left for a
  pattern of requests to resonate with.
- Each splitter starts at a random phase: a hundred sidecars at 0.01 % do not all
  wait ten thousand requests for their first canary.
- At most half is placed; of a larger share the rest is placed, which is the same bound.
- Two arms: the smaller is placed. Canary and control with equal shares w beside stable:
  2w is placed as one, and each two of its requests are dealt out in random order. A window cuts at
  most two such pairs, so each arm is within 2/2 + 1 = 2 again.
- Three or more arms with unequal shares (the controller sends none): the largest is the rest,
  and the others share out the placed requests, smallest first, in even steps. The largest
  and the smallest keep the bound of 2, an arm between them has 3.
- A change of shares is a new splitter: each window from the change on has the property.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

#: A random number in [0, 1).
Random = Callable[[], float]

#: Shares are whole hundredths of a percent, so the pattern of blocks repeats after this many requests.
WHOLE: Final = 10_000


class Placed:
    """Picks `part` of every `whole` requests, one at a random place in each block.

    `part` is at most half of `whole`; 0 picks none.
    """

    __slots__ = ("_block", "_end", "_next", "_part", "_random", "_target", "_whole")

    def __init__(self, part: int, whole: int, random: Random) -> None:
        if not 0 <= 2 * part <= whole:
            raise ValueError(f"{part} of {whole} is more than a half: place the rest instead")
        self._part = part
        self._whole = whole
        self._random = random
        self._next = int(random() * whole)
        self._block = self._next * part // whole
        self._end = self._target = -1
        if part:
            self._place()

    def _place(self) -> None:
        """Choose the place within the current block."""
        part, whole = self._part, self._whole
        start = -(-self._block * whole // part)
        self._end = -(-(self._block + 1) * whole // part)
        self._target = start + int(self._random() * (self._end - start))

    def hit(self) -> bool:
        """Is the next request one of ours?"""
        here = self._next
        if here == self._end:
            self._block += 1
            if self._block == self._part:
                self._block = here = 0
            self._place()
        self._next = here + 1
        return here == self._target


class Steps:
    """Picks `part` of every `whole` in even steps from a random phase: within 1 in any window."""

    __slots__ = ("_part", "_sum", "_whole")

    def __init__(self, part: int, whole: int, random: Random) -> None:
        self._part = part
        self._whole = whole
        self._sum = int(random() * whole)

    def hit(self) -> bool:
        """Is the next one of ours?"""
        self._sum += self._part
        if self._sum >= self._whole:
            self._sum -= self._whole
            return True
        return False


class Splitter:
    """Deals requests out to arms by their shares (hundredths of a percent, summing to 10,000)."""

    __slots__ = ("_few", "_few_placed", "_other", "_owed", "_pair", "_placed", "_random", "_steps")

    def __init__(self, shares: Sequence[int], random: Random) -> None:
        if sum(shares) != WHOLE or min(shares) < 0:
            raise ValueError("the shares must be at least 0 and sum to 10,000 hundredths of a percent")
        self._random = random
        order = sorted((i for i, share in enumerate(shares) if share), key=lambda i: shares[i])
        pair = _equal_pair(order, shares)
        #: The two arms that are dealt out in pairs, and the one that the last pair still owes.
        self._pair = pair
        self._owed = -1
        self._other = next(i for i in reversed(order) if i not in pair) if len(order) > len(pair) else -1
        #: The arms that share what is not the largest's, smallest first.
        self._few = pair or tuple(i for i in order if i != self._other)
        few = sum(shares[i] for i in self._few)
        self._few_placed = 2 * few <= WHOLE
        self._placed = Placed(min(few, WHOLE - few), WHOLE, random)
        #: For each of `few` but the last: does it take what those before it have left?
        self._steps: list[tuple[int, Steps]] = []
        left = few
        if not pair:
            for i in self._few[:-1]:
                self._steps.append((i, Steps(shares[i], left, random)))
                left -= shares[i]

    def next(self) -> int:
        """The index of the arm that the next request goes to."""
        if self._placed.hit() is not self._few_placed:
            return self._other
        if self._pair:
            owed = self._owed
            if owed >= 0:
                self._owed = -1
                return owed
            one, other = self._pair
            if self._random() < 0.5:
                one, other = other, one
            self._owed = other
            return one
        for i, steps in self._steps:
            if steps.hit():
                return i
        return self._few[-1]


def _equal_pair(order: Sequence[int], shares: Sequence[int]) -> tuple[int, ...]:
    """Of two or three arms, the two that have equal shares (of three, rather the small ones)."""
    if len(order) in (2, 3) and shares[order[0]] == shares[order[1]]:
        return (order[0], order[1])
    if len(order) == 3 and shares[order[1]] == shares[order[2]]:
        return (order[1], order[2])
    return ()
