"""A model of the world around `plan`: the native controllers, the webhook's rules, pods and sidecars.

It is told by docs/architecture.md ("The native controller"); that the real ones behave so is shown
by tests/cluster/conformance. Everything happens when the test says so, and time is a number.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from coalmine.model.proxy_settings import DEFAULTS, ProxySettings
from coalmine.model.rollout import Promotion, Status, Wish, Wishes
from coalmine.model.route_steps import InForce
from coalmine.model.strategy import Strategy, parse_strategy
from coalmine.model.weights import Weight
from coalmine.model.wire import CANARY, SCHEMA, Injection, Routing
from coalmine_controller import actions as do
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Deployment, Observed, Pod, ReplicaSet, Run
from coalmine_controller.plan import plan

STEPS = """
steps:
- setWeight: 20
- pause: {duration: 30s}
- setWeight: 50
- pause: {duration: 30s}
scaleDownDelaySeconds: 5
abortScaleDownDelaySeconds: 5
"""


class Violation(AssertionError):
    """Something happened that must never happen."""


@dataclass
class SimPod:
    name: str
    uid: str
    replica_set: str
    canary_born: bool
    created: float
    bare: bool = False  # came up without a sidecar
    healthy: bool = False  # its application answers
    unreachable: bool = False  # its sidecar cannot be pushed to
    terminating: bool = False
    routing: Routing | None = None  # what its sidecar holds
    acknowledged: Routing | None = None  # what the living controller knows of that

    @property
    def ready(self) -> bool:
        drained = self.routing is not None and self.routing.drain
        return self.healthy and not drained and (self.bare or self.routing is not None or not self.canary_born)


@dataclass
class SimSet:
    name: str
    template: str
    replicas: int
    hidden: bool
    owned: bool
    referenced: bool
    created: float
    revision: int = 0
    desired: int = -1
    returnable: bool = False


@dataclass
class World:
    replicas: int = 5
    strategy: Strategy = field(default_factory=lambda: parse_strategy(STEPS))
    template: str = "v1"
    paused: bool = False
    hold: str | None = None
    stable: str | None = None
    failed: str | None = None
    handover: str | None = None
    reported: str | None = None
    generation: int = 1
    now: float = 1_000_000.0
    rollout: Status | None = None
    wishes: Wishes = field(default_factory=Wishes)
    run: Run | None = None
    sets: dict[str, SimSet] = field(default_factory=dict)
    pods: dict[str, SimPod] = field(default_factory=dict)
    events: list[do.Emit] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # templates whose pods never become healthy
    webhook_down: bool = False  # pods come up without a sidecar
    lookup_fails: bool = False  # pods are injected as a canary's, whatever they are
    deadline: float = 600.0
    analysis_problem: str = ""
    settings: ProxySettings = DEFAULTS
    schema: int | None = SCHEMA  # what the stable pods' sidecars understand
    first_look: bool = True
    #: Names of actions, after which the controller dies.
    dies_after: type | None = None
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    # --- what people and autoscalers do ------------------------------------------------------

    def set_template(self, template: str) -> bool:
        """A write of the template, through the webhook. False when it is denied."""
        if template == self.template:
            return True
        if self.handover is not None:
            return False
        if self.complete and self.hold is None:
            self.stable = self.template
        self.template = template
        self.generation += 1
        if self.stable is None:
            return True
        if template == self.stable:
            self.hold, self.paused, self.failed = None, False, None
        elif self.hold is not None or template == self.failed or self.replicas > 0:
            self.hold, self.paused = template, True
        else:
            self.stable = None
        self.native()
        return True

    def scale(self, replicas: int) -> None:
        self.replicas = replicas
        self.generation += 1
        self.native()

    def wish(self, **fields: bool) -> None:
        status = self.rollout
        if status is None or status.canary is None:
            return
        wish = Wish(status.canary.fingerprint, status.attempt)
        changes: dict[str, object] = {}
        for name in fields:
            if name == "promote":
                changes["promote"] = Promotion(wish, status.step, False)
            elif name == "full":
                changes["promote"] = Promotion(wish, status.step, True)
            else:
                changes[name] = wish
        self.wishes = replace(self.wishes, **changes)

    def break_pod(self, index: int) -> None:
        alive = [p for p in self.pods.values() if not p.terminating]
        if alive:
            alive[index % len(alive)].healthy = False

    def delete_pod(self, index: int) -> None:
        alive = [p for p in self.pods.values() if not p.terminating]
        if alive:
            alive[index % len(alive)].terminating = True
            self.native()

    # --- the native controllers and the kubelet ----------------------------------------------

    def heal(self, only: int | None = None) -> None:
        """Pods of good templates become healthy, terminating ones vanish."""
        for pod in list(self.pods.values())[: None if only is None else only + 1]:
            if pod.terminating:
                del self.pods[pod.uid]
            elif self.sets[pod.replica_set].template not in self.broken:
                pod.healthy = True
        self.native()

    def available(self, replica_set: SimSet) -> int:
        return sum(p.ready and not p.terminating for p in self.pods.values() if p.replica_set == replica_set.name)

    def current(self, replica_set: SimSet) -> int:
        return sum(not p.terminating for p in self.pods.values() if p.replica_set == replica_set.name)

    def native(self) -> None:
        """Run the Deployment and ReplicaSet controllers until they have nothing to do."""
        for _ in range(20):
            before = repr((self.sets, [(p.uid, p.terminating) for p in self.pods.values()]))
            self._claim()
            self._sync_deployment()
            self._sync_sets()
            if before == repr((self.sets, [(p.uid, p.terminating) for p in self.pods.values()])):
                return
        raise Violation("the native controllers do not come to rest")

    def _claim(self) -> None:
        for s in self.sets.values():
            if s.hidden and s.owned:
                s.owned = s.referenced = False
            elif not s.hidden and not s.owned:
                s.owned = s.referenced = True

    def _owned(self) -> list[SimSet]:
        return sorted((s for s in self.sets.values() if s.owned), key=lambda s: (s.created, s.name))

    def _new(self) -> SimSet | None:
        return next((s for s in self._owned() if s.template == self.template), None)

    def _sync_deployment(self) -> None:
        new, owned = self._new(), self._owned()
        if new is not None and new.revision != max(s.revision for s in owned):
            new.revision = max(s.revision for s in owned) + 1
        active = [s for s in owned if s.replicas > 0]
        if self.paused:
            if len(active) <= 1:
                target = active[0] if active else (new or max(owned, key=lambda s: s.created, default=None))
                if target is not None:
                    if self.replicas and not active and self.stable is not None and target.template != self.stable:
                        raise Violation("the native controller scales up a revision that is not stable")
                    target.replicas = target.desired = self.replicas
            elif new is not None and new.replicas == new.desired == self.available(new) == self.replicas:
                for s in active:
                    if s is not new:
                        s.replicas = 0
            else:
                raise Violation(
                    "two active ReplicaSets are owned outside the saturated case: the native one scales both"
                )
            return
        if self.template == self.failed:
            raise Violation("an aborted template is released")
        if new is None:
            revision = max((s.revision for s in owned), default=0) + 1
            new = self._make(f"native-{self.template}-{next(self._serial)}", self.template, 0)
            new.owned = new.referenced = True
            new.revision = revision
        new.replicas = new.desired = self.replicas
        for s in owned:
            if s is not new and self.available(new) >= self.replicas:
                s.replicas = 0

    def _make(self, name: str, template: str, replicas: int) -> SimSet:
        made = SimSet(name, template, replicas, False, False, False, self.now + len(self.sets) / 1000)
        self.sets[name] = made
        return made

    def _sync_sets(self) -> None:
        for s in self.sets.values():
            alive = [p for p in self.pods.values() if p.replica_set == s.name and not p.terminating]
            for pod in sorted(alive, key=lambda p: p.ready)[: max(0, len(alive) - s.replicas)]:
                pod.terminating = True
            for _ in range(s.replicas - len(alive)):
                uid = f"u{next(self._serial)}"
                canary = s.hidden or self.lookup_fails
                self.pods[uid] = SimPod(f"{s.name}-{uid}", uid, s.name, canary, self.now, bare=self.webhook_down)
        for uid in [p.uid for p in self.pods.values() if p.replica_set not in self.sets]:
            del self.pods[uid]

    @property
    def complete(self) -> bool:
        new = self._new()
        others = sum(self.current(s) for s in self._owned() if s is not new)
        return (
            new is not None
            and not self.paused
            and self.current(new) == self.available(new) == new.replicas == self.replicas
            and others == 0
        )

    # --- the controller ----------------------------------------------------------------------

    def observe(self, *, live: bool) -> Observed:
        images = (f"app:{self.template}",)
        deployment = Deployment(
            namespace="default", name="app", uid="d", generation=self.generation, fingerprint=self.template,
            replicas=self.replicas, min_ready=0, max_surge=2, progress_deadline=self.deadline,
            paused=self.paused, hold=self.hold, stable=self.stable, failed=self.failed, handover=self.handover,
            strategy=self.strategy, off=False, stamped=True, complete=self.complete,
            updated=self.current(self._new()) if self._new() else 0,  # type: ignore[arg-type]
            available=sum(self.available(s) for s in self._owned()), progressing_reason="",
            reported_failure=self.reported, images=images, local_paths=("/metrics",), settings=self.settings, raw={},
        )  # fmt: skip
        sets = tuple(
            ReplicaSet(
                name=s.name, uid=s.name, fingerprint=s.template, hash=f"h{s.template}", replicas=s.replicas,
                current=self.current(s), ready=self.available(s), available=self.available(s), hidden=s.hidden,
                ours=True, owned=s.owned, referenced=s.referenced, min_ready=0, returnable=s.returnable,
                revision=s.revision, created=s.created, images=(f"app:{s.template}",), failure="", raw={},
            )
            for s in self.sets.values()
        )  # fmt: skip
        pods = tuple(
            Pod(
                name=p.name, uid=p.uid, replica_set=p.replica_set, address=f"10.0.0.{i}", ready=p.ready,
                terminating=p.terminating, created=p.created, waiting="",
                injection=None if p.bare else Injection("web", 5000, 17080, 17081, p.canary_born),
                applied=p.acknowledged, schema=SCHEMA if p.canary_born else self.schema,
            )
            for i, p in enumerate(self.pods.values())
        )  # fmt: skip
        run = self.run if self.rollout is not None and self.run and self.run.name == self.rollout.analysis_run else None
        return Observed(
            deployment,
            self.rollout is not None,
            self.wishes,
            self.rollout or Status(),
            sets,
            pods,
            run,
            self.analysis_problem,
            "",
            live,
            self.first_look,
        )

    def look(self, *, deaf: bool = False) -> Decision:
        """One pass of the controller. With `deaf`, no sidecar is reached in it."""
        observed = self.observe(live=False)
        decision = plan(observed, self.now)
        if decision.needs_live:
            observed = self.observe(live=True)
            decision = plan(observed, self.now)
        self.first_look = False
        self._check(observed, decision)
        if self.rollout is not None:
            self.rollout = Status.from_json(decision.status.to_json())
        if not deaf:
            for uid, routing in decision.routes.items():
                if uid in self.pods and not self.pods[uid].unreachable and not self.pods[uid].bare:
                    self.pods[uid].routing = self.pods[uid].acknowledged = routing
        for action in decision.actions:
            self.perform(action)
            self.native()
            if self.dies_after is not None and isinstance(action, self.dies_after):
                self.dies_after = None
                self.restart_controller()
                break
        return decision

    def restart_controller(self) -> None:
        """A new one knows nothing of what sidecars have acknowledged."""
        self.first_look = True
        for pod in self.pods.values():
            pod.acknowledged = None

    def _check(self, observed: Observed, decision: Decision) -> None:
        serving = {p.uid for p in observed.pods if p.ready and not p.terminating}
        drained = {uid for uid, routing in decision.routes.items() if routing.drain}
        if serving and serving <= drained:
            raise Violation("the last pods that serve are drained")
        usable = {p.uid for p in observed.pods if p.ready and not p.terminating}
        for uid, routing in decision.routes.items():
            for arm in routing.arms:
                if not {e.uid for e in arm.endpoints} <= usable:
                    raise Violation(f"the sidecar of {uid} is told to send to a pod that is not ready")
                if arm.name == CANARY and arm.share > Weight.ZERO and self.failed == self.template:
                    raise Violation("requests are sent to an aborted canary")
                if arm.name == CANARY and (routing.routes or routing.mirrors) and not arm.endpoints:
                    raise Violation("a route leads to an arm without a pod")
            names = InForce(routing.routes, routing.mirrors).names
            if names != decision.status.routes:
                raise Violation(f"the sidecar of {uid} is told {names}, and the status says {decision.status.routes}")
            if (routing.routes or routing.mirrors) and self.failed == self.template:
                raise Violation("routes lead to an aborted canary")

    def perform(self, action: do.Action) -> None:
        match action:
            case do.Emit():
                self.events.append(action)
            case do.CreateRollout():
                self.rollout = Status()
            case do.Touch():
                if self.complete and self.hold is None:
                    self.stable = self.template
            case do.CreateCanary():
                made = self._make(f"canary-{self.template}-{next(self._serial)}", self.template, action.replicas)
                made.hidden = made.referenced = True
            case do.Hide():
                self.sets[action.name].hidden = self.sets[action.name].returnable = True
            case do.Reference():
                self.sets[action.name].referenced = True
            case do.ScaleCanary():
                self.sets[action.name].replicas = action.replicas
            case do.DeleteReplicaSet():
                if self.current(self.sets[action.name]):
                    raise Violation("a ReplicaSet with pods is deleted")
                self.pods = {u: p for u, p in self.pods.items() if p.replica_set != action.name}
                del self.sets[action.name]
            case do.ReturnReplicaSet():
                self.sets[action.name].hidden = self.sets[action.name].returnable = False
                self.sets[action.name].desired = 0
            case do.MarkFailed():
                self.failed = self.template
            case do.ReportFailure():
                self.reported = self.template
            case do.ClearFailed():
                self.failed = None
            case do.ClearFailure():
                self.reported = None
            case do.BeginHandover():
                self.handover = self.template
            case do.CancelHandover():
                self.handover = None
            case do.EndHandover():
                self.handover = None
                self.stable = self.stable if action.complete else None
            case do.DeletePod() | do.EvictPod():
                for pod in self.pods.values():
                    if pod.name == action.name:
                        pod.terminating = True
            case do.Relabel():
                s = self.sets[action.name]
                s.hidden, s.returnable, s.desired = False, False, self.replicas
            case do.Release():
                if self.hold is None or self.template == self.failed:
                    raise Violation("released what must stay held")
                self.hold, self.paused, self.stable = None, False, self.template
                self.handover = self.handover if action.early else None
                self.failed = None
            case do.StartAnalysis():
                self.run = (
                    self.run if self.run and self.run.name == action.run else Run(action.run, "Running", "", False)
                )
            case do.StopAnalysis():
                if self.run and self.run.name == action.run:
                    self.run = replace(self.run, terminated=True, phase="Successful")
            case _:
                raise AssertionError(f"not simulated: {action}")

    def settle(self, seconds: float = 0.0, *, healing: bool = True) -> Decision:
        """Let everything happen until nothing more does, or until `seconds` have passed."""
        end = self.now + seconds
        for _ in range(2000):
            before = repr((self.rollout, self.sets, self.pods, self.hold, self.failed, self.handover, self.reported))
            decision = self.look()
            if healing:
                self.heal()
            if before == repr(
                (self.rollout, self.sets, self.pods, self.hold, self.failed, self.handover, self.reported)
            ):
                if self.now >= end:
                    return decision
                wait = decision.requeue_after if decision.requeue_after is not None else end - self.now
                self.now = min(end, self.now + max(wait, 0.5))
        raise Violation("the controller does not come to rest")

    @classmethod
    def started(cls, **fields: object) -> World:
        """A healthy Deployment at v1."""
        world = cls(**fields)  # type: ignore[arg-type]
        world.native()
        world.heal()
        world.settle()
        return world

    @property
    def status(self) -> Status:
        assert self.rollout is not None
        return self.rollout

    def stable_pods(self) -> set[str]:
        return {p.uid for p in self.pods.values() if not p.terminating and self.sets[p.replica_set].owned}
