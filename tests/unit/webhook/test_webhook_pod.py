"""Injection: golden pods, and tables for what must be rewritten, what must not, and what is skipped."""

from __future__ import annotations

import copy
import json

import pytest

from coalmine.model import names
from coalmine.model.wire import Injection
from coalmine_webhook.pod import decide_pod, owner_of
from coalmine_webhook.review import Allowed, Patched, Review, codes
from coalmine_webhook.sidecar import Kind, Settings

NATIVE = Settings("coalmine:test")
CLASSIC = Settings("coalmine:test", Kind.CLASSIC)
WEB = {"name": "web", "containerPort": 5000, "protocol": "TCP"}


def pod(containers=None, annotations=None, **spec):
    containers = containers or [{"name": "app", "image": "app:1", "ports": [dict(WEB)]}]
    metadata = {
        "generateName": "web-abc-",
        "labels": {"app": "web", names.SIDECAR_LABEL: "true"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}],
    }
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def replica_set(**annotations):
    keys = {f"{names.GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"metadata": {"name": "web-abc", "annotations": keys}}


def owned(owner):
    """The ReplicaSet as its Deployment has it; a canary's is hidden and has an annotation instead."""
    reference = {"kind": "Deployment", "name": "web", "controller": True}
    return {"metadata": {**owner["metadata"], "ownerReferences": [reference]}}


def review(obj, operation="CREATE", subresource=""):
    return Review("1", operation, subresource, "shop", "web-abc-", "rs", False, obj, None)


@pytest.fixture
def injected(apply):
    """The pod as it is stored; checks purity and a second pass along the way."""

    def run(obj, owner=None, settings=NATIVE):
        owner = replica_set() if owner is None else owner
        before = copy.deepcopy(obj)
        outcome = decide_pod(review(obj), owner, settings)
        assert obj == before, "the review was written to"
        result = apply(obj, outcome)
        assert decide_pod(review(result), owner, settings) == Allowed(), "a second pass changes more"
        return result

    return run


def sidecar_of(obj):
    containers = [*obj["spec"].get("initContainers", ()), *obj["spec"]["containers"]]
    return next(c for c in containers if c["name"] == names.SIDECAR_CONTAINER)


RICH = {
    "containers": [
        {
            "name": "app",
            "image": "app:1",
            "ports": [
                {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
                dict(WEB),
                {"name": "web", "containerPort": 5000, "protocol": "UDP"},
            ],
            "livenessProbe": {"httpGet": {"path": "/", "port": "web"}},
            "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 7},
            "startupProbe": {"httpGet": {"path": "/", "port": "metrics"}},
            "lifecycle": {
                "postStart": {"httpGet": {"path": "/up", "port": "web"}},
                "preStop": {"tcpSocket": {"port": "web"}},
            },
        },
        {
            "name": "side",
            "image": "side:1",
            "ports": [{"containerPort": 17080}],
            "livenessProbe": {"grpc": {"port": 3}},
            "readinessProbe": {"httpGet": {"path": "/", "port": 5000}},
        },
    ],
    "initContainers": [
        {"name": "setup", "image": "s"},
        {
            "name": "log",
            "image": "l",
            "restartPolicy": "Always",
            "startupProbe": {"httpGet": {"path": "/", "port": "web"}},
        },
    ],
    "volumes": [{"name": "data", "emptyDir": {}}],
    "terminationGracePeriodSeconds": 3,
    "annotations": {"a/b": "c"},
}


#: Both halves of the annotation: what is pushed later is not for the pod.
SETTINGS = """
timeouts: {idle: 5m, firstByte: 30s}
limits: {head: 64Ki}
forwarded: {trust: [10.0.0.0/8]}
metrics: {istio: true}
logs: {sample: 0.5}
workers: 2
affinity: {cookie: who}
balance: leastRequest
ejection: off
"""


@pytest.mark.parametrize(
    ("name", "fields", "owner", "settings"),
    [
        ("stable", {}, replica_set(), NATIVE),
        ("canary", {}, replica_set(role="canary"), NATIVE),
        ("classic", {}, replica_set(), CLASSIC),
        ("rich", RICH, replica_set(port="web", local_paths="/metrics,/debug"), NATIVE),
        ("rich-classic", RICH, replica_set(port="web", local_paths=""), CLASSIC),
        ("settings", {}, owned(replica_set(proxy=SETTINGS, protocol="tcp")), NATIVE),
    ],
)
def test_golden(golden, injected, name, fields, owner, settings):
    golden(f"pod-{name}", injected(pod(**copy.deepcopy(fields)), owner, settings))


def test_golden_patch(golden):
    outcome = decide_pod(review(pod(**copy.deepcopy(RICH))), replica_set(port="web"), NATIVE)
    assert isinstance(outcome, Patched)
    golden("patch-pod-rich", list(outcome.patch))


def test_the_name_moves_and_the_number_stays(injected):
    result = injected(pod())
    app, sidecar = result["spec"]["containers"][0], sidecar_of(result)
    assert app["ports"] == [{"containerPort": 5000, "protocol": "TCP"}]
    assert sidecar["ports"][0] == {"name": "web", "containerPort": 17080, "protocol": "TCP"}
    injection = Injection.from_json(result["metadata"]["annotations"][names.INJECTED])
    assert injection == Injection("web", 5000, 17080, 17081, canary=False)


def test_every_port_of_that_name_gives_it_up(injected):
    first = {"name": "a", "image": "a", "ports": [dict(WEB)]}
    second = {
        "name": "b",
        "image": "b",
        "ports": [{"name": "web", "containerPort": 6000}],
        "livenessProbe": {"httpGet": {"port": "web"}},
    }
    result = injected(pod([first, second]))
    assert [p.get("name") for c in result["spec"]["containers"] for p in c["ports"]] == [None, None]
    assert result["spec"]["containers"][1]["livenessProbe"]["httpGet"]["port"] == 6000, "the container's own port"
    assert json.loads(result["metadata"]["annotations"][names.INJECTED])["appPort"] == 5000


@pytest.mark.parametrize(
    ("declared", "pair"),
    [([17079], (17080, 17081)), ([17080], (17082, 17083)), ([17081], (17082, 17083)), ([17081, 17082], (17084, 17085))],
)
def test_the_sidecars_ports_move_away(injected, declared, pair):
    ports = [dict(WEB), *({"containerPort": n} for n in declared)]
    result = injected(pod([{"name": "app", "image": "a", "ports": ports}]))
    injection = Injection.from_json(result["metadata"]["annotations"][names.INJECTED])
    assert (injection.proxy_port, injection.admin_port) == pair
    sidecar = sidecar_of(result)
    assert sidecar["readinessProbe"]["httpGet"]["port"] == pair[1]
    assert sidecar["lifecycle"]["preStop"]["exec"]["command"][4] == str(pair[1])


@pytest.mark.parametrize("owner", [None, replica_set(role="canary")])
def test_a_canary_or_an_unknown_role_is_a_canary(owner):
    outcome = decide_pod(review(pod()), owner, NATIVE)
    assert isinstance(outcome, Patched)
    assert "--canary" in next(op["value"][0]["args"] for op in outcome.patch if op["path"] == "/spec/initContainers")


@pytest.mark.parametrize("bad", [{"protocol": "smoke"}, {"proxy": "workers: many"}])
def test_options_that_were_never_accepted_do_not_stop_a_pod(injected, bad):
    assert sidecar_of(injected(pod(), replica_set(**bad))) == sidecar_of(injected(pod(), replica_set()))


GOOD = {"port": "web", "protocol": "tcp", "local_paths": "/a,/b", "proxy": "{workers: 2}"}


@pytest.mark.parametrize(
    ("annotation", "bad"), [("protocol", "smoke"), ("local_paths", "metrics"), ("proxy", "workers: many")]
)
def test_an_option_that_was_never_accepted_costs_only_itself(injected, annotation, bad):
    without = {key: text for key, text in GOOD.items() if key != annotation}
    ports = [dict(WEB), {"name": "http", "containerPort": 1}]

    def sidecar(options):
        return sidecar_of(injected(pod([{"name": "app", "image": "a", "ports": ports}]), replica_set(**options)))

    assert sidecar({**GOOD, annotation: bad}) == sidecar(without) != sidecar({"port": "web"})


@pytest.mark.parametrize("text", ["", "{}", "{affinity: {}, pin: false}"])
def test_settings_that_are_not_for_the_pod_leave_it_as_it_is(injected, text):
    assert injected(pod(), replica_set(proxy=text)) == injected(pod(), replica_set())


@pytest.mark.parametrize(
    ("owner", "workload"),
    [
        (owned(replica_set(proxy="metrics: {istio: true}")), "web"),
        (replica_set(proxy="metrics: {istio: true}", role="canary", deployment="web"), "web"),
        (replica_set(proxy="metrics: {istio: true}"), ""),
    ],
)
def test_the_workload_of_the_metrics_is_the_deployment(injected, owner, workload):
    environment = {v["name"]: v for v in sidecar_of(injected(pod(), owner))["env"]}
    assert environment["COALMINE_WORKLOAD"]["value"] == workload


@pytest.mark.parametrize(
    ("obj", "code"),
    [
        (pod(hostNetwork=True), "HostNetwork"),
        (pod([{"name": "app", "image": "a"}]), "NoPortToTake"),
        (pod([{"name": names.SIDECAR_CONTAINER, "image": "a", "ports": [dict(WEB)]}]), "AlreadyInjected"),
        (pod(volumes=[{"name": names.STATE_VOLUME, "emptyDir": {}}]), "AlreadyInjected"),
    ],
)
def test_skipped_with_a_code_and_no_other_change(injected, obj, code):
    before = copy.deepcopy(obj)
    result = injected(obj)
    assert result["metadata"].pop("annotations") == {names.SKIPPED: code}
    assert result == before
    assert codes(decide_pod(review(obj), replica_set(), NATIVE)) == (code,)


@pytest.mark.parametrize(
    "asked",
    [
        review(pod(), operation="UPDATE"),
        review(pod(), subresource="ephemeralcontainers"),
        review({**pod(), "metadata": {"labels": {}}}),
    ],
)
def test_what_is_not_asked_for_is_left_alone(asked):
    assert decide_pod(asked, replica_set(), NATIVE) == Allowed()


@pytest.mark.parametrize(
    ("references", "owner"),
    [
        ([{"kind": "ReplicaSet", "name": "r", "controller": True}], "r"),
        ([{"kind": "Job", "name": "j", "controller": True}], None),
        ([{"kind": "ReplicaSet", "name": "r", "controller": False}], None),
        (None, None),
    ],
)
def test_owner(references, owner):
    assert owner_of({"metadata": {"ownerReferences": references}}) == owner


@pytest.mark.parametrize("settings", [NATIVE, CLASSIC])
def test_the_sidecar_fits_the_restricted_standard(injected, settings):
    sidecar = sidecar_of(injected(pod(), settings=settings))
    security = sidecar["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"] is True
    assert set(sidecar["resources"]["requests"]) == set(sidecar["resources"]["limits"]) == {"cpu", "memory"}
    assert (sidecar.get("restartPolicy") == "Always") is (settings is NATIVE)
