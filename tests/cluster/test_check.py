"""`coalmine check` against an installation: clean, and with each of several faults put into it.

The tests of this module share one application; each takes its fault out again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from releases import Stage

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LIMIT_RANGES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NETWORK_POLICIES,
    QUOTAS,
    SERVICES,
    Object,
    Resource,
    resource_version_of,
)
from coalmine.kube.verbs import NotFoundError
from coalmine.model import names
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab

pytestmark = [pytest.mark.cluster, pytest.mark.long]


class Told(NamedTuple):
    """What `check` says: its exit code, and its findings."""

    code: int
    findings: list[dict[str, str]]

    def lines(self, *results: str) -> list[str]:
        return [f"{f['about']}: {f['check']}: {f['message']}" for f in self.findings if f["result"] in results]


async def checked(stage: Stage, *arguments: str) -> Told:
    done = await stage.app.lab.coalmine("check", "-n", stage.app.namespace, "-o", "json", *arguments)
    assert done.stdout, done.stderr
    told = Told(done.code, json.loads(done.stdout)["findings"])
    assert all(f["advice"] for f in told.findings if f["result"] in ("failed", "warning") and f["check"] != "services")
    return told


async def finds(stage: Stage, part: str, *, result: str = "failed") -> None:
    """`check` names it, and nothing else goes wrong."""
    told = await checked(stage)
    bad = told.lines("failed", "warning")
    assert [part in line for line in bad] == [True], bad
    assert [part in line for line in told.lines(result)] == [True]
    assert told.code == (1 if result == "failed" else 0)
    assert (await checked(stage, "--strict")).code == 1


@contextlib.asynccontextmanager
async def put(stage: Stage, resource: Resource, obj: Object, *, namespace: str | None = None) -> AsyncIterator[None]:
    """An object that is there meanwhile."""
    where = namespace or stage.app.namespace
    try:
        await stage.app.lab.client.create(resource, where, obj)
    except NotFoundError:
        pytest.skip(f"the sandbox's API server does not serve {resource.plural}: only the real one shows this")
    yield
    await stage.app.lab.client.delete(resource, where, obj["metadata"]["name"])


@contextlib.asynccontextmanager
async def patched(stage: Stage, resource: Resource, name: str, patch: Object, back: Object) -> AsyncIterator[None]:
    """An object that is changed meanwhile."""
    where = stage.app.namespace if resource.namespaced else None
    await stage.app.lab.client.patch(resource, where, name, patch)
    yield
    await stage.app.lab.client.patch(resource, where, name, back)


def test_an_installation_is_clean(whole: Stage, run: Any) -> None:
    told = run(checked(whole))
    assert told.lines("failed", "warning") == []
    assert told.code == 0
    skipped = told.lines("skipped")
    # the lab's components are processes, not Deployments
    for name in ("webhook", "controller"):
        assert any(f"there is no Deployment coalmine-{name} in coalmine-system: it runs outside" in s for s in skipped)
    good = told.lines("ok")
    assert "cluster: webhook reachable: the webhook refuses a Deployment with a bad annotation (dry run)" in good
    assert f"{whole.app.namespace}/colorapi: sidecars: all 5 pods have a sidecar" in good
    assert f"{whole.app.namespace}/colorapi: services: the Service colorapi comes by the sidecars" in good


def test_text_and_all_namespaces(whole: Stage, run: Any) -> None:
    async def story() -> None:
        done = await whole.app.lab.coalmine("check", "-A")
        assert f"ok       {whole.app.namespace}/colorapi: sidecars: all 5 pods have a sidecar" in done.stdout
        assert done.stdout.splitlines()[-1].split(",")[0].endswith(" ok")

    run(story())


def test_before_an_installation(whole: Stage, run: Any) -> None:
    """What an installer may, and the server can; of the installation that is there nothing is asked."""
    told = run(checked(whole, "--before"))
    assert told.lines("failed") == []
    ours = ("cluster: controller", "cluster: webhook", "cluster: kinds")
    assert not [line for line in told.lines("ok", "skipped") if line.startswith(ours)]
    assert "cluster: rights to install: you may do what is needed" in told.lines("ok")


def test_in_the_middle_of_a_release(whole: Stage, run: Any) -> None:
    """What Coalmine does itself is no fault."""

    async def meanwhile(mark: str) -> None:
        await whole.app.until(lambda s: s.actual_weight.percent == 20)
        told = await checked(whole)
        assert told.lines("failed", "warning") == []

    run(whole.good_release(meanwhile))


def test_a_registration_without_authority(whole: Stage, run: Any) -> None:
    """The webhook writes it again at once; `check` is asked while it cannot."""
    lab = whole.app.lab

    async def story() -> None:
        await _stop(lab.webhook)
        before = await lab.client.get(MUTATING_WEBHOOKS, None, "coalmine")
        bare = json.loads(json.dumps(before))
        for webhook in bare["webhooks"]:
            webhook["clientConfig"].pop("caBundle", None)
        await lab.client.replace(MUTATING_WEBHOOKS, None, bare)
        told = await checked(whole)
        assert told.code == 1
        bundles = [line for line in told.lines("failed") if "webhook CA bundle" in line]
        assert [line.split()[4] for line in bundles] == [w["name"] for w in before["webhooks"]]
        assert any("webhook reachable: the API server cannot ask the webhook" in line for line in told.lines("failed"))
        now = await lab.client.get(MUTATING_WEBHOOKS, None, "coalmine")
        restored = before | {"metadata": before["metadata"] | {"resourceVersion": resource_version_of(now)}}
        await lab.client.replace(MUTATING_WEBHOOKS, None, restored)
        _start(lab)
        await lab.webhook_ready()
        await lab.until(lambda: _clean(whole), "all is well again")

    run(story())


async def _stop(daemon: Daemon | None) -> None:
    assert daemon is not None
    await daemon.stop()


def _start(lab: Lab) -> None:
    assert lab.webhook is not None
    lab.webhook.start()


async def _clean(stage: Stage) -> bool:
    return (await checked(stage)).code == 0


def test_a_service_by_number(whole: Stage, run: Any) -> None:
    async def story() -> None:
        spec = {"selector": {"app": "colorapi"}, "ports": [{"port": 80, "targetPort": 5000}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "by-number"}, "spec": spec}
        async with put(whole, SERVICES, service):
            await finds(whole, "Service by-number: spec.ports[0].targetPort: 5000 is the number")

    run(story())


def test_a_network_policy(whole: Stage, run: Any) -> None:
    async def story() -> None:
        rule: Object = {"from": [{"podSelector": {}}]}
        spec: Object = {"podSelector": {"matchLabels": {"app": "colorapi"}}, "ingress": [rule]}
        kind = {"apiVersion": NETWORK_POLICIES.api_version, "kind": NETWORK_POLICIES.kind}
        policy = {**kind, "metadata": {"name": "own"}, "spec": spec}
        async with put(whole, NETWORK_POLICIES, policy):
            await finds(whole, "the NetworkPolicy own keeps the controller from the sidecars' admin port")

    run(story())


def test_a_limit_range(whole: Stage, run: Any) -> None:
    async def story() -> None:
        spec = {"limits": [{"type": "Container", "max": {"memory": "100Mi"}}]}
        limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": spec}
        async with put(whole, LIMIT_RANGES, limits):
            await finds(whole, "the LimitRange small refuses pods with a sidecar: it limits memory 192Mi")

    run(story())


def test_a_quota_without_room(whole: Stage, run: Any) -> None:
    async def story() -> None:
        spec = {"hard": {"pods": "7"}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": spec}

        async def counted() -> bool:
            found = await whole.app.lab.client.get(QUOTAS, whole.app.namespace, "tight")
            return ((found.get("status") or {}).get("used") or {}).get("pods") == "5"

        async with put(whole, QUOTAS, quota):
            await whole.app.lab.until(counted, "the quota is counted")
            part = "the ResourceQuota tight has no room for a second set of pods (pods: 2 free, 5 needed)"
            await finds(whole, part, result="warning")

    run(story())


def test_keys_that_nobody_needs(whole: Stage, namespace: str, run: Any) -> None:
    async def story() -> None:
        keys = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.KEYS_CONFIGMAP}, "data": {}}
        async with put(whole, CONFIG_MAPS, keys, namespace=namespace):
            done = await whole.app.lab.coalmine("check", "-n", namespace, "-o", "json")
            told = Told(done.code, json.loads(done.stdout)["findings"])
            line = f"{namespace}: leftovers: there is a ConfigMap coalmine-keys, and no annotated Deployment"
            assert told.lines("failed", "warning") == [line]

    run(story())


def test_strict_mtls(whole: Stage, run: Any) -> None:
    """A mesh that is said to be there, without its kinds: what can be told is told."""

    async def story() -> None:
        patch, back = ({"metadata": {"labels": {"istio-injection": v}}} for v in ("enabled", None))
        async with patched(whole, NAMESPACES, whole.app.namespace, patch, back):
            await finds(whole, "it is in an Istio mesh whose mTLS is permissive", result="warning")

    run(story())


def test_no_controller(installed: Lab, controller: Daemon, whole: Stage, run: Any) -> None:
    """Killed, it still has the Lease for a while; gone in order, it has given it up."""

    async def story() -> None:
        await controller.stop()
        told = await checked(whole)
        assert any("no controller holds the Lease" in line for line in told.lines("failed"))
        assert any("there is no Deployment coalmine-controller" in line for line in told.lines("failed"))
        controller.start()
        await installed.until(lambda: _clean(whole), "a controller leads again")

    run(story())


def test_a_plain_user_is_told_what_cannot_be_seen(whole: Stage, run: Any) -> None:
    """The webhook's service account may read next to nothing: a finding each, no error, and no failure."""

    async def story() -> None:
        lab = whole.app.lab
        kubeconfig = await lab.control_plane.kubeconfig_for(names.WEBHOOK_SERVICE_ACCOUNT, names.SYSTEM_NAMESPACE)
        done = await lab.coalmine("check", "--kubeconfig", str(kubeconfig), "-n", whole.app.namespace, "-o", "json")
        told = Told(done.code, json.loads(done.stdout)["findings"])
        assert "cluster: deployments: Deployments cannot be read: you may not read them" in told.lines("skipped")
        assert told.lines("failed") == []

    run(story())


def test_a_dry_run_writes_nothing(whole: Stage, run: Any) -> None:
    async def story() -> None:
        before, _ = await whole.app.lab.client.list(DEPLOYMENTS, whole.app.namespace)
        await checked(whole)
        after, _ = await whole.app.lab.client.list(DEPLOYMENTS, whole.app.namespace)
        assert [resource_version_of(d) for d in after] == [resource_version_of(d) for d in before]

    run(story())
