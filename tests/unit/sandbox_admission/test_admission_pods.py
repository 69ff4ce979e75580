"""What the built-in plugins make of pods, namespaces and quotas. Sentences are those of kube-apiserver 1.36.3."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from admission_world import Memory, admission, attributes, config_map, memory, pod

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
    Resource,
)
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.kinds import RESOURCE_QUOTAS

ENFORCE, WARN = "pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def mutated(store: Memory, obj: Object, resource: Resource = PODS) -> Object:
    result, _ = asyncio.run(admission(store).mutate(attributes(resource, obj)))
    assert result is not None
    return result


def warnings(store: Memory, obj: Object, resource: Resource = PODS) -> list[str]:
    return asyncio.run(admission(store).mutate(attributes(resource, obj)))[1]


def validate(store: Memory, obj: Object | None, resource: Resource = PODS, **how: Any) -> None:
    asyncio.run(admission(store).validate(attributes(resource, obj, **how)))


def refused(store: Memory, obj: Object, resource: Resource = PODS, **how: Any) -> str:
    with pytest.raises(StatusError) as error:
        validate(store, obj, resource, **how)
    assert error.value.code == 403
    return error.value.message


# --- namespaces ----------------------------------------------------------------------------------


def test_nothing_is_made_in_a_missing_namespace() -> None:
    with pytest.raises(StatusError) as error:
        asyncio.run(admission(memory()).mutate(attributes(CONFIG_MAPS, config_map(), namespace="nosuch")))
    assert (error.value.code, error.value.message) == (404, 'namespaces "nosuch" not found')


def test_nothing_is_made_in_a_namespace_that_ends() -> None:
    store = memory()
    store.put(NAMESPACES, {"metadata": {"name": "default"}, "status": {"phase": "Terminating"}})
    chain = admission(store)
    with pytest.raises(StatusError) as error:
        asyncio.run(chain.mutate(attributes(CONFIG_MAPS, config_map())))
    why = "unable to create new content in namespace default because it is being terminated"
    assert error.value.message == f'configmaps "m" is forbidden: {why}'
    assert error.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    asyncio.run(chain.mutate(attributes(CONFIG_MAPS, config_map(), config_map(), operation="UPDATE")))
    asyncio.run(chain.mutate(attributes(CONFIG_MAPS, None, config_map(), operation="DELETE")))


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_stay(name: str) -> None:
    asked = attributes(NAMESPACES, None, {"metadata": {"name": name}}, operation="DELETE", namespace=name)
    with pytest.raises(StatusError, match=f'^namespaces "{name}" is forbidden: this namespace may not be deleted$'):
        asyncio.run(admission(memory()).mutate(asked))


# --- pods ----------------------------------------------------------------------------------------


def test_a_pod_gets_what_a_real_one_gets() -> None:
    """As the API server answers a dry run of the same pod."""
    before = pod(initContainers=[{"name": "i", "image": "y"}])
    sent = copy.deepcopy(before)
    spec = mutated(memory(), sent)["spec"]
    assert sent == before
    volume, name = spec["volumes"][0], spec["volumes"][0]["name"]
    assert name.startswith("kube-api-access-")
    assert len(name) == len("kube-api-access-") + 5
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    assert volume["projected"] == {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }
    mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
    assert [c["volumeMounts"] for c in (*spec["initContainers"], *spec["containers"])] == [[mount], [mount]]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert spec["tolerations"] == [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]


def test_a_second_pass_changes_nothing() -> None:
    once = mutated(memory(), pod())
    assert mutated(memory(), once) is once


def test_a_container_that_came_later_gets_the_same_volume() -> None:
    """A sidecar that a webhook injected."""
    once = copy.deepcopy(mutated(memory(), pod()))
    once["spec"]["initContainers"] = [{"name": "late", "image": "y", "restartPolicy": "Always"}]
    twice = mutated(memory(), once)["spec"]
    assert twice["initContainers"][0]["volumeMounts"] == twice["containers"][0]["volumeMounts"]
    assert len(twice["volumes"]) == 1


@pytest.mark.parametrize(
    ("account", "spec", "mounted"),
    [
        ({}, {}, True),
        ({"automountServiceAccountToken": False}, {}, False),
        ({}, {"automountServiceAccountToken": False}, False),
        ({"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}, True),
    ],
)
def test_the_pod_and_its_account_may_do_without_a_token(account: Object, spec: Object, mounted: bool) -> None:
    store = memory()
    store.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}, **account})
    assert ("volumes" in mutated(store, pod(**spec))["spec"]) is mounted


def test_a_mount_of_the_users_own_stands() -> None:
    mount = {"name": "mine", "mountPath": MOUNT_PATH}
    spec = {
        "volumes": [{"name": "mine", "emptyDir": {}}],
        "containers": [{"name": "c", "image": "x", "volumeMounts": [mount]}],
    }
    made = mutated(memory(), pod(**spec))["spec"]
    assert [v["name"] for v in made["volumes"]] == ["mine"]
    assert len(made["containers"][0]["volumeMounts"]) == 1


def test_an_account_lends_its_pull_secrets() -> None:
    store = memory()
    secrets = [{"name": "registry"}]
    store.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}, "imagePullSecrets": secrets})
    assert mutated(store, pod())["spec"]["imagePullSecrets"] == secrets
    assert mutated(store, pod(imagePullSecrets=[{"name": "x"}]))["spec"]["imagePullSecrets"] == [{"name": "x"}]


def test_an_account_that_is_missing() -> None:
    said = 'pods "p" is forbidden: error looking up service account default/nosuch: serviceaccount "nosuch" not found'
    assert refused(memory(), pod(serviceAccountName="nosuch")) == said
    with pytest.raises(StatusError) as error:
        mutated(memory(), pod(serviceAccountName="nosuch"))
    assert error.value.message == said


def test_tolerations_of_the_users_own_stand() -> None:
    everything = {"operator": "Exists"}
    assert mutated(memory(), pod(tolerations=[everything]))["spec"]["tolerations"] == [everything]
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 7}
    found = mutated(memory(), pod(tolerations=[own]))["spec"]["tolerations"]
    assert [each.get("tolerationSeconds") for each in found] == [7, 300]


def test_priorities() -> None:
    assert mutated(memory(), pod(priorityClassName="system-node-critical"))["spec"]["priority"] == 2000001000
    for spec, why in (
        ({"priorityClassName": "gold"}, "no PriorityClass with name gold was found"),
        ({"priority": 7}, "the integer value of priority (7) must not be provided in pod spec"),
    ):
        with pytest.raises(StatusError, match=r"^pods \"p\" is forbidden: ") as error:
            mutated(memory(), pod(**spec))
        assert why in error.value.message


def test_other_writes_of_pods_are_left_alone() -> None:
    chain = admission(memory())
    bare = pod()
    for how in ({"operation": "UPDATE"}, {"subresource": "status", "operation": "UPDATE"}, {"subresource": "binding"}):
        result, _ = asyncio.run(chain.mutate(attributes(PODS, bare, bare, **how)))  # type: ignore[arg-type]
        assert result is bare


def test_a_new_node_gets_no_pods_yet() -> None:
    node = {"metadata": {"name": "n"}}
    made, _ = asyncio.run(admission(memory()).mutate(attributes(NODES, node, namespace="")))
    assert made is not None
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    again, _ = asyncio.run(admission(memory()).mutate(attributes(NODES, made, namespace="")))
    assert again is made
    ready = {"metadata": {"name": "n"}, "spec": {}}
    same, _ = asyncio.run(admission(memory()).mutate(attributes(NODES, ready, ready, operation="UPDATE", namespace="")))
    assert same is ready


# --- pod security --------------------------------------------------------------------------------

BAD: Object = {
    "hostNetwork": True,
    "hostPID": True,
    "volumes": [{"name": "h", "hostPath": {"path": "/"}}, {"name": "h2", "nfs": {"server": "a", "path": "/"}}],
    "securityContext": {
        "runAsUser": 0,
        "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
        "seLinuxOptions": {"user": "u", "type": "x"},
        "appArmorProfile": {"type": "Unconfined"},
        "seccompProfile": {"type": "Unconfined"},
    },
    "containers": [
        {
            "name": "c",
            "image": "x",
            "ports": [{"containerPort": 80, "hostPort": 80}],
            "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}},
            "livenessProbe": {"httpGet": {"host": "h", "port": 80}},
        },
        {"name": "d", "image": "x"},
    ],
}
GOOD: Object = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "image": "x",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}
PLAIN_FAULTS = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)
_SHARED = (
    'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined"), ',
    "host namespaces (hostNetwork=true, hostPID=true), ",
    'hostPort (container "c" uses hostPort 80), '
    'probe or lifecycle host (container "c" uses probe or lifecycle host "h"), '
    'privileged (container "c" must not set securityContext.privileged=true), '
    'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"; user may not be set), ',
    'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    "forbidden sysctls (kernel.msgmax)",
)
BASELINE_FAULTS = (
    f"{_SHARED[0]}non-default capabilities "
    f'(container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), {_SHARED[1]}'
    f'hostPath volumes (volume "h"), {_SHARED[2]}{_SHARED[3]}, {_SHARED[4]}'
)
RESTRICTED_FAULTS = (
    f"{_SHARED[0]}{_SHARED[1]}{_SHARED[2]}{_SHARED[4]}, "
    'allowPrivilegeEscalation != false (containers "c", "d" must set '
    "securityContext.allowPrivilegeEscalation=false), "
    'unrestricted capabilities (containers "c", "d" must set securityContext.capabilities.drop=["ALL"]; '
    'container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), '
    'restricted volume types (volumes "h", "h2" use restricted volume types "hostPath", "nfs"), '
    'runAsNonRoot != true (pod or containers "c", "d" must set securityContext.runAsNonRoot=true), '
    f"runAsUser=0 (pod must not set runAsUser=0), {_SHARED[3]}"
)


@pytest.mark.parametrize(
    ("level", "spec", "faults"),
    [
        ("restricted", {}, PLAIN_FAULTS),
        ("baseline", BAD, BASELINE_FAULTS),
        ("restricted", BAD, RESTRICTED_FAULTS),
    ],
)
def test_a_standard_is_enforced_in_its_own_words(level: str, spec: Object, faults: str) -> None:
    store = memory({ENFORCE: level})
    assert refused(store, pod(**spec)) == f'pods "p" is forbidden: violates PodSecurity "{level}:latest": {faults}'


@pytest.mark.parametrize(
    ("level", "spec"),
    [("privileged", BAD), ("baseline", {}), ("restricted", GOOD), ("baseline", GOOD)],
)
def test_what_a_standard_allows(level: str, spec: Object) -> None:
    validate(memory({ENFORCE: level}), pod(**spec))


@pytest.mark.parametrize(
    ("context", "fault"),
    [
        ({"runAsNonRoot": False}, 'container "c" must not set securityContext.runAsNonRoot=false'),
        ({"runAsUser": 0}, 'container "c" must not set runAsUser=0'),
        ({"procMount": "Unmasked"}, 'container "c" must not set securityContext.procMount to "Unmasked"'),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, 'must not include "NET_RAW" in'),
        ({"windowsOptions": {"hostProcess": True}}, "must not set securityContext.windowsOptions.hostProcess=true"),
        ({"seccompProfile": {"type": "Unconfined"}}, 'securityContext.seccompProfile.type to "Unconfined"'),
    ],
)
def test_one_bad_setting_is_enough(context: Object, fault: str) -> None:
    spec = copy.deepcopy(GOOD)
    spec["containers"][0]["securityContext"] |= context
    assert fault in refused(memory({ENFORCE: "restricted"}), pod(**spec))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({WARN: "restricted"}, [f'would violate PodSecurity "restricted:latest": {PLAIN_FAULTS}']),
        (
            {WARN: "restricted", f"{WARN}-version": "v1.30"},
            [f'would violate PodSecurity "restricted:v1.30": {PLAIN_FAULTS}'],
        ),
        ({WARN: "baseline"}, []),
        ({}, []),
        ({ENFORCE: "restricted"}, []),  # it is refused: a warning would say the same
    ],
)
def test_warnings_of_a_pod(labels: dict[str, str], expected: list[str]) -> None:
    assert warnings(memory(labels), pod()) == expected


@pytest.mark.parametrize(
    ("labels", "warned"),
    [
        ({ENFORCE: "restricted"}, True),
        ({ENFORCE: "restricted", WARN: "privileged"}, False),
        ({WARN: "restricted"}, True),
    ],
)
def test_a_template_is_warned_of_and_not_refused(labels: dict[str, str], warned: bool) -> None:
    template = {"metadata": {}, "spec": pod()["spec"]}
    deployment = {"metadata": {"name": "d", "namespace": "default"}, "spec": {"template": template}}
    store = memory(labels)
    assert bool(warnings(store, deployment, DEPLOYMENTS)) is warned
    validate(store, deployment, DEPLOYMENTS)


def test_labels_that_name_no_standard() -> None:
    """They are refused where they are set; where they stand already, the strictest holds."""
    labels = {ENFORCE: "tight", f"{WARN}-version": "1.2"}
    namespace = {"metadata": {"name": "n", "labels": labels}}
    with pytest.raises(StatusError) as error:
        validate(memory(), namespace, NAMESPACES)
    level = f'metadata.labels[{ENFORCE}]: Invalid value: "tight": must be one of privileged, baseline, restricted'
    version = f'metadata.labels[{WARN}-version]: Invalid value: "1.2": must be "latest" or "v1.x"'
    assert error.value.message == f'Namespace "n" is invalid: [{level}, {version}]'
    validate(memory(), namespace, NAMESPACES, old=namespace, operation="UPDATE")
    assert 'violates PodSecurity "restricted:latest"' in refused(memory({ENFORCE: "tight"}), pod())


# --- quotas --------------------------------------------------------------------------------------


def with_quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Memory:
    store = memory()
    status = {"hard": hard, "used": used or dict.fromkeys(hard, "0")}
    metadata = {"name": "small", "namespace": "default"}
    store.put(RESOURCE_QUOTAS, {"metadata": metadata, "spec": {"hard": hard, **spec}, "status": status})
    return store


def used(store: Memory) -> Object:
    quota = store.get(RESOURCE_QUOTAS, "default", "small")
    assert quota is not None
    return dict(quota["status"]["used"])


def sized(cpu: str, memory_: str, **spec: Any) -> Object:
    resources = {"requests": {"cpu": cpu}, "limits": {"memory": memory_}}
    return pod(containers=[{"name": "c", "image": "x", "resources": resources}], **spec)


def test_pods_are_counted_until_there_are_enough() -> None:
    store = with_quota({"pods": "1", "count/pods": "5"})
    validate(store, pod(), dry_run=True)
    assert used(store) == {"pods": "0", "count/pods": "0"}
    validate(store, pod())
    assert used(store) == {"pods": "1", "count/pods": "1"}
    said = 'pods "p" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    assert refused(store, pod()) == said
    assert refused(store, pod(), dry_run=True) == said
    assert used(store) == {"pods": "1", "count/pods": "1"}
    validate(store, pod(), old=pod(), operation="UPDATE")


def test_requests_and_limits_are_summed() -> None:
    store = with_quota({"pods": "9", "requests.cpu": "1", "limits.memory": "1Gi"})
    validate(store, sized("600m", "300Mi"))
    validate(store, sized("0.2", "300Mi"))
    assert used(store) == {"pods": "2", "requests.cpu": "800m", "limits.memory": "600Mi"}
    assert refused(store, sized("2", "3Gi")) == (
        'pods "p" is forbidden: exceeded quota: small, requested: limits.memory=3Gi,requests.cpu=2, '
        "used: limits.memory=600Mi,requests.cpu=800m, limited: limits.memory=1Gi,requests.cpu=1"
    )


def test_what_a_quota_bounds_must_be_said() -> None:
    store = with_quota({"limits.memory": "1Gi", "requests.cpu": "1"})
    said = "failed quota: small: must specify limits.memory for: c; requests.cpu for: c"
    assert refused(store, pod()) == f'pods "p" is forbidden: {said}'


def test_init_containers_count_at_their_peak_and_sidecars_always() -> None:
    def container(name: str, cpu: str, **fields: Any) -> Object:
        return {"name": name, "image": "x", "resources": {"requests": {"cpu": cpu}}, **fields}

    store = with_quota({"requests.cpu": "100"})
    beside = container("s", "1", restartPolicy="Always")
    spec = {"containers": [container("a", "1"), container("b", "2")]}
    for init, expected in (
        ([], "3"),
        ([container("i", "2")], "3"),
        ([container("i", "5")], "5"),
        ([beside], "4"),
        ([beside, container("i", "5")], "6"),
        ([container("i", "5"), beside], "5"),
    ):
        store = with_quota({"requests.cpu": "100"})
        validate(store, pod(initContainers=init, **spec))
        assert used(store) == {"requests.cpu": expected}


def test_other_kinds_are_counted() -> None:
    hard = {"count/configmaps": "1", "services": "1", "services.loadbalancers": "0", "count/deployments.apps": "1"}
    store = with_quota(hard)
    validate(store, config_map(), CONFIG_MAPS)
    assert refused(store, config_map(), CONFIG_MAPS) == (
        'configmaps "m" is forbidden: exceeded quota: small, requested: count/configmaps=1, '
        "used: count/configmaps=1, limited: count/configmaps=1"
    )
    balancer = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "LoadBalancer", "ports": []}}
    assert "requested: services.loadbalancers=1" in refused(store, balancer, SERVICES)
    deployment = {"metadata": {"name": "d", "namespace": "default"}, "spec": {"template": {"spec": {}}}}
    validate(store, deployment, DEPLOYMENTS)
    assert used(store)["count/deployments.apps"] == "1"


def test_a_quota_that_was_never_counted_lets_nothing_in() -> None:
    store = memory()
    store.put(RESOURCE_QUOTAS, {"metadata": {"name": "small", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}})
    assert refused(store, pod()) == 'pods "p" is forbidden: status unknown for quota: small, resources: pods'


@pytest.mark.parametrize(
    ("scope", "spec", "counted"),
    [
        ("BestEffort", {}, "1"),
        ("NotBestEffort", {}, "0"),
        ("Terminating", {}, "0"),
        ("Terminating", {"activeDeadlineSeconds": 5}, "1"),
        ("NotTerminating", {}, "1"),
        ("CrossNamespacePodAffinity", {}, "0"),
    ],
)
def test_scopes(scope: str, spec: Object, counted: str) -> None:
    store = with_quota({"pods": "5"}, scopes=[scope])
    validate(store, pod(**spec))
    assert used(store) == {"pods": counted}


def test_a_pod_must_fit_into_every_quota_and_is_counted_in_none_otherwise() -> None:
    store = with_quota({"pods": "5"})
    full = {"hard": {"pods": "0"}, "used": {"pods": "0"}}
    store.put(
        RESOURCE_QUOTAS,
        {"metadata": {"name": "z", "namespace": "default"}, "spec": {"hard": {"pods": "0"}}, "status": full},
    )
    assert "exceeded quota: z" in refused(store, pod())
    assert used(store) == {"pods": "0"}
