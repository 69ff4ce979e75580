"""Several replicas, stopped and killed between any two requests, against an API server that compares and swaps.

Looks are coroutines that are driven by hand, one request at a time, so that every interleaving can happen. What must
hold at every instant: what a replica serves is verified by the bundle that the API server has, and by each that
it had within the time in which API servers learn of a new one.
"""

from __future__ import annotations

import base64
import copy
import datetime
import itertools
from collections.abc import Generator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.kube.resources import MUTATING_WEBHOOKS, SECRETS
from coalmine.kube.verbs import ApiError, ConflictError, NotFoundError
from coalmine.model import names
from coalmine.model.errors import RemoteError
from coalmine_webhook import registration, secret
from coalmine_webhook.certificates import Mint, is_current, is_of
from coalmine_webhook.issuer import Issuer
from coalmine_webhook.metrics import Metrics

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SETTLE = 300.0
#: How late an API server may know of a new bundle, in seconds, and how wrong the clocks of replicas are.
LAG, SKEWS = 200.0, (0.0, 40.0, -40.0)


class Pause:
    """The moment between two lines in which anything can happen."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class World:
    """The API server's two objects, and the bundles that it has had."""

    def __init__(self) -> None:
        self.now = START
        self.versions = itertools.count(1)
        self.secret = None
        self.configuration = None
        #: Since when, which authorities in each webhook, and whether nobody but us has had a hand in it.
        self.bundles = []
        self.write_configuration(
            {"metadata": {"name": "coalmine"}, "webhooks": [{"name": n, "clientConfig": {}} for n in "abc"]}
        )

    def write_configuration(self, obj):
        obj["metadata"]["resourceVersion"] = str(next(self.versions))
        self.configuration = obj
        self.bundles.append((self.now, registration.read(obj).everywhere))

    def late(self):
        """The bundles that an API server may still go by."""
        following = [when for when, _ in self.bundles[1:]] + [self.now + datetime.timedelta(days=1)]
        for (_, bundle), replaced in zip(self.bundles, following, strict=True):
            if (self.now - replaced).total_seconds() < LAG:
                yield bundle


class Api:
    """The requests of one replica: a pause before each, and one before its answer comes."""

    def __init__(self, world):
        self._world = world

    async def find(self, resource, namespace, name):
        await Pause()
        found = copy.deepcopy(self._world.secret if resource is SECRETS else self._world.configuration)
        await Pause()
        return found

    async def create(self, resource, namespace, obj):
        await Pause()
        if self._world.secret is not None:
            raise ConflictError(409, "AlreadyExists", "")
        self._world.secret = self._versioned(obj)
        await Pause()

    async def replace(self, resource, namespace, obj):
        await Pause()
        if self._world.secret is None:
            raise NotFoundError(404, "NotFound", "")
        if self._world.secret["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "")
        self._world.secret = self._versioned(obj)
        await Pause()

    async def patch(self, resource, namespace, name, patch, *, kind):
        await Pause()
        assert resource is MUTATING_WEBHOOKS
        current = copy.deepcopy(self._world.configuration)
        if current is None:
            raise NotFoundError(404, "NotFound", "")
        for operation in patch:
            if operation["op"] == "test":
                if current["metadata"]["resourceVersion"] != operation["value"]:
                    raise ApiError(422, "Invalid", "")
            else:
                number = int(operation["path"].split("/")[2])
                current["webhooks"][number]["clientConfig"]["caBundle"] = operation["value"]
        self._world.write_configuration(current)
        await Pause()

    def _versioned(self, obj):
        return copy.deepcopy(obj) | {
            "metadata": {**obj["metadata"], "resourceVersion": str(next(self._world.versions))}
        }


class Replica:
    """A process: killed, it forgets everything; started again, it knows what the API server knows."""

    def __init__(self, world, number):
        self._world = world
        self._skew = datetime.timedelta(seconds=SKEWS[number])
        self.start()

    def start(self):
        mint = Mint(("webhook.svc",))
        self.issuer = Issuer(
            Api(self._world), "ns", "certs", mint, self._use, Metrics(), lambda: self._world.now + self._skew, SETTLE
        )
        self._look = None
        #: Taken with nothing else to serve: late API servers were given no time.
        self.fresh_at = None

    def _use(self, pair):
        before, published = self.issuer.served, registration.read(self._world.configuration or {}).everywhere
        good = before is not None and is_current(before.pair.certificate, self._world.now - 2 * abs(self._skew))
        if not good or before.authority not in published:
            self.fresh_at = self._world.now

    def step(self):
        """One request of the look, or part of one; True when it is over."""
        if self._look is None:
            self._look = self.issuer.look()
        try:
            self._look.send(None)
        except (StopIteration, RemoteError):
            self._look = None
            return True
        return False

    def finish(self):
        while not self.step():
            pass

    def stop(self):
        if self._look is not None:
            self._look.close()

    def kill(self):
        self.stop()
        self.start()

    @property
    def settled(self):
        return self.fresh_at is None or (self._world.now - self.fresh_at).total_seconds() >= LAG


def verified(served, bundle):
    return any(is_of(served.pair.certificate, authority) for authority in bundle)


def check(world, replicas):
    bundles = list(world.late())
    for replica in replicas:
        served = replica.issuer.served
        if served is None or not is_current(served.pair.certificate, world.now):
            continue  # a pair whose time is over is nobody's to mend but its own replica's
        assert verified(served, bundles[-1]), "not verified by the bundle that stands"
        if replica.settled:
            assert all(verified(served, bundle) for bundle in bundles), "not verified by an API server that is late"


WAITS = {"second": 1, "minute": 60, "settle": 310, "hour": 3600, "week": 7 * 86400, "month": 25 * 86400}
RUNS = st.tuples(st.sampled_from(["step", "step", "step", "finish", "finish", "kill"]), st.integers(0, 2))
TIMES = st.tuples(st.just("wait"), st.sampled_from(list(WAITS)))
ON_THE_SECRET = st.tuples(st.sampled_from(["delete", "spoil", "forget"]), st.just(""))
ON_THE_CONFIGURATION = st.tuples(st.sampled_from(["empty", "restore", "remove"]), st.just(""))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def act(world, replicas, action, on):
    match action:
        case "step":
            replicas[on % len(replicas)].step()
        case "finish":
            replicas[on % len(replicas)].finish()
        case "kill":
            replicas[on % len(replicas)].kill()
        case "wait":
            # replicas look every few seconds: before a long time passes each has
            if WAITS[on] > 400:
                for replica in replicas:
                    replica.finish()
            world.now += datetime.timedelta(seconds=WAITS[on])
        case "delete":
            world.secret = None
        case "spoil" if world.secret is not None:
            data = {**world.secret["data"], "ca.key": base64.b64encode(b"junk").decode()}
            version = {"resourceVersion": str(next(world.versions))}
            world.secret = {**world.secret, "data": data, "metadata": {**world.secret["metadata"], **version}}
        case "forget" if world.secret is not None:
            version = {"resourceVersion": str(next(world.versions)), "annotations": {}}
            world.secret = {**world.secret, "metadata": {**world.secret["metadata"], **version}}
        case "empty" if world.configuration is not None:
            obj = copy.deepcopy(world.configuration)
            for webhook in obj["webhooks"]:
                webhook["clientConfig"] = {}
            world.write_configuration(obj)
        case "restore" | "remove":
            world.write_configuration(
                {"metadata": {"name": "coalmine"}, "webhooks": [{"name": n, "clientConfig": {}} for n in "ab"]}
            )
            if action == "remove":
                world.configuration = None


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(st.integers(2, 3), st.lists(st.one_of(RUNS, RUNS, RUNS, TIMES), min_size=20, max_size=150))
def test_nobody_is_ever_refused(count, story):
    """Crashes and time alone, from shortly before the authority turns."""
    world = World()
    replicas = [Replica(world, number) for number in range(count)]
    for _ in range(9):
        act(world, replicas, "wait", "month")
    for action, on in story:
        act(world, replicas, action, on)
        check(world, replicas)


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(st.integers(2, 3), st.lists(st.one_of(RUNS, RUNS, RUNS, TIMES, ON_THE_SECRET), min_size=20, max_size=150))
def test_nobody_is_ever_refused_whatever_becomes_of_the_secret(count, story):
    """Deleted, with a key that is none, without its annotations."""
    world = World()
    replicas = [Replica(world, number) for number in range(count)]
    deleted = 0
    for action, on in story:
        deleted += action in ("delete", "spoil")
        if deleted <= 4 or action not in ("delete", "spoil"):  # see MOST_OLD
            act(world, replicas, action, on)
        check(world, replicas)


def test_one_that_read_the_configuration_long_ago_takes_back_nothing():
    """What hypothesis would have to be lucky for: deleted twice, and a replica that slept in between."""
    world = World()
    sleeper, awake, third = (Replica(world, number) for number in range(3))
    for replica in (sleeper, awake):
        replica.finish()
    world.secret = None
    for _ in range(2):
        sleeper.step()  # the configuration is read, the Secret is not
    awake.finish()  # a second authority is published
    third.finish()  # and served by one that has nothing else
    world.secret = None
    for replica in (sleeper, awake, sleeper):
        while not replica.step():
            check(world, (sleeper, awake, third))
    assert len(secret.decode(world.secret).old) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(
    st.integers(2, 3),
    st.lists(st.one_of(RUNS, RUNS, RUNS, TIMES, ON_THE_SECRET, ON_THE_CONFIGURATION), max_size=100),
)
def test_whatever_happened_it_ends_well(count, story):
    """The configuration, too, is somebody else's to spoil; left alone, all agree, and nothing is left to do."""
    world = World()
    replicas = [Replica(world, number) for number in range(count)]
    for action, on in story:
        act(world, replicas, action, on)
    if world.configuration is None:
        act(world, replicas, "restore", "")
    for replica in replicas:
        replica.stop()
        replica._look = None
    for _ in range(2):
        for _ in range(2):
            for replica in replicas:
                replica.finish()
        world.now += datetime.timedelta(seconds=SETTLE + 100)
    for replica in replicas:
        replica.finish()
    contents = secret.decode(world.secret)
    assert {replica.issuer.served.pair for replica in replicas} == {contents.serving}
    assert registration.read(world.configuration).everywhere >= {contents.authority.certificate}
    assert all(replica.issuer.unready() == "" for replica in replicas)
    check(world, replicas)
    versions = world.secret["metadata"]["resourceVersion"], world.configuration["metadata"]["resourceVersion"]
    for replica in replicas:
        replica.finish()
    assert versions == (
        world.secret["metadata"]["resourceVersion"],
        world.configuration["metadata"]["resourceVersion"],
    )
    assert names.CA_PUBLISHED in world.secret["metadata"]["annotations"]
