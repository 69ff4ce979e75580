"""`uninstall`: how a Deployment stands, the patch that lets go of it, what is planned, what is refused."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import check_sight as make
import jsonpatch
import pytest

from coalmine.kube import resources as r
from coalmine.kube.resources import Object
from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine_cli.call import USAGE
from coalmine_cli.uninstalling import plan, standing
from coalmine_cli.uninstalling.inventory import LABEL, Inventory
from coalmine_cli.uninstalling.pace import Pace, TimeIsOverError
from coalmine_cli.uninstalling.plan import Wanted
from coalmine_cli.uninstalling.removal import Removal
from coalmine_cli.uninstalling.rollouts import Closing
from coalmine_cli.uninstalling.standing import Where

HELD = "spec: {paused: true}"
GONE = "metadata: {annotations: {coalmine.dev/canary: null}}"

STANDINGS: list[tuple[str, Object, Where]] = [
    ("nothing held", make.deployment(stable="s"), Where.IDLE),
    ("the user's own pause", make.deployment(HELD, stable="s"), Where.IDLE),
    ("held", make.deployment(HELD, hold="f", stable="s"), Where.OPEN),
    ("held after another was taken back", make.deployment(HELD, hold="f", failed="e"), Where.OPEN),
    ("taken back", make.deployment(HELD, hold="f", failed="f"), Where.TAKEN_BACK),
    ("handing over", make.deployment(HELD, hold="f", handover="f"), Where.HANDING_OVER),
    ("released, healing", make.deployment(handover="f"), Where.HANDING_OVER),
    ("without its annotation", make.deployment(f"{{{GONE}, {HELD}}}", hold="f"), Where.ADRIFT),
]


@pytest.mark.parametrize(("deployment", "place"), [c[1:] for c in STANDINGS], ids=[c[0] for c in STANDINGS])
def test_standing(deployment: Object, place: Where) -> None:
    assert standing.where(deployment) is place


def gone(deployment: Object, **how: Any) -> Object:
    """The Deployment after the patch, as the API server would apply it."""
    patched: Object = jsonpatch.apply_patch(copy.deepcopy(deployment), standing.let_go(deployment, **how))
    return patched


@pytest.mark.parametrize("deployment", [d for _, d, _ in STANDINGS], ids=[c[0] for c in STANDINGS])
def test_nothing_of_ours_is_left(deployment: Object) -> None:
    after = gone(deployment)
    assert not standing.is_ours(after)
    assert names.GROUP not in str(after)
    ours = names.HOLD in deployment["metadata"]["annotations"]
    assert bool(after["spec"].get("paused")) is (bool(deployment["spec"].get("paused")) and not ours)
    assert after["spec"]["template"]["spec"] == deployment["spec"]["template"]["spec"]
    assert standing.let_go(after)[1:] == [], "and again: nothing is left to do"


def test_what_others_wrote_stays() -> None:
    deployment = make.deployment("metadata: {annotations: {team: shop}, labels: {team: shop}}", hold="f", port="web")
    after = gone(deployment)
    assert after["metadata"]["annotations"] == {"team": "shop"}
    assert after["metadata"]["labels"] == {"team": "shop"}


def test_the_stable_template_comes_back_in_the_same_write() -> None:
    deployment = make.deployment(HELD, hold="f", failed="f")
    stable = copy.deepcopy(deployment["spec"]["template"])
    stable["spec"]["containers"][0]["image"] = "colorapi:0.9"
    after = gone(deployment, template=stable)
    assert after["spec"]["template"]["spec"] == stable["spec"]
    assert after["spec"]["template"]["metadata"]["labels"] == {"app": "colorapi"}
    assert "paused" not in after["spec"]
    kept = gone(deployment, template=stable, keep_sidecars=True)
    assert kept["spec"]["template"] == stable


def test_sidecars_and_annotations_may_stay() -> None:
    deployment = make.deployment(stable="s", port="web")
    after = gone(deployment, keep_sidecars=True)
    assert after["spec"] == deployment["spec"], "no pod is touched"
    assert not standing.is_ours(after, keep_sidecars=True)
    assert standing.is_ours(after)
    after = gone(deployment, keep_annotations=True)
    assert set(after["metadata"]["annotations"]) == {names.CANARY, names.PORT}
    assert not standing.is_ours(after, keep_annotations=True)


def test_a_patch_is_about_the_version_that_was_read() -> None:
    first = standing.let_go(make.deployment())[0]
    assert first == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_what_the_native_controller_copied_is_taken_off_replica_sets() -> None:
    one = make.of("ReplicaSet", "")
    assert standing.forget(one) is None
    one["metadata"]["annotations"] = {names.CANARY: "auto", names.HOLD: "f", names.REVISION: "3"}
    assert standing.forget(one) == {"metadata": {"annotations": {names.CANARY: None, names.HOLD: None}}}
    one["metadata"]["annotations"][names.ROLE] = names.ROLE_CANARY
    assert standing.forget(one) is None, "a hidden one is deleted, or given back"


COMPLETE = [
    ("", True),
    ("status: {observedGeneration: 0}", False),
    ("status: {updatedReplicas: 1}", False),
    ("status: {replicas: 3}", False),
    ("status: {availableReplicas: null}", False),
    ("{spec: {replicas: 0}, status: {replicas: null, updatedReplicas: null, availableReplicas: null}}", True),
]


@pytest.mark.parametrize(("text", "complete"), COMPLETE)
def test_complete(text: str, complete: bool) -> None:
    assert standing.is_complete(make.deployment(text)) is complete


# --- what is planned, and refused ----------------------------------------------------------


def inventory(*deployments: Object, **changes: Any) -> Inventory:
    namespace = {"metadata": {"name": names.SYSTEM_NAMESPACE, "labels": dict([LABEL.split("=")])}}
    given: dict[str, Any] = {
        "registration": make.registration(),
        "deployments": deployments,
        "hidden": (),
        "rollouts": (),
        "templates": 0,
        "keys": (make.keys(),),
        "components": (make.component("coalmine-controller"), make.component("coalmine-webhook")),
        "leader": "controller-1",
        "cluster_roles": ((r.CLUSTER_ROLE_BINDINGS, "coalmine-controller"), (r.CLUSTER_ROLES, "coalmine-controller")),
        "crds": ("rollouts.coalmine.dev",),
        "namespace": namespace,
    }
    return Inventory(**(given | changes))


OPEN = make.deployment(HELD, hold="f", name="cart")
FAILED = make.deployment(HELD, hold="f", failed="f", name="pay")

REFUSALS: list[tuple[str, Inventory, Wanted, str]] = [
    ("nothing is open", inventory(make.deployment()), Wanted(), ""),
    ("open", inventory(OPEN, FAILED), Wanted(), "rollouts are open: shop/cart, shop/pay; write --finish "
     "(each is promoted in full) or --abort (each goes back to its stable template)"),
    ("abort", inventory(OPEN, FAILED), Wanted(abort=True), ""),
    ("finish", inventory(OPEN, FAILED), Wanted(finish=True), ""),
    ("nobody leads", inventory(OPEN, leader=""), Wanted(finish=True),
     "nobody can finish a rollout: no controller leads; write --abort"),
    ("no webhook", inventory(OPEN, registration=None), Wanted(finish=True),
     "nobody can finish a rollout: the webhook is gone; write --abort"),
    ("nobody is needed", inventory(FAILED, leader="", registration=None), Wanted(finish=True), ""),
    ("held at 0", inventory(make.deployment("spec: {replicas: 0, paused: true}", hold="f"), leader=""),
     Wanted(finish=True), ""),
    ("nobody, and back", inventory(OPEN, leader="", registration=None), Wanted(abort=True), ""),
]  # fmt: skip


@pytest.mark.parametrize(("there", "wanted", "sentence"), [c[1:] for c in REFUSALS], ids=[c[0] for c in REFUSALS])
def test_refusals(there: Inventory, wanted: Wanted, sentence: str) -> None:
    if not sentence:
        plan.refuse(there, wanted)
        return
    with pytest.raises(SpecError) as refused:
        plan.refuse(there, wanted)
    assert str(refused.value) == sentence


def test_a_plan() -> None:
    there = inventory(make.deployment(), OPEN, FAILED, templates=3)
    assert list(plan.sentences(there, Wanted(finish=True))) == [
        "shop/cart: promote colorapi:1.0 in full, and wait",
        "shop/pay: go back from colorapi:1.0 to its stable template",
        "delete the webhook configuration coalmine: nothing is held from here on",
        "shop/colorapi: take off all that is Coalmine's; a native rolling update takes its sidecars off",
        "shop/cart: take off all that is Coalmine's; a native rolling update takes its sidecars off",
        "shop/pay: take off all that is Coalmine's; a native rolling update takes its sidecars off",
        "delete the Deployment coalmine-system/coalmine-controller",
        "delete the Deployment coalmine-system/coalmine-webhook",
        "delete the ConfigMap shop/coalmine-keys",
        "delete the ClusterRoleBinding coalmine-controller",
        "delete the ClusterRole coalmine-controller",
        "delete the CustomResourceDefinition rollouts.coalmine.dev",
        "with them go 3 analysis template(s): --keep-crds keeps them",
        "delete the namespace coalmine-system, with all that is in it",
    ]


def test_a_plan_that_keeps_what_can_be_kept() -> None:
    there = inventory(make.deployment(), components=(), namespace={"metadata": {"name": names.SYSTEM_NAMESPACE}})
    wanted = Wanted(keep_sidecars=True, keep_annotations=True, keep_crds=True)
    lines = list(plan.sentences(there, wanted))
    assert lines[1] == (
        "shop/colorapi: take off all that is Coalmine's but the annotations that people wrote; its sidecars stay until "
        "its next native update, and serve locally"
    )
    assert "the controller controller-1 runs outside of the cluster: stop it then" in lines
    assert "keep the CustomResourceDefinitions and the analysis templates" in lines
    assert lines[-1] == "the namespace coalmine-system is kept, as it is not ours: what is ours in it goes"


def test_nothing_to_do() -> None:
    empty = inventory(registration=None, keys=(), components=(), leader="", cluster_roles=(), crds=(), namespace=None)
    assert list(plan.sentences(empty, Wanted())) == []


@pytest.mark.parametrize("flags", [["--finish", "--abort"], ["--timeout", "soon"], ["now"]])
def test_wrong_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from coalmine_cli import program

    with pytest.raises(SystemExit) as ended:
        program.parser("coalmine").parse_args(["uninstall", *flags])
    assert ended.value.code == USAGE


# --- waiting -------------------------------------------------------------------------------


def test_a_wait_ends() -> None:
    now = [0.0]

    async def pause(seconds: float) -> None:
        now[0] += seconds

    async def never() -> bool | None:
        return None

    async def soon() -> bool | None:
        return True if now[0] > 2 else None

    pace = Pace(lambda: now[0], pause, 5.0)
    assert asyncio.run(pace.until(soon, lambda: "it")) is True
    with pytest.raises(TimeIsOverError, match=r"the time is over \(it\): run it again to go on"):
        asyncio.run(pace.until(never, lambda: "it", within=1.0))
    assert now[0] < 4.5, "a wait of its own ends before the whole"


class Store:
    """What `Closing` and `Removal` use of a client: some objects, and what is done to them."""

    def __init__(self, objects: dict[r.Resource, list[Object]]) -> None:
        self.objects = objects

    async def list(self, resource: r.Resource, namespace: str | None = None) -> tuple[list[Object], str]:
        return list(self.objects.get(resource, ())), "1"

    async def find(self, resource: r.Resource, namespace: str | None, name: str) -> Object | None:
        return next((o for o in self.objects.get(resource, ()) if r.name_of(o) == name), None)

    async def delete(self, resource: r.Resource, namespace: str | None, name: str, *, uid: str | None) -> None:
        self.objects[resource] = [o for o in self.objects[resource] if r.name_of(o) != name]

    async def patch(self, resource: r.Resource, namespace: str, name: str, patch: list[Object], *, kind: str) -> Object:
        (found,) = self.objects[resource]
        changed: Object = jsonpatch.apply_patch(found, patch)
        self.objects[resource] = [changed]
        return changed


@pytest.mark.parametrize(("kept", "waited"), [(True, 0.0), (False, 60.0)])
def test_rollouts_of_annotations_that_stay_are_not_waited_for(kept: bool, waited: float) -> None:
    now, told = [0.0], []

    async def pause(seconds: float) -> None:
        now[0] += seconds

    rollout = {"kind": "Rollout", "metadata": {"name": "cart", "namespace": "shop", "uid": "u"}}
    store = Store({r.ROLLOUTS: [rollout]})
    removal = Removal(store, Pace(lambda: now[0], pause, 600.0), told.append)  # type: ignore[arg-type]
    asyncio.run(removal.leftovers(led=True, keep_annotations=kept))
    assert now[0] == waited
    assert ("the controller does not clean up: it is done here" in told) is not kept
    assert store.objects == {r.ROLLOUTS: []}


@pytest.mark.parametrize("handed", [False, True])
def test_what_was_handed_over_since_the_inventory_is_not_taken_back(handed: bool) -> None:
    old, new = deployment_of("1.0"), deployment_of("2.0")
    before, after = (fingerprint(d["spec"]["template"]) for d in (old, new))
    seen = make.merged(new, {"metadata": {"annotations": {names.HOLD: after, names.STABLE: before}}})
    since = make.merged(seen, {"metadata": {"annotations": {names.HOLD: None, names.STABLE: after}}})
    owner = {"kind": "Deployment", "name": "colorapi", "uid": "uid-colorapi", "controller": True}
    sets = [
        {
            "metadata": {
                "name": f"colorapi-{number}",
                "namespace": "shop",
                "annotations": {names.REVISION: str(number)},
                "ownerReferences": [owner],
            },
            "spec": {"template": d["spec"]["template"]},
        }
        for number, d in enumerate((old, new), 1)
    ]
    store = Store({r.DEPLOYMENTS: [since if handed else seen], r.REPLICA_SETS: sets})

    async def pause(seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    closing = Closing(store, Pace(lambda: 0.0, pause, 9.0), lambda _: None, led=False)  # type: ignore[arg-type]
    asyncio.run(closing.close([seen], finish=False))
    (stored,) = store.objects[r.DEPLOYMENTS]
    assert stored["spec"]["template"] == (new if handed else old)["spec"]["template"]


def deployment_of(version: str) -> Object:
    made = make.deployment()
    made["spec"]["template"]["spec"]["containers"][0]["image"] = f"colorapi:{version}"
    return made
