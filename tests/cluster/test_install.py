"""Installed as a person does it: ``kubectl apply -k``, on a control plane that never saw us, and taken off again.

Nothing of the lab's own installation is used: webhook and controller run as pods of the Deployments in
manifests/base, reviews come through the Service, and the certificates are those that the webhook makes itself.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from installing import DELETED, OURS, available, has_pods, kubectl, left_of, others, overlay, specs, unchanged
from releases import staged

from coalmine.kube.resources import (
    CRDS,
    DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    SECRETS,
    Object,
    labels_of,
    name_of,
)
from coalmine.kube.verbs import JSON_PATCH
from coalmine.model.names import (
    CANARY,
    CERTIFICATES_SECRET,
    ROLLOUT_LABEL,
    SIGNING_SECRET,
    SYSTEM_NAMESPACE,
    WEBHOOK_CONFIGURATION,
)
from coalmine_sandbox.lab import IMAGE, MANIFESTS, Answer, Lab
from coalmine_sandbox.lab import run as run_command
from coalmine_webhook.certificates import Mint, service_names

pytestmark = [pytest.mark.cluster, pytest.mark.long]

Run = Callable[[Coroutine[Any, Any, Any]], Any]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def bare(lab: Lab, run: Run) -> Iterator[Lab]:
    """The lab before anybody installed anything, and after everything is gone."""
    if lab.webhook is not None:
        pytest.skip("the lab's own installation is there already: run this file before those, or alone")
    if lab.control_plane.kubectl is None:
        pytest.skip("there is no kubectl on this machine")

    async def clean() -> None:
        await lab.kubectl("delete", "-k", str(lab.manifests / "base"), "--ignore-not-found", DELETED)

    if run(left_of(lab)):  # roles that another file has tried
        run(clean())
    yield lab
    run(clean())


def test_applied_again_nothing_changes_and_deleted_nothing_is_left(bare: Lab, run: Run) -> None:
    async def story() -> None:
        first = await kubectl(bare, "apply", "-k", str(MANIFESTS / "base"))
        assert others(first, "created") == []
        assert first.stderr == "", "no warnings: of pod security, of what is deprecated, of fields that are unknown"
        # `restricted` is enforced: the pods would not be made
        await bare.until(lambda: has_pods(bare, 4), "each Deployment has its pods")
        await unchanged(bare, str(MANIFESTS / "base"))
        deleted = await kubectl(bare, "delete", "-k", str(MANIFESTS / "base"), DELETED)
        assert "warning" not in deleted.stderr.lower().replace("warning: deleting cluster-scoped resources", "")
        assert await left_of(bare) == []

    run(story())


@pytest.mark.parametrize(
    "what",
    [
        "rollout",
        "rollout.spec",
        "rollout.spec.promote",
        "rollout.status",
        "analysistemplate.spec.metrics",
        "analysisrun",
    ],
)
def test_explain_reads_well(bare: Lab, run: Run, what: str) -> None:
    """UPDATE_GOLDEN=1 writes the pages anew."""

    async def page() -> str:
        await bare.apply(bare.manifests / "crds")

        async def explained() -> Answer | None:
            done = await bare.kubectl("explain", what)
            return done if done.code == 0 else None

        # the API server publishes the schema a moment after it has taken the definition
        answer: Answer = await bare.until(explained, f"{what} is explained")
        return answer.stdout

    told = run(page())
    golden = GOLDEN / f"explain-{what}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(told)
    assert told == golden.read_text()


# --- running, from the Deployments ------------------------------------------------------------


@pytest.fixture
def real(bare: Lab) -> Lab:
    if not bare.isolated:
        pytest.skip(
            "in a pod of the sandbox's node a service account's token is not at /var/run/secrets, which every client "
            "has built in (docs/sandbox.md): webhook and controller run as pods on Kubernetes' own control plane"
        )
    return bare


def test_it_runs_from_its_deployments_and_releases(real: Lab, run: Run, tmp_path: Path) -> None:
    bare, folder = real, str(overlay(tmp_path))

    async def story() -> None:
        await kubectl(bare, "apply", "-k", folder)
        await available(bare, "coalmine-webhook", "coalmine-controller")
        # what it made for itself
        configuration = await bare.client.get(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION)
        assert all(webhook["clientConfig"]["caBundle"] for webhook in configuration["webhooks"])
        for name in (CERTIFICATES_SECRET, SIGNING_SECRET):
            assert await bare.client.find(SECRETS, SYSTEM_NAMESPACE, name) is not None
        # what the webhook wrote into its registration is not Git's business
        await unchanged(bare, folder)
        found = await bare.client.get(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION)
        assert found["webhooks"] == configuration["webhooks"]

        async with staged(bare, "installed-as-pods") as stage:
            sidecars = [
                container["image"]
                for pod in await stage.app.pods()
                for container in pod["spec"]["initContainers"]
                if container["name"] == "coalmine-proxy"
            ]
            assert sidecars == [IMAGE] * 5
            await stage.good_release()

            async def restart(_: str) -> None:
                """Both Deployments get new pods in the middle of a release."""
                for name in ("coalmine-webhook", "coalmine-controller"):
                    await kubectl(bare, "-n", SYSTEM_NAMESPACE, "rollout", "restart", f"deployment/{name}")
                for name in ("coalmine-webhook", "coalmine-controller"):
                    done = await bare.kubectl(
                        "-n", SYSTEM_NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=90s"
                    )
                    assert done.code == 0, done.stderr

            await stage.good_release(restart)

    run(story())


# --- overlays ---------------------------------------------------------------------------------

#: Kinds of others that overlays have, by group.
OTHERS = {
    "cert-manager.io/v1": ("Certificate", "Issuer"),
    "monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule", "ServiceMonitor"),
}


@pytest.fixture
def served(real: Lab, run: Run) -> Iterator[Lab]:
    """The kinds of cert-manager and of the Prometheus operator, without their programs: anything goes."""
    definitions: list[Object] = []
    for api_version, kinds in OTHERS.items():
        group, _, version = api_version.partition("/")
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        for kind in kinds:
            names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
            versions = [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
            spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
            about = {"name": f"{names['plural']}.{group}"}
            definitions.append({"apiVersion": CRDS.api_version, "kind": CRDS.kind, "metadata": about, "spec": spec})

    async def make() -> None:
        await real.apply(definitions)

        async def there() -> bool:
            return all([await real.client.raw("GET", f"/apis/{each}") for each in OTHERS])

        await real.until(there, "the kinds are served")

    async def drop() -> None:
        for each in definitions:
            await real.client.delete(CRDS, None, name_of(each))

    run(make())
    yield real
    run(drop())


def test_cert_managers_certificates_are_used(served: Lab, run: Run, tmp_path: Path) -> None:
    """The test is cert-manager: it makes the Secret, and writes the authority into the registration."""
    lab, folder = served, str(overlay(tmp_path, MANIFESTS / "overlays" / "cert-manager"))

    async def stamped() -> bool:
        labels = {"app": "tried"}
        container = {"name": "app", "image": "none", "ports": [{"name": "web", "containerPort": 80}]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        body = {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": {"name": "tried", "annotations": {CANARY: "steps: []"}},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        answer = await lab.client.raw("POST", f"{DEPLOYMENTS.path('default')}?dryRun=All", body)
        return ROLLOUT_LABEL in labels_of(answer)

    async def story() -> None:
        applied = await kubectl(lab, "apply", "-k", folder)
        assert applied.stderr == ""
        mint, now = Mint(service_names()), datetime.now(UTC)
        authority = mint.authority(now)
        pair = mint.serving(authority, now)
        files = {"ca.crt": authority.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
        data = {name: base64.b64encode(content).decode() for name, content in files.items()}
        about = {"name": CERTIFICATES_SECRET, "namespace": SYSTEM_NAMESPACE}
        kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
        await lab.client.create(SECRETS, SYSTEM_NAMESPACE, {**kind, "metadata": about, "data": data})
        found = await lab.client.get(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION)
        injected = [
            {"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": data["ca.crt"]}
            for number, _ in enumerate(found["webhooks"])
        ]
        await lab.client.patch(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION, injected, kind=JSON_PATCH)
        await available(lab, "coalmine-webhook")
        await lab.until(stamped, "the API server calls the webhook and trusts it")
        secret = await lab.client.get(SECRETS, SYSTEM_NAMESPACE, CERTIFICATES_SECRET)
        assert secret["data"] == data, "it is cert-manager's"
        await unchanged(lab, folder)

    run(story())


@pytest.mark.parametrize("name", ["monitoring", "network-policies"])
def test_what_is_applied_beside_it_is_accepted(served: Lab, run: Run, name: str) -> None:
    async def story() -> None:
        # the namespace alone: what these overlays bring stands by itself
        await served.apply(served.manifests / "base" / "namespace.yaml")
        folder = str(MANIFESTS / "overlays" / name)
        applied = await kubectl(served, "apply", "-k", folder)
        assert (others(applied, "created"), applied.stderr) == ([], "")
        again = await kubectl(served, "apply", "-k", folder)
        assert others(again, "unchanged") == []
        await kubectl(served, "delete", "-k", folder, DELETED)

    run(story())


# --- Helm ---------------------------------------------------------------------------------------


def test_helm_installs_upgrades_and_uninstalls(bare: Lab, run: Run, tmp_path: Path) -> None:
    program = os.environ.get("HELM") or shutil.which("helm")
    if program is None:
        pytest.skip("there is no helm on this machine: name one with $HELM")

    async def helm(*arguments: str) -> Answer:
        environment = {"HOME": str(tmp_path), "KUBECONFIG": str(bare.control_plane.admin_kubeconfig)}
        command = [program, "--namespace", SYSTEM_NAMESPACE, *arguments]
        done = await run_command(command, environment=environment)
        assert done.code == 0, done.stderr
        return done

    async def story() -> None:
        chart = str(MANIFESTS / "chart")
        await helm("install", "coalmine", chart, "--create-namespace", "--set", f"image.tag={IMAGE.partition(':')[2]}")
        await bare.until(lambda: has_pods(bare, 4), "each Deployment has its pods")
        before = await specs(bare)
        await helm("upgrade", "coalmine", chart, "--reuse-values")
        assert await specs(bare) == before
        await helm("uninstall", "coalmine", "--wait")
        kinds = {f"CustomResourceDefinition {name_of(each)}" for each in (await bare.client.list(CRDS, labels=OURS))[0]}
        assert len(kinds) == 4, "the kinds are kept, and with them every Rollout"
        # uninstalling waits for the Deployments, not for the end of their pods
        left = {each for each in await left_of(bare) if not each.startswith(("Pod ", "EndpointSlice "))}
        assert left == {*kinds, "the namespace"}

    run(story())
