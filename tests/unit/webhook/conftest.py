"""A small world for the webhook's tests: one stored Deployment, written to as an API server lets it be.

Every write runs the pure review, applies its patch with `jsonpatch` as the oracle, and checks what must
hold of each answer: it is the same when asked again, the review is left untouched, and a second pass
over the patched object changes nothing.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine_webhook.deployment import decide
from coalmine_webhook.review import Allowed, Denied, Outcome, Patched, Review
from coalmine_webhook.validate import NO_CLAIMS, Claims

STEPS = "steps:\n- setWeight: 20\n- pause: {duration: 30s}\n"

Object = dict[str, Any]


def deployment(image: str = "app:1", canary: str | None = STEPS, replicas: int = 5, **annotations: str) -> Object:
    """A Deployment as the API server hands it over on CREATE, defaults filled in."""
    chosen = {f"{names.GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    if canary is not None:
        chosen[names.CANARY] = canary
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "annotations": chosen, "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"creationTimestamp": None, "labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "app",
                            "image": image,
                            "ports": [{"name": "web", "containerPort": 5000, "protocol": "TCP"}],
                        }
                    ]
                },
            },
        },
        "status": {},
    }


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as kubectl and our controller patch."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(obj: Object, outcome: Outcome) -> Object:
    operations = list(outcome.patch) if isinstance(outcome, Patched) else []
    result: Object = jsonpatch.apply_patch(copy.deepcopy(obj), operations)
    return result


class World:
    """One namespace with one Deployment, and the API server's part in a write."""

    USER = "alice"
    CONTROLLER = names.CONTROLLER_USER

    def __init__(self) -> None:
        self.stored: Object = {}
        self.outcome: Outcome = Allowed()
        self.claims: Claims = NO_CLAIMS
        #: Another webhook behind ours: changes the object, after which ours is asked again.
        self.other: Callable[[Object], None] | None = None

    # --- writes ---------------------------------------------------------------------------------

    def create(self, obj: Object, user: str = USER) -> Outcome:
        self.stored = {}
        return self._write(obj, None, user)

    def put(self, obj: Object, user: str = USER, *, dry_run: bool = False) -> Outcome:
        """``kubectl replace``: what is not written is gone; status and generation are the server's."""
        obj = copy.deepcopy(obj)
        obj["status"] = copy.deepcopy(self.stored["status"])
        for key in ("uid", "generation"):
            obj["metadata"][key] = self.stored["metadata"][key]
        return self._write(obj, self.stored, user, dry_run=dry_run)

    def merge(self, patch: Object, user: str = USER, *, dry_run: bool = False) -> Outcome:
        return self._write(merged(self.stored, patch), self.stored, user, dry_run=dry_run)

    def set_image(self, image: str, user: str = USER) -> Outcome:
        obj = copy.deepcopy(self.stored)
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return self._write(obj, self.stored, user)

    def annotate(self, user: str = USER, **annotations: str | None) -> Outcome:
        keys = {f"{names.GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()}
        return self.merge({"metadata": {"annotations": keys}}, user)

    def resume(self) -> Outcome:
        """``kubectl rollout resume``."""
        return self.merge({"spec": {"paused": None}})

    def _write(self, obj: Object, old: Object | None, user: str, *, dry_run: bool = False) -> Outcome:
        self.outcome, result = self._admit(obj, old, user, dry_run)
        if dry_run or isinstance(self.outcome, Denied):
            return self.outcome
        metadata = result["metadata"]
        metadata.setdefault("uid", "u1")
        # a Deployment's generation moves with its annotations too (registry/apps/deployment/strategy.go)
        changed = old is None or (result["spec"], metadata.get("annotations") or {}) != (
            old["spec"],
            old["metadata"].get("annotations") or {},
        )
        metadata["generation"] = (old["metadata"]["generation"] if old else 0) + (1 if changed else 0)
        if result["spec"].get("paused") is False:
            del result["spec"]["paused"]  # omitempty
        self.stored = result
        return self.outcome

    def _admit(self, obj: Object, old: Object | None, user: str, dry_run: bool) -> tuple[Outcome, Object]:
        outcome, result = self._review(obj, old, user, dry_run)
        if self.other is not None and not isinstance(outcome, Denied):
            self.other(result)
            outcome, result = self._review(result, old, user, dry_run)
        return outcome, result

    def _review(self, obj: Object, old: Object | None, user: str, dry_run: bool) -> tuple[Outcome, Object]:
        operation = "UPDATE" if old else "CREATE"
        review = Review("1", operation, "", "shop", "web", user, dry_run, obj, old)
        before = copy.deepcopy(review)
        outcome = decide(review, self.claims)
        assert review == before, "the review was written to"
        assert decide(review, self.claims) == outcome, "not the same answer twice"
        result = patched(obj, outcome)
        if not isinstance(outcome, Denied):
            again = decide(Review("2", operation, "", "shop", "web", user, dry_run, result, old), self.claims)
            assert isinstance(again, Allowed), f"a second pass changes more: {again}"
        return outcome, result

    # --- the native controller's part -----------------------------------------------------------

    def complete(self) -> World:
        """The native controller has rolled out what stands; the touch records it as stable."""
        self.settle()
        self.annotate(self.CONTROLLER)
        return self.settle()

    def settle(self, updated: int | None = None) -> World:
        """The native controller's status; `updated` pods of the current template."""
        wanted = self.stored["spec"]["replicas"]
        current = wanted if updated is None else updated
        numbers = {"replicas": wanted, "updatedReplicas": current, "availableReplicas": wanted, "readyReplicas": wanted}
        self.stored["status"] = {k: n for k, n in numbers.items() if n} | {
            "observedGeneration": self.stored["metadata"]["generation"]
        }
        return self

    def stable(self, obj: Object | None = None) -> World:
        """Created, rolled out, recorded."""
        self.create(obj or deployment())
        assert not isinstance(self.outcome, Denied), self.outcome
        return self.complete()

    def held(self, image: str = "app:2") -> World:
        """A stable one that got a new image, as the native controller then reports it."""
        self.stable()
        self.set_image(image)
        assert self.is_held
        return self.settle(updated=0)

    def failed(self, image: str = "app:3") -> World:
        self.held(image)
        self.annotate(self.CONTROLLER, failed=self.now)
        return self

    def handing_over(self) -> World:
        self.held()
        self.annotate(self.CONTROLLER, handover=self.now)
        return self

    def release(self, **more: str | None) -> Outcome:
        """The controller's third write."""
        own = {names.HOLD: None, names.STABLE: self.now} | {f"{names.GROUP}/{k}": v for k, v in more.items()}
        return self.merge({"metadata": {"annotations": own}, "spec": {"paused": None}}, self.CONTROLLER)

    # --- the state of the world -----------------------------------------------------------------

    @property
    def annotations(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.stored["metadata"].get("annotations") or {}
        return found

    @property
    def now(self) -> str:
        """Fingerprint of the template that stands."""
        return fingerprint(self.stored["spec"]["template"])

    @property
    def paused(self) -> bool:
        return self.stored["spec"].get("paused") is True

    @property
    def is_held(self) -> bool:
        held = self.annotations.get(names.HOLD)
        assert held is None or (held == self.now and self.paused), "hold and paused stand together, for this template"
        return held is not None

    @property
    def image(self) -> str:
        return str(self.stored["spec"]["template"]["spec"]["containers"][0]["image"])

    @property
    def stamps(self) -> tuple[bool, bool]:
        """Whether our label is on the Deployment, on its template."""
        on = self.stored["metadata"].get("labels", {}).get(names.ROLLOUT_LABEL) == "true"
        return on, self.stored["spec"]["template"]["metadata"]["labels"].get(names.SIDECAR_LABEL) == "true"

    @property
    def told(self) -> list[str]:
        """Codes of the warnings, or of the refusal."""
        if isinstance(self.outcome, Denied):
            return [self.outcome.reason.value]
        return [n.reason.value for n in self.outcome.notices] if isinstance(self.outcome, Allowed | Patched) else []


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def new_deployment() -> Callable[..., Object]:
    return deployment


@pytest.fixture
def apply() -> Callable[[Object, Outcome], Object]:
    return patched


@pytest.fixture
def golden() -> Callable[[str, Any], None]:
    """Compare with golden/NAME.yaml; UPDATE_GOLDEN=1 writes it."""

    def check(name: str, value: Any) -> None:
        path = Path(__file__).parent / "golden" / f"{name}.yaml"
        text = yaml.safe_dump(value, sort_keys=False, width=110)
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.write_text(text)
        assert path.exists(), f"no golden file {name}: run with UPDATE_GOLDEN=1 and read what it writes"
        assert path.read_text() == text

    return check
