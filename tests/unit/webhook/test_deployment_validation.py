"""Rule 6: what is refused, with the field and what to write; and what passes unread."""

from __future__ import annotations

import copy

import pytest

from coalmine.model import names
from coalmine_webhook.deployment import claims_to_read, decide
from coalmine_webhook.review import Denied, Review


def pods(**fields):
    return {"spec": {"template": {"spec": fields}}}


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        result[key] = merge(result.get(key), value)
    return result


def note(key, value):
    return {"metadata": {"annotations": {key: value}}}


def app(*ports, **more):
    return pods(containers=[{"name": "app", "image": "app:1", "ports": list(ports), **more}])


WEB = {"name": "web", "containerPort": 5000}
CANARY = f"metadata.annotations[{names.CANARY}]"
ROUTED = """
trafficRouting: {managedRoutes: [{name: a}]}
steps:
- setHeaderRoute: {name: a, match: [{headerName: h, headerValue: {exact: x}}]}
"""

REFUSED = {
    "no YAML": (note(names.CANARY, "steps: [\n"), "BadAnnotation", f"{CANARY}: not YAML at line 2"),
    "a bad weight": (
        note(names.CANARY, "steps:\n- setWeight: 120\n"),
        "BadAnnotation",
        f"{CANARY}.steps[0].setWeight:",
    ),
    "a typing error": (note(names.CANARY, "stepps: []"), "BadAnnotation", "did you mean steps?"),
    "a billion laughs": (note(names.CANARY, "a: &a [1]\nb: *a"), "BadAnnotation", "aliases are not allowed"),
    "an unknown protocol": (note(names.PROTOCOL, "udp"), "BadAnnotation", f"metadata.annotations[{names.PROTOCOL}]:"),
    "settings with a typing error": (
        note(names.PROXY, "timeout: {}"),
        "BadAnnotation",
        f"metadata.annotations[{names.PROXY}].timeout: is unknown; did you mean timeouts?",
    ),
    "a limit of nothing": (note(names.PROXY, "limits: {head: 0}"), "BadAnnotation", "0 is not in range; write"),
    "a route without a name among the managed": (
        note(names.CANARY, "steps: [setHeaderRoute: {name: a}]"),
        "BadAnnotation",
        f"{CANARY}.steps[0].setHeaderRoute.name:",
    ),
    "an expression that a sidecar would refuse": (
        note(names.CANARY, ROUTED.replace("exact: x", "regex: '(?=x)'")),
        "BadAnnotation",
        "is not a regular expression: invalid perl operator",
    ),
    "routes over TCP": (
        merge(note(names.CANARY, ROUTED), note(names.PROTOCOL, "tcp")),
        "BadAnnotation",
        f"{CANARY}.steps[0]: routes need HTTP, and coalmine.dev/protocol is tcp; "
        'remove the step, or write "http" in the annotation coalmine.dev/protocol',
    ),
    "affinity over TCP": (
        merge(note(names.PROXY, "affinity: {}"), note(names.PROTOCOL, "tcp")),
        "BadAnnotation",
        f"metadata.annotations[{names.PROXY}].affinity: a cookie needs HTTP",
    ),
    "a relative path": (note(names.LOCAL_PATHS, "metrics"), "BadAnnotation", "'metrics' is not a path"),
    "Recreate": ({"spec": {"strategy": {"type": "Recreate"}}}, "RecreateStrategy", "spec.strategy.type"),
    "the node's network": (pods(hostNetwork=True), "NotInjectable", "spec.template.spec.hostNetwork"),
    "no port": (pods(containers=[{"name": "app", "image": "a"}]), "NotInjectable", "no TCP port has a name"),
    "no named port": (app({"containerPort": 80}), "NotInjectable", "targetPort"),
    "an UDP port": (app({**WEB, "protocol": "UDP"}), "NotInjectable", "no TCP port has a name"),
    "several ports": (
        app({"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 2}),
        "NotInjectable",
        ": a, b;",
    ),
    "http and web": (app(WEB, {"name": "http", "containerPort": 1}), "NotInjectable", f"annotations[{names.PORT}]"),
    "a port that is not there": (note(names.PORT, "grpc"), "NotInjectable", "named TCP ports here: web"),
    "a container of our name": (
        pods(initContainers=[{"name": names.SIDECAR_CONTAINER, "image": "x"}]),
        "NotInjectable",
        "a container named coalmine-proxy",
    ),
    "a selector for anything": (
        {"spec": {"selector": {"matchLabels": None, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}},
        "SelectorTooWide",
        "spec.selector",
    ),
}


@pytest.mark.parametrize(("change", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_on_create_and_on_update(world, new_deployment, change, code, words):
    bad = merge(new_deployment(), change)
    for write in (world.create, world.put):
        outcome = write(bad)
        assert isinstance(outcome, Denied)
        assert (outcome.reason.value, outcome.code) == (code, 422)
        assert words in outcome.message
        assert "\n" not in outcome.message
        world.stable()


PASSED = {
    "several ports, one named": (
        note(names.PORT, "b"),
        app({"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 2}),
    ),
    "several ports, one web": ({}, app({"name": "a", "containerPort": 1}, WEB)),
    "a port of a native sidecar": (
        note(names.PORT, "edge"),
        pods(
            initContainers=[
                {"name": "p", "image": "p", "restartPolicy": "Always", "ports": [{"name": "edge", "containerPort": 1}]}
            ]
        ),
    ),
    "routes": (note(names.CANARY, ROUTED), {}),
    "TCP": (note(names.PROTOCOL, " tcp"), note(names.PROXY, "{workers: 2, timeouts: {tunnel: 2h}}")),
    "no local path at all": (note(names.LOCAL_PATHS, ""), {}),
    "a selector by expression": (
        {},
        {"spec": {"selector": {"matchLabels": None, "matchExpressions": [{"key": "app", "operator": "Exists"}]}}},
    ),
}


@pytest.mark.parametrize(("first", "second"), PASSED.values(), ids=PASSED.keys())
def test_passed(world, new_deployment, first, second):
    world.create(merge(merge(new_deployment(), first), second))
    assert world.stamps == (True, True)


CLAIM = pods(
    volumes=[{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
)


@pytest.mark.parametrize(
    ("modes", "refused"),
    [
        (["ReadWriteOnce"], True),
        (["ReadWriteOncePod"], True),
        (["ReadWriteOnce", "ReadWriteMany"], False),
        (["ReadOnlyMany"], False),
        (None, False),
    ],
)
def test_claims(world, new_deployment, modes, refused):
    world.claims = {} if modes is None else {"data": modes}
    outcome = world.create(merge(new_deployment(), CLAIM))
    assert isinstance(outcome, Denied) is refused
    if refused:
        assert outcome.message.startswith("spec.template.spec.volumes[1]: the claim data is ReadWriteOnce")


def test_an_ephemeral_claim_is_each_pods_own(world, new_deployment):
    volume = {"name": "x", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}
    world.create(merge(new_deployment(), pods(volumes=[volume])))
    assert world.stamps == (True, True)


def test_claims_are_asked_for_only_when_they_count(world, new_deployment):
    obj = merge(new_deployment(), CLAIM)

    def asked(new, old):
        return claims_to_read(Review("1", "UPDATE" if old else "CREATE", "", "shop", "web", "a", False, new, old))

    assert asked(obj, None) == ("data",)
    world.create(obj)
    scaled = merge(world.stored, {"spec": {"replicas": 9}})
    assert asked(scaled, world.stored) == ()
    assert asked(merge(scaled, note(names.CANARY, "off")), world.stored) == ()
    assert asked(merge(new_deployment(canary=None), CLAIM), None) == ()


def test_what_stands_passes_again_unread(world, new_deployment):
    world.stable()
    # as if a rule had been added since: it must not block what has nothing to do with it
    world.stored["spec"]["strategy"] = {"type": "Recreate"}
    world.merge({"spec": {"replicas": 2}})
    assert world.stored["spec"]["replicas"] == 2
    world.set_image("app:2")
    assert world.told == ["RecreateStrategy"]
    world.annotate(canary="off")
    assert world.told == ["OptedOut"], "the escape hatch is never locked"


def test_a_status_review_is_not_for_here(new_deployment):
    obj = new_deployment()
    review = Review("1", "UPDATE", "status", "shop", "web", "a", False, obj, copy.deepcopy(obj))
    assert not getattr(decide(review), "patch", ())
