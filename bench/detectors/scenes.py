"""The arms of the benchmark: traffic of a canary that is as good as control, and of one that is not.

200 requests/s, 10 % of them the canary's, 30 minutes, a look a second, unless a scene says otherwise. Control is nine
pods with 20 requests/s each, as the canary's one pod has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bench.detectors.traffic import Arm, Counts, Numbers, Traffic, arm, both, buckets, bursts, told_apart, with_errors

RATE: Final = 200.0
SHARE: Final = 0.1
PODS: Final = 9
MINUTES: Final = 30
#: What a comparison leaves out of a new set of canary pods, in seconds: the default of the settings.
WARM_UP: Final = 30

Draw = Callable[[np.random.Generator, int, int], Traffic]

#: A canary that is as good; one that fails more; one that is slower; what is shown only to see what it does.
NULL, ERRORS, LATENCY, CONTRAST = "null", "errors", "latency", "contrast"


@dataclass(frozen=True, slots=True)
class Scene:
    """One arm. `minutes` is the length of its runs; a late onset is at `onset` seconds, times count from there.

    With `every` above 1, ours looks every so many seconds only, and nobody else is asked.
    """

    name: str
    kind: str
    draw: Draw
    minutes: int = MINUTES
    onset: int = 0
    every: int = 1


def steady(canary: object, control: object, rate: float = RATE) -> Draw:
    """Both arms fail at a rate that is constant, or known for each second; errors are single, on any pod."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        one = arm(rng, runs, seconds, rate * SHARE, canary, buckets())
        pods = np.stack(
            [
                rng.poisson(np.broadcast_to(rate * (1 - SHARE) / PODS * np.asarray(control), (runs, seconds)))
                for _ in range(PODS)
            ]
        )
        answered = np.broadcast_to(rate * (1 - SHARE) * (1 - np.asarray(control)), (runs, seconds))
        other = with_errors(rng, pods.sum(axis=0), answered, buckets())
        return told_apart(both(one, other, one.errors), pods)

    return draw


def sized(canary: float, control: float, failing: float, times: Numbers, bad: float | None = None) -> Draw:
    """Arms of so many requests a second; control's fail in 0.5 %. `bad` as in `slower`; None: what fails is bad."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        one = arm(rng, runs, seconds, canary, failing, times)
        return both(one, arm(rng, runs, seconds, control, 0.005, buckets()), one.errors if bad is None else bad)

    return draw


def lasting(size: int) -> Draw:
    """Clusters of errors of one arm, one in each second: a client that tries again, and stays with its arm."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        def of(rate: float) -> Arm:
            begun = rng.poisson(rate * 0.005 / size, (runs, seconds + size))
            errors = np.sum([begun[:, i : i + seconds] for i in range(size)], axis=0)
            return with_errors(rng, errors, np.full((runs, seconds), rate * 0.995), buckets())

        return both(of(RATE * SHARE), of(RATE * (1 - SHARE)))

    return draw


def late(before: float, after: float, onset: int) -> Draw:
    """The canary fails as often as control at first."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        return steady(np.where(np.arange(seconds) < onset, before, after), before)(rng, runs, seconds)

    return draw


def slower(canary: Numbers, bad: float, control: Numbers | None = None) -> Draw:
    """The canary's times; the part of its requests that this is bad for."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        one = arm(rng, runs, seconds, RATE * SHARE, 0.005, canary)
        other = arm(rng, runs, seconds, RATE * (1 - SHARE), 0.005, buckets() if control is None else control)
        return both(one, other, bad)

    return draw


def slower_late(factor: float, onset: int) -> Draw:
    """The canary is slower from `onset` on."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        scale = np.where(np.arange(seconds) < onset, 1.0, factor)
        return slower(buckets(scale), 1.0)(rng, runs, seconds)

    return draw


def tail(part: float, milliseconds: float) -> Numbers:
    """Some of the requests take so much longer."""
    return (1 - part) * buckets() + part * buckets(late=milliseconds)


def drifting(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """Error rate and times of both arms go up and down with a period of ten minutes."""
    wave = np.sin(2 * np.pi * np.arange(seconds) / 600)
    failing, times = 0.005 * (1 + 0.9 * wave), buckets(1 + 0.5 * wave)
    one = arm(rng, runs, seconds, RATE * SHARE, failing, times)
    return both(one, arm(rng, runs, seconds, RATE * (1 - SHARE), failing, times))


def stepped(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """5 %, 20 %, 50 %, then 10 %; while more fails the more the canary has, in both arms."""
    quarter = np.minimum(np.arange(seconds) * 4 // seconds, 3)
    share = np.array([0.05, 0.2, 0.5, 0.1])[quarter]
    failing, times = np.array([0.002, 0.005, 0.02, 0.004])[quarter], buckets(np.array([1, 1.2, 1.5, 1.0])[quarter])
    one = arm(rng, runs, seconds, RATE * share, failing, times)
    return both(one, arm(rng, runs, seconds, RATE * (1 - share), failing, times))


def clustered(size: int, failing: float = 0.005, lasting: float = 0.3) -> Draw:
    """Errors come so many at once, of one pod, in bursts that last so many seconds."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        each = RATE * (1 - SHARE) / PODS
        pods = np.stack([bursts(rng, runs, seconds, each * failing, size, lasting) for _ in range(PODS)])
        own = bursts(rng, runs, seconds, RATE * SHARE * failing, size, lasting)
        one = with_errors(rng, own, np.full((runs, seconds), RATE * SHARE * (1 - failing)), buckets())
        other = with_errors(
            rng, pods.sum(axis=0), np.full((runs, seconds), RATE * (1 - SHARE) * (1 - failing)), buckets()
        )
        return told_apart(both(one, other), pods)

    return draw


def cold(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """For 25 seconds the canary is slower, three times at first, and fails more, 3 % at first."""
    left = np.clip(1 - np.arange(seconds) / 25, 0, 1)
    one = arm(rng, runs, seconds, RATE * SHARE, 0.005 + 0.025 * left, buckets(1 + 2 * left))
    found = both(one, arm(rng, runs, seconds, RATE * (1 - SHARE), 0.005, buckets()))
    return replace(found, unseen=np.broadcast_to(np.arange(seconds) < WARM_UP, (runs, seconds)))


def slow_node(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """Ten pods on three nodes; the canary's node has three of control's. From minute 5 to 15 one node, any, is slower
    by half and fails three times as much, for whoever runs there."""
    at = np.arange(seconds)
    while_slow = (at >= 300) & (at < 900)
    node = rng.choice(3, runs, p=[0.4, 0.3, 0.3])  # the canary's, and the two others

    def part(pods: int, place: int) -> Arm:
        slow = while_slow[None, :] & (node == place)[:, None]
        failing = np.where(slow, 0.015, 0.005)
        usual, worse = buckets(), buckets(1.5)
        times = np.where(slow[..., None], worse, usual)
        return arm(rng, runs, seconds, pods * RATE * SHARE, failing, times)

    one, mates, others = part(1, 0), part(3, 0), _plus(part(3, 1), part(3, 2))
    return replace(both(one, _plus(mates, others)), matched=both(one, mates))


def hop(canary: float, control: float) -> Draw:
    """A service that answers in 2 ms. So much of each arm stays in the pod that was asked; others take 0.5 ms more."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        def times(local: float) -> Numbers:
            fast = {"median": 2.0, "spread": 0.5}
            return local * buckets(**fast) + (1 - local) * buckets(late=0.5, **fast)

        one = arm(rng, runs, seconds, RATE * SHARE, 0.005, times(canary))
        return both(one, arm(rng, runs, seconds, RATE * (1 - SHARE), 0.005, times(control)))

    return draw


def drained(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """In minute 5 a node goes, with three of ten pods: the sums of the counters fall, those that stay are slower by a
    fifth for three minutes. In three runs of ten the canary was there: it is away for ten seconds, then cold."""
    at = np.arange(seconds)
    gone = (rng.random(runs) < 0.3)[:, None]
    busy = (at >= 300) & (at < 480)
    left = np.where((at >= 310) & gone, np.clip(1 - (at - 310) / 25, 0, 1), 0.0)
    away = (at >= 300) & (at < 310) & gone
    rate = np.where(away, 0.0, RATE * SHARE)
    scale = 1 + 0.2 * busy + 2 * left
    one = arm(rng, runs, seconds, rate, 0.005 + 0.025 * left, _times(scale))
    other = arm(rng, runs, seconds, RATE - rate, 0.005, buckets(1 + 0.2 * busy))
    unseen = np.broadcast_to(at == 300, (runs, seconds)) | ((at >= 300) & (at < 311 + WARM_UP) & gone)
    return replace(both(one, other), unseen=unseen)


def alternating(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
    """Every other request is of a kind that fails in 1 % and takes twice as long. The splitter takes one of ten, at a
    random place, as ours does."""
    blocks = int(RATE * SHARE)
    heavy = rng.binomial(blocks, 0.5, (runs, seconds))

    def of(heavies: Counts, lights: Counts) -> Arm:
        failed = rng.binomial(heavies, 0.01)
        one = _exactly(rng, heavies - failed, buckets(2.0))
        return _plus(_plus(one, _exactly(rng, lights, buckets())), Arm(failed, failed, np.zeros_like(one.slow)))

    each = int(RATE) // 2
    return both(of(heavy, blocks - heavy), of(each - heavy, each - blocks + heavy))


def pausing(milliseconds: float, every: float) -> Draw:
    """Each pod pauses, every so many seconds or so: whoever asks it meanwhile waits for the rest of the pause."""

    def draw(rng: np.random.Generator, runs: int, seconds: int) -> Traffic:
        delayed = np.mean([buckets(late=milliseconds * part) for part in np.linspace(0.05, 0.95, 10)], axis=0)
        requests = RATE * SHARE * milliseconds / 1000

        def of(pods: int) -> Arm:
            stuck = rng.poisson(requests * rng.poisson(pods / every, (runs, seconds)))
            begins = rng.random((runs, seconds)) * 1000
            later = rng.binomial(stuck, np.clip((begins + milliseconds - 1000) / milliseconds, 0, 1))
            stuck[:, 1:] += later[:, :-1]
            rest = arm(rng, runs, seconds, pods * (RATE * SHARE - requests / every), 0.005, buckets())
            return _plus(rest, _exactly(rng, stuck - later, delayed))

        return both(of(1), of(PODS))

    return draw


def _exactly(rng: np.random.Generator, requests: Counts, times: Numbers) -> Arm:
    """An arm that answers exactly so many requests."""
    slow = np.zeros((len(times) - 1, *requests.shape), dtype=np.int32)
    left, chance = np.asarray(requests), 1.0
    for bucket in range(len(times) - 1):
        here = min(1.0, max(0.0, float(times[bucket]) / chance)) if chance > 1e-12 else 1.0
        left = left - rng.binomial(left, here)
        chance -= float(times[bucket])
        slow[bucket] = left
    return Arm(np.asarray(requests), np.zeros_like(requests), slow)


def _times(scale: Numbers) -> Numbers:
    """Buckets for many scales, of which few are different."""
    values, places = np.unique(scale, return_inverse=True)
    found: Numbers = buckets(values)[places.reshape(scale.shape)]
    return found


def _plus(one: Arm, other: Arm) -> Arm:
    return Arm(one.requests + other.requests, one.errors + other.errors, one.slow + other.slow)


SCENES: Final = (
    Scene("0.05 % fail", NULL, steady(0.0005, 0.0005)),
    Scene("0.5 % fail", NULL, steady(0.005, 0.005)),
    Scene("2 % fail", NULL, steady(0.02, 0.02)),
    Scene("drifting rates", NULL, drifting),
    Scene("stepped weights", NULL, stepped),
    Scene("clusters of 2", NULL, clustered(2)),
    Scene("clusters of 5", NULL, clustered(5)),
    Scene("cold start", NULL, cold),
    Scene("slow node", NULL, slow_node),
    Scene("a hop of 0.5 ms to peers", NULL, hop(0.1, 0.1)),
    Scene("drained node", NULL, drained),
    Scene("two kinds of requests in turn", NULL, alternating),
    Scene("pods that pause for 0.3 s", NULL, pausing(300, 15)),
    Scene("pods that pause for 1 s", NULL, pausing(1000, 60)),
    Scene("0.5 to 1 %", ERRORS, steady(0.01, 0.005)),
    Scene("0.5 to 2 %", ERRORS, steady(0.02, 0.005)),
    Scene("0.05 to 0.5 %", ERRORS, steady(0.005, 0.0005)),
    Scene("0.5 to 8 %", ERRORS, steady(0.08, 0.005)),
    Scene("0.5 to 5 %, 20 requests/s", ERRORS, steady(0.05, 0.005, 20.0)),
    Scene("0.5 to 2 %, from minute 15 on", ERRORS, late(0.005, 0.02, 900), onset=900),
    Scene("all fail, at a weight of 50 %", ERRORS, sized(100.0, 100.0, 1.0, buckets())),
    Scene("0.5 to 2 %, control as large as the canary", ERRORS, sized(20.0, 20.0, 0.02, buckets())),
    Scene("0.5 to 2 %, a look every 10 s", ERRORS, steady(0.02, 0.005), every=10),
    Scene("0.5 to 2 %, a look every 30 s", ERRORS, steady(0.02, 0.005), every=30),
    Scene("10 % slower", LATENCY, slower(buckets(1.1), 1.0)),
    Scene("25 % slower", LATENCY, slower(buckets(1.25), 1.0)),
    Scene("twice as slow", LATENCY, slower(buckets(2.0), 1.0)),
    Scene("2 % get 500 ms more", LATENCY, slower(tail(0.02, 500), 0.02)),
    Scene("1 % get 2 s more", LATENCY, slower(tail(0.01, 2000), 0.01)),
    Scene("25 % slower, from minute 15 on", LATENCY, slower_late(1.25, 900), onset=900),
    Scene("25 % slower, control as large as the canary", LATENCY, sized(20.0, 20.0, 0.005, buckets(1.25), 1.0)),
    Scene("clusters of 5 that last 0.9 s", CONTRAST, clustered(5, lasting=0.9)),
    Scene("clusters of 5 that last 0.9 s, 2 % fail", CONTRAST, clustered(5, 0.02, 0.9)),
    Scene("clusters of 10 that last 0.9 s", CONTRAST, clustered(10, lasting=0.9)),
    Scene("clusters of 5 that last 5 s", CONTRAST, lasting(5)),
    Scene("clusters of 5 that last 5 s, a look every 10 s", CONTRAST, lasting(5), every=10),
    Scene("clusters of 5 that last 5 s, a look every 30 s", CONTRAST, lasting(5), every=30),
    Scene("a hop, stable served locally", CONTRAST, hop(0.1, 5 / 6)),
)
