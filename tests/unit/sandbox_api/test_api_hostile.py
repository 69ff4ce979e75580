"""Whatever is sent, the answer is never a fault of the server's own."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from typing import Any

import pytest
import virtual_time
from api_stand import Stand, config_map, deployment, pod
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.chain import Admission
from coalmine_sandbox.api.kinds import BUILTIN, Kind
from coalmine_sandbox.api.protobuf.decode import decode
from coalmine_sandbox.api.store import Store

JUNK: list[Any] = [None, "", "x", 0, -1, 1.5, True, [], {}, [None], [{}], {"": None}, "9" * 400, ["a", 1], {"a": [{}]}]
MEDIA = [
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
]
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "spec", "metadata", "kind", "x", "labels"]), inner, max_size=4),
    ),
    max_leaves=12,
)


def paths_of(value: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((key,))
        found += [(key, *rest) for rest in paths_of(item)]
    return found


def with_value(obj: Object, path: tuple[Any, ...], value: Any) -> Object:
    changed: Any = copy.deepcopy(obj)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(changed)


def collection(kind: Kind) -> str:
    return kind.resource.path("default" if kind.resource.namespaced else None)


SAMPLES: dict[str, Object] = {
    "Deployment": deployment(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}),
    "Pod": pod(volumes=[{"name": "v", "emptyDir": {}}], nodeSelector={"a": "b"}, tolerations=[{"key": "x"}]),
    "ConfigMap": config_map("a", x="1"),
    "Service": {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "name": "a"}], "selector": {"a": "b"}}},
    "Job": {"metadata": {"name": "j"}, "spec": {"template": {"spec": pod()["spec"] | {"restartPolicy": "Never"}}}},
    "Role": {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "CustomResourceDefinition": {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                }
            ],
        },
    },
    "MutatingWebhookConfiguration": {
        "metadata": {"name": "w"},
        "webhooks": [
            {
                "name": "a.example.com",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "rules": [
                    {"apiGroups": ["x"], "apiVersions": ["v1"], "resources": ["ys"], "operations": ["CREATE"]},
                ],
            }
        ],
    },
    "PodDisruptionBudget": {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {}}}},
    "EndpointSlice": {
        "metadata": {"name": "e"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.2"], "conditions": {"ready": True}}],
        "ports": [{"port": 80}],
    },
    "RoleBinding": {
        "metadata": {"name": "rb"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "x", "namespace": "y"}],
    },
}


async def guarded() -> Stand:
    """A server with all that admission may ask about an object."""
    store = Store()
    stand = Stand(store, Admission(store, random.Random(5)))
    labels = {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"}
    await stand.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "default", "labels": labels}})
    await stand.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    hard = {"count/configmaps": "50", "services": "50", "count/pods": "50"}
    quotas = "/api/v1/namespaces/default/resourcequotas"
    await stand.ask("POST", quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await stand.patch(f"{quotas}/q/status", {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    return stand


@pytest.mark.parametrize("kind", [k for k in BUILTIN if k.verbs != ("create",)], ids=lambda k: k.qualified)
async def test_each_value_of_an_object_may_be_junk(kind: Kind) -> None:
    """Every field of a sample of every kind, replaced by each kind of junk, in a create, a PUT and each patch.

    Under the real admission, in a namespace with a quota and a Pod Security standard.
    """
    stand = await guarded()
    sample = SAMPLES.get(kind.resource.kind, {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {}})
    where = collection(kind)
    created = await stand.answer("POST", where, sample)
    name = sample["metadata"]["name"]
    for path in paths_of(sample):
        for junk in JUNK:
            broken = with_value(sample, path, junk)
            one = copy.deepcopy(broken)
            if isinstance(one["metadata"], dict):
                one["metadata"]["name"] = "other"
            for method, target, body, media in (
                ("POST", where, one, "application/json"),
                ("PUT", f"{where}/{name}", broken, "application/json"),
                ("PATCH", f"{where}/{name}", broken, MEDIA[0]),
                ("PATCH", f"{where}/{name}", broken, MEDIA[2]),
                ("PATCH", f"{where}/{name}", broken, MEDIA[3]),
            ):
                answer = await stand.answer(
                    method, target, body, headers={"content-type": media}, dryRun="All", fieldManager="t"
                )
                assert answer.status != 500 or b"Internal error occurred" not in answer.body, (method, body, answer)
    assert created.status in (201, 422)


POD = "/api/v1/namespaces/default/pods/one"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"
ROBOT = "/api/v1/namespaces/default/serviceaccounts/robot"
ENTRY: Object = {"manager": "m", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1"}
BODIES: dict[tuple[str, str], Object] = {
    ("POST", f"{POD}/binding"): {"metadata": {"name": "one", "uid": "x", "annotations": {}}, "target": {"name": "n"}},
    ("POST", f"{POD}/eviction"): {
        "metadata": {"name": "one"},
        "deleteOptions": {"gracePeriodSeconds": 1, "preconditions": {"uid": "x"}, "propagationPolicy": "Orphan"},
    },
    ("POST", f"{ROBOT}/token"): {"spec": {"audiences": ["a"], "expirationSeconds": 700}},
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"): {
        "spec": {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/", "verb": "get"}}
    },
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"): {"spec": {"namespace": "x"}},
    ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"): {"metadata": {"name": "x"}},
    ("PUT", f"{WEB}/scale"): {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 1}},
    ("PATCH", f"{WEB}/scale"): {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 1}},
    ("PUT", WEB): deployment() | {"metadata": {"managedFields": [ENTRY | {"fieldsV1": {"f:spec": {"f:paused": {}}}}]}},
    ("DELETE", POD): {
        "gracePeriodSeconds": 1,
        "preconditions": {"uid": "x", "resourceVersion": "1"},
        "propagationPolicy": "Orphan",
        "dryRun": ["All"],
    },
}


@pytest.mark.parametrize("asked", BODIES, ids=" ".join)
async def test_each_value_of_what_is_no_object_may_be_junk(stand: Stand, asked: tuple[str, str]) -> None:
    """Subresources, reviews, options, who owns what."""
    method, path = asked
    for where, sample in ((POD, pod()), (WEB, deployment()), (ROBOT, {"metadata": {"name": "robot"}})):
        await stand.ask("POST", where.rpartition("/")[0], sample)
    media = {"content-type": MEDIA[0]} if method == "PATCH" else {}
    dry = {} if method == "DELETE" else {"dryRun": "All"}
    sample = BODIES[asked]
    for inner in paths_of(sample):
        if inner[0] != "spec" or path != WEB:
            for junk in [*JUNK, 10**15, 10**25, [[]], {"f:x": 1}, {"x": {}}, {"k:5": "x"}]:
                body = with_value(sample, inner, junk)
                answer = await stand.answer(method, path, body, headers=media, **dry)
                assert answer.status < 500, (body, answer)


@pytest.mark.parametrize("grace", ["--5", "²", "9" * 5000, "9" * 18, "-" + "9" * 18, "1_0", "-"])
async def test_any_grace_period_is_answered(stand: Stand, grace: str) -> None:
    await stand.ask("POST", POD.rpartition("/")[0], pod(nodeName="here"))
    answer = await stand.answer("DELETE", POD, gracePeriodSeconds=grace)
    assert answer.status == (200 if grace.strip("-9") == "" and 10 < len(grace) < 20 else 400)


@SETTINGS
@given(body=values, media=st.sampled_from(MEDIA), status=st.booleans())
def test_any_patch_is_answered(body: Any, media: str, status: bool) -> None:
    async def ask() -> None:
        stand = Stand()
        await stand.ask("POST", "/apis/apps/v1/namespaces/default/deployments", deployment())
        path = "/apis/apps/v1/namespaces/default/deployments/web" + ("/status" if status else "")
        answer = await stand.answer("PATCH", path, body, headers={"content-type": media}, fieldManager="t")
        assert answer.status < 500, (body, answer)
        assert (await stand.answer("GET", path)).status == 200

    virtual_time.run(ask())


@SETTINGS
@given(body=st.binary(max_size=60))
def test_any_bytes_are_answered(body: bytes) -> None:
    async def ask() -> None:
        stand = Stand()
        maps = "/api/v1/namespaces/default/configmaps"
        for media in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"):
            for sent in (body, b"k8s\x00" + body):
                answer = await stand.answer("POST", maps, sent, headers={"content-type": media})
                assert answer.status in (201, 400, 404, 422), answer

    virtual_time.run(ask())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "x"}, 400),
        ({"limit": "9" * 5000}, 400),
        ({"continue": "%%%"}, 400),
        ({"continue": "e30"}, 400),
        ({"labelSelector": "((("}, 400),
        ({"fieldSelector": "a"}, 400),
        ({"fieldSelector": "spec.x=1"}, 400),
        ({"resourceVersion": "-1"}, 400),
        ({"watch": "true", "timeoutSeconds": "abc"}, 400),
        ({"resourceVersion": "99"}, 504),
        # {"rv":1e999,"start":"a/b"}
        ({"continue": "eyJydiI6MWU5OTksInN0YXJ0IjoiYS9iIn0"}, 400),
    ],
)
async def test_any_query_is_answered(stand: Stand, query: dict[str, str], status: int) -> None:
    assert (await stand.answer("GET", "/api/v1/namespaces/default/configmaps", **query)).status == status


async def test_a_body_is_bounded(stand: Stand) -> None:
    big = json.dumps(config_map("a", x="y" * (3 << 20))).encode()
    refused = await stand.ask("POST", "/api/v1/namespaces/default/configmaps", big, status=413)
    assert refused["reason"] == "RequestEntityTooLarge"


async def test_nesting_and_aliases_are_bounded(stand: Stand) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    deep = b'{"a":' * 100_000
    assert (await stand.answer("POST", maps, deep)).status == 400
    nested: Any = {}
    for _ in range(400):
        nested = {"a": nested}
    assert (await stand.answer("POST", maps, {**config_map("a"), "data": nested})).status == 400
    laughs = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    )
    answer = await stand.answer("POST", maps, laughs.encode(), headers={"content-type": "application/yaml"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("media", "number", "stored"),
    [
        ("application/json", "1e999", None),
        ("application/json", "-1e999", None),
        ("application/yaml", ".inf", None),
        ("application/yaml", ".nan", None),
        ("application/yaml", "9" * 400, None),
        ("application/json", "9" * 400, None),
        ("application/json", "9" * 5000, None),
        ("application/json", "9223372036854775807", 2**63 - 1),
        ("application/json", "9223372036854775808", 2.0**63),
        ("application/yaml", "9223372036854775808", 2.0**63),
    ],
)
async def test_every_number_can_be_read_again(stand: Stand, media: str, number: str, stored: float | None) -> None:
    """A definition's default is any value; JSON has no infinity, and Go's integers have 64 bits."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    sample = copy.deepcopy(SAMPLES["CustomResourceDefinition"])
    sample["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = {
        "n": {"type": "number", "default": "NUMBER"}
    }
    body = json.dumps(sample).replace('"NUMBER"', number).encode()
    answer = await stand.answer("POST", crds, body, headers={"content-type": media})
    assert answer.status == (400 if stored is None else 201), answer
    if stored is not None:
        found = json.loads((await stand.answer("GET", f"{crds}/things.example.com")).body)
        kept = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert kept["n"]["default"] == stored
        assert type(kept["n"]["default"]) is type(stored)


async def test_an_object_is_no_deeper_than_its_readers_can_go(stand: Stand) -> None:
    """However it came to be so deep: at once, or patch by patch."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    sample = copy.deepcopy(SAMPLES["CustomResourceDefinition"])
    schema = sample["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] = True
    await stand.ask("POST", crds, sample)
    await asyncio.sleep(0)
    things = "/apis/example.com/v1/namespaces/default/things"
    nested: Any = {}
    for _ in range(120):
        nested = {"a": nested}
    thing: Object = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    refused = await stand.ask("POST", things, {**thing, "spec": nested}, status=400)
    assert "deeper than" in refused["message"]
    await stand.ask("POST", things, {**thing, "spec": {"a": {"a": {}}}})
    twice = [{"op": "copy", "from": "/spec", "path": "/spec/a/b"}] * 12
    for _ in range(12):
        answer = await stand.answer("PATCH", f"{things}/t", twice, headers={"content-type": MEDIA[1]})
        assert answer.status < 500
    found, depth = json.loads((await stand.answer("GET", f"{things}/t")).body), 0
    level: list[Any] = [found]
    while level:
        depth, level = depth + 1, [v for each in level if isinstance(each, dict) for v in each.values()]
    assert depth <= 102


def test_protobuf_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        decode(b"k8s\x00\x0a\xff")
