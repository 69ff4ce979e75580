"""The base and its overlays: what kustomize makes of them, and that their parts fit each other and the code."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests.generate import __main__ as generate
from manifests.generate.base import CONTAINER, CONTROLLER, WEBHOOK, Object, at, containers, find, load

from coalmine.model import names
from coalmine_cli.__main__ import COMPONENTS
from coalmine_controller import __main__ as controller_main
from coalmine_sandbox.api.admission import pod_standards
from coalmine_webhook import options

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
BASE = load(MANIFESTS / "base")
CERT_MANAGER = MANIFESTS / "overlays" / "cert-manager"
DEPLOYMENTS = [each for each in BASE if each["kind"] == "Deployment"]

Build = Callable[[Path], list[Object]]


def by_key(objects: list[Object]) -> dict[tuple[str, str], Object]:
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


def test_what_is_generated_is_up_to_date() -> None:
    assert generate.stale() == []


def test_the_generator_reads_the_base_as_kustomize_builds_it(kustomize: Build) -> None:
    assert by_key(load(MANIFESTS / "base")) == by_key(kustomize(MANIFESTS / "base"))


def test_the_version_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {container["image"] for container in containers(BASE)} == {f"coalmine:{version}"}


# --- the image, set in one place -------------------------------------------------------------


def images(objects: list[Object]) -> set[str]:
    found = {str(container["image"]) for container in containers(objects)}
    for container in containers(objects):
        found |= {e["value"] for e in container.get("env", ()) if e["name"] == "COALMINE_IMAGE"}
    return found


def examples_of(page: Path) -> Iterator[Object]:
    """The kustomizations that a page shows."""
    for block in page.read_text().split("```yaml\n")[1:]:
        text = block.partition("```")[0]
        if "kind: Kustomization" in text:
            yield yaml.safe_load(text)


def test_the_overlay_of_the_docs_sets_every_image(kustomize: Build, tmp_path: Path) -> None:
    shown = [each for each in examples_of(ROOT / "docs" / "install.md") if each.get("images")]
    assert shown
    for number, example in enumerate(shown):
        folder = tmp_path / str(number)
        folder.mkdir()
        # kustomize takes relative paths alone
        up = Path(*[".."] * len(folder.parts[1:])) / MANIFESTS.relative_to("/")
        example["resources"] = [str(up / each.partition("manifests/")[2]) for each in example["resources"]]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(example))
        (image,) = example["images"]
        assert images(kustomize(folder)) == {f"{image['newName']}:{image['newTag']}"}


# --- the parts fit each other ----------------------------------------------------------------


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: str(d["metadata"]["name"]))
def test_pods_fit_the_restricted_standard(deployment: Object) -> None:
    template = deployment["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert pod_standards.violations("restricted", template["spec"], annotations) == []
    for container in template["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: str(d["metadata"]["name"]))
def test_selectors_select_the_pods_and_names_are_ports(deployment: Object) -> None:
    spec, name = deployment["spec"], deployment["metadata"]["name"]
    labels = spec["template"]["metadata"]["labels"]
    pod = spec["template"]["spec"]
    objects = by_key(BASE)
    service, budget = objects["Service", name], objects["PodDisruptionBudget", name]
    terms = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selectors = [
        spec["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in pod["topologySpreadConstraints"]),
        *(term["podAffinityTerm"]["labelSelector"]["matchLabels"] for term in terms),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        others = [d for d in DEPLOYMENTS if d is not deployment]
        assert not any(selector.items() <= d["spec"]["template"]["metadata"]["labels"].items() for d in others)
    assert budget["spec"].get("maxUnavailable") == 1, "or no node could be drained once somebody sets replicas to 1"
    assert "minAvailable" not in budget["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports.keys()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    annotations = spec["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"])
    assert pod["serviceAccountName"] == name
    assert ("ServiceAccount", name) in objects


def test_the_registrations_port_is_the_services() -> None:
    objects = by_key(BASE)
    ports = {port["port"]: port["targetPort"] for port in objects["Service", "coalmine-webhook"]["spec"]["ports"]}
    for webhook in objects["MutatingWebhookConfiguration", "coalmine"]["webhooks"]:
        assert ports[webhook["clientConfig"]["service"]["port"]] == "https"


def test_every_binding_binds_a_role_that_is_there() -> None:
    objects = by_key(BASE)
    for (kind, _), each in objects.items():
        if kind.endswith("Binding"):
            assert (each["roleRef"]["kind"], each["roleRef"]["name"]) in objects
            for subject in each["subjects"]:
                assert (subject["kind"], subject["name"]) in objects
                assert subject["namespace"] == names.SYSTEM_NAMESPACE


def test_what_is_not_of_the_cluster_is_in_our_namespace() -> None:
    of_the_cluster = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    of_the_cluster.add("MutatingWebhookConfiguration")
    for each in BASE:
        wanted = None if each["kind"] in of_the_cluster else names.SYSTEM_NAMESPACE
        assert each["metadata"].get("namespace") == wanted
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "coalmine"


# --- the parts fit the code --------------------------------------------------------------------


def arguments_of(objects: list[Object], where: tuple[str, str]) -> list[str]:
    return [str(each) for each in at(find(objects, where), CONTAINER)["args"]]


def test_the_arguments_are_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (WEBHOOK, CONTROLLER):
        assert arguments_of(BASE, where)[0] in COMPONENTS
    _, *given = arguments_of(BASE, WEBHOOK)
    parsed = options.read(given, {"COALMINE_IMAGE": "coalmine:1"})
    assert (parsed.listen[1], parsed.metrics_listen[1]) == (9443, 8080)
    assert (parsed.certs_secret, parsed.certs, parsed.kind_known) == (names.CERTIFICATES_SECRET, None, False)
    seen: list[Any] = []
    monkeypatch.setattr(controller_main, "_run", seen.append)
    monkeypatch.setattr(controller_main.uvloop, "run", lambda _: 0)
    _, *given = arguments_of(BASE, CONTROLLER)
    assert controller_main.main(given, {"POD_NAME": "p"}) == 0
    assert (seen[0].listen, seen[0].identity) == (":8080", "p")


def test_cert_manager_takes_the_certificates_over(kustomize: Build) -> None:
    objects = kustomize(CERT_MANAGER)
    found = by_key(objects)
    _, *given = arguments_of(objects, WEBHOOK)
    parsed = options.read(given, {"COALMINE_IMAGE": "coalmine:1"})
    pod = at(find(objects, WEBHOOK), ("spec", "template", "spec"))
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    certificate = found["Certificate", "coalmine-webhook"]
    assert (str(parsed.certs), volume["name"]) == (mount["mountPath"], mount["name"])
    assert volume["secret"]["secretName"] == certificate["spec"]["secretName"]
    service = f"coalmine-webhook.{names.SYSTEM_NAMESPACE}.svc"
    assert service in certificate["spec"]["dnsNames"]
    configuration = found["MutatingWebhookConfiguration", "coalmine"]
    annotation = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert annotation == f"{names.SYSTEM_NAMESPACE}/{certificate['metadata']['name']}"
    # nothing else differs from the base but the rights that are no longer needed
    base = by_key(BASE)
    gone = base.keys() - found.keys()
    rights = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    assert gone == {(kind, "coalmine-webhook-certificates") for kind in rights}
    different = {key for key in base.keys() & found.keys() if base[key] != found[key]}
    assert different == {WEBHOOK, ("MutatingWebhookConfiguration", "coalmine")}
    assert pod_standards.violations("restricted", pod, {}) == []


@pytest.mark.parametrize("name", ["monitoring", "network-policies"])
def test_what_is_applied_beside_the_base_builds(kustomize: Build, name: str) -> None:
    objects = by_key(kustomize(MANIFESTS / "overlays" / name))
    assert not objects.keys() & by_key(BASE).keys(), "it is applied beside the base, not in its place"
    assert all(each["metadata"]["namespace"] == names.SYSTEM_NAMESPACE for each in objects.values())


def test_monitors_find_their_ports(kustomize: Build) -> None:
    objects = by_key(kustomize(MANIFESTS / "overlays" / "monitoring"))
    services = [each for each in BASE if each["kind"] == "Service"]
    monitor = objects["ServiceMonitor", "coalmine"]["spec"]
    (endpoint,) = monitor["endpoints"]
    for service in services:
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert monitor["jobLabel"] in service["metadata"]["labels"]
    sidecars = objects["PodMonitor", "coalmine-sidecars"]["spec"]
    assert sidecars["selector"]["matchLabels"] == {names.SIDECAR_LABEL: names.LABEL_TRUE}
    kept = [each for each in sidecars["podMetricsEndpoints"][0]["relabelings"] if each.get("action") == "keep"]
    # the admin port is the sidecar's one without a name
    assert [each["regex"] for each in kept] == [f"{names.SIDECAR_CONTAINER};"]


def test_network_policies_select_our_pods(kustomize: Build) -> None:
    objects = by_key(kustomize(MANIFESTS / "overlays" / "network-policies"))
    for deployment in DEPLOYMENTS:
        template = deployment["spec"]["template"]
        policy = objects["NetworkPolicy", deployment["metadata"]["name"]]["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        named = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == named
