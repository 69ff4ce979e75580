"""What each role may do, by trying: everything in the tables, and nothing else of all that the API server serves.

Each try is a request as the service account or person. Writes are dry runs; what comes back is either 403, or any
other answer: authorization comes before everything that could be wrong with a request.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from coalmine.kube.client import Client
from coalmine.kube.resources import ROLLOUTS, Resource
from coalmine.kube.verbs import ApiError
from coalmine.model.names import (
    CERTIFICATES_SECRET,
    CONTROLLER_SERVICE_ACCOUNT,
    GROUP,
    KEYS_CONFIGMAP,
    LEASE,
    SIGNING_SECRET,
    SYSTEM_NAMESPACE,
    WEBHOOK_CONFIGURATION,
    WEBHOOK_SERVICE_ACCOUNT,
)
from coalmine_sandbox.lab import MANIFESTS, Lab, read
from coalmine_sandbox.lab import run as run_command

pytestmark = pytest.mark.cluster

Run = Callable[[Coroutine[Any, Any, Any]], Any]
SOME = "some-name"
ANY = "*"
#: Names that some rule is bound to: each is tried as the name of every kind.
NAMES = (SOME, SIGNING_SECRET, CERTIFICATES_SECRET, KEYS_CONFIGMAP, LEASE, WEBHOOK_CONFIGURATION)
#: More at once is no faster on two cores.
AT_ONCE = 16


class Try(NamedTuple):
    """One request. `where` is a namespace, or "" for the whole cluster; `name` "" is a collection's."""

    verb: str
    resource: str
    where: str
    name: str


class May(NamedTuple):
    """What is allowed: `verbs` of `resources` (``plural.group/subresource``), `where` (ANY: everywhere), for one
    `name` or for all."""

    verbs: str
    resources: str
    where: str = ANY
    name: str = ANY

    def covers(self, one: Try) -> bool:
        return (
            one.verb in self.verbs.split()
            and one.resource in self.resources.split()
            and self.where in (ANY, one.where)
            and self.name in (ANY, one.name)
        )


#: Everybody who is known may ask about themselves.
AUTHENTICATED = (
    May(
        "create",
        "selfsubjectaccessreviews.authorization.k8s.io selfsubjectrulesreviews.authorization.k8s.io "
        "selfsubjectreviews.authentication.k8s.io",
    ),
)
READ = "get list watch"

CONTROLLER = (
    May("get list watch patch", "deployments.apps"),
    May("patch", "deployments.apps/status"),
    May("list watch create patch delete", "replicasets.apps"),
    May("list watch delete", "pods"),
    May("create", "pods/eviction"),
    May("create", "configmaps"),
    May("get patch", "configmaps", name=KEYS_CONFIGMAP),
    May("create", "events"),
    May("get list watch create delete", f"rollouts.{GROUP}"),
    May("get list watch create patch", f"analysisruns.{GROUP}"),
    May("update", f"rollouts.{GROUP}/status analysisruns.{GROUP}/status"),
    May("list watch", f"analysistemplates.{GROUP} clusteranalysistemplates.{GROUP}"),
    May("create", "secrets leases.coordination.k8s.io", SYSTEM_NAMESPACE),
    May("get patch", "secrets", SYSTEM_NAMESPACE, SIGNING_SECRET),
    May("get update", "leases.coordination.k8s.io", SYSTEM_NAMESPACE, LEASE),
)
WEBHOOK = (
    May("get", "replicasets.apps persistentvolumeclaims"),
    May("create", "secrets", SYSTEM_NAMESPACE),
    May("get update watch", "secrets", SYSTEM_NAMESPACE, CERTIFICATES_SECRET),
    May("get patch watch", "mutatingwebhookconfigurations.admissionregistration.k8s.io", name=WEBHOOK_CONFIGURATION),
)
#: What no discovery tells of: nobody of ours may do it with anything.
SPECIAL = (
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("bind", "rbac.authorization.k8s.io", "roles"),
    ("approve", "certificates.k8s.io", "signers"),
    ("sign", "certificates.k8s.io", "signers"),
    ("use", "policy", "podsecuritypolicies"),
)

_NAMED = f"rollouts.{GROUP} analysisruns.{GROUP} analysistemplates.{GROUP}"
_STATUS = f"rollouts.{GROUP}/status analysisruns.{GROUP}/status"
_WRITE = "create update patch delete deletecollection"


def people(namespace: str) -> dict[str, tuple[May, ...]]:
    """What Kubernetes' own roles may do with our kinds, bound in one namespace."""
    view = (May(READ, _NAMED, namespace), May("get", _STATUS, namespace))
    edit = (
        *view,
        May("update patch", f"rollouts.{GROUP}", namespace),
        May(_WRITE, f"analysistemplates.{GROUP} analysisruns.{GROUP}", namespace),
    )
    return {"view": view, "edit": edit, "admin": edit}


# --- trying -----------------------------------------------------------------------------------


async def served(client: Client) -> dict[str, tuple[Resource, tuple[str, ...]]]:
    """Everything that the API server serves: the resource and its verbs, by ``plural.group/subresource``."""
    versions = ["v1"]
    for group in (await client.raw("GET", "/apis"))["groups"]:
        versions.append(group["preferredVersion"]["groupVersion"])
    found = {}
    for version in versions:
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        group = version.rpartition("/")[0]
        for each in (await client.raw("GET", root))["resources"]:
            plural, _, subresource = each["name"].partition("/")
            key = "/".join(filter(None, [f"{plural}.{group}" if group else plural, subresource]))
            resource = Resource(version, each["kind"], plural, each["namespaced"])
            found[key] = (resource, tuple(each["verbs"]))
    return found


async def attempt(client: Client, resource: Resource, one: Try) -> bool:
    """Whether the API server lets the request pass; it changes nothing."""
    subresource = one.resource.partition("/")[2] or None
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": one.name or SOME},
    }
    collection = one.verb in ("list", "watch", "deletecollection") or (one.verb == "create" and not subresource)
    path = resource.path(one.where or None, None if collection else one.name or SOME, subresource)
    dry = "dryRun=All"
    try:
        match one.verb:
            case "get":
                await client.raw("GET", path)
            case "list":
                await client.raw("GET", f"{path}?limit=1")
            case "watch":
                only = f"&fieldSelector=metadata.name%3D{one.name}" if one.name else ""
                await client.raw("GET", f"{path}?watch=true&resourceVersion=0&timeoutSeconds=1{only}")
            case "create":
                await client.raw("POST", f"{path}?{dry}", body)
            case "update":
                await client.raw("PUT", f"{path}?{dry}", body)
            case "patch":
                await client.patch(resource, one.where or None, one.name, {}, subresource, query={"dryRun": "All"})
            case _:
                await client.raw("DELETE", f"{path}?{dry}")
    except ApiError as error:
        if error.status in (0, 401):
            raise
        # a webhook or a quota would say 403 as well, but neither is asked by a dry run of nothing
        return error.status != 403
    return True


def tries(
    key: str, resource: Resource, verbs: tuple[str, ...], namespace: str, names: tuple[str, ...]
) -> Iterator[Try]:
    """Every request that there is for a resource, in our namespace and in another one."""
    for where in (SYSTEM_NAMESPACE, namespace) if resource.namespaced else ("",):
        for verb in verbs:
            if verb in ("get", "update", "patch", "delete", "watch"):
                yield from (Try(verb, key, where, name) for name in names)
            if verb in ("list", "watch", "deletecollection"):
                yield Try(verb, key, where, "")
            if verb == "create":
                yield Try(verb, key, where, SOME)
    if resource.namespaced and "list" in verbs:
        yield Try("list", key, "", "")


async def compare(client: Client, allowed: tuple[May, ...], all_tries: list[tuple[Resource, Try]]) -> list[str]:
    """Where what happens is not what the table says."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def judged(resource: Resource, one: Try) -> str:
        async with gate:
            passed = await attempt(client, resource, one)
        wanted = any(may.covers(one) for may in (*allowed, *AUTHENTICATED))
        return "" if passed is wanted else f"{one}: {'allowed' if passed else '403'}"

    return [said for said in await asyncio.gather(*(judged(r, one) for r, one in all_tries)) if said]


@asynccontextmanager
async def acting_as(lab: Lab, account: str, namespace: str) -> AsyncIterator[Client]:
    kubeconfig = await lab.control_plane.kubeconfig_for(account, namespace)
    async with await Client.connect(str(kubeconfig)) as client:
        yield client


@pytest.fixture(scope="module")
def roles(lab: Lab, run: Run) -> Lab:
    """Our kinds, accounts and roles; no component runs."""

    async def apply() -> None:
        await lab.apply(lab.manifests / "crds")
        for name in ("namespace.yaml", "rbac.yaml", "access.yaml"):
            await lab.apply(lab.manifests / "base" / name)

        async def listed() -> bool:
            await lab.client.list(ROLLOUTS)
            return True

        await lab.until(listed, "our kinds are served")

    run(apply())
    return lab


@pytest.mark.parametrize(
    ("account", "allowed"),
    [(CONTROLLER_SERVICE_ACCOUNT, CONTROLLER), (WEBHOOK_SERVICE_ACCOUNT, WEBHOOK)],
    ids=["controller", "webhook"],
)
def test_an_account_may_do_what_its_table_says_and_nothing_else(
    roles: Lab, run: Run, namespace: str, account: str, allowed: tuple[May, ...]
) -> None:
    async def scenario() -> tuple[int, list[str]]:
        found = await served(roles.client)
        names = {may.name for may in allowed} - {ANY}
        every = [
            (resource, one)
            for key, (resource, verbs) in found.items()
            for one in tries(key, resource, verbs, namespace, (SOME, *sorted(names), *NAMES[1:]))
        ]
        async with acting_as(roles, account, SYSTEM_NAMESPACE) as client:
            return len(every), await compare(client, allowed, every)

    number, wrong = run(scenario())
    assert wrong == []
    assert number > 1000, "so many kinds are there"


@pytest.mark.parametrize(
    ("account", "allowed"),
    [(CONTROLLER_SERVICE_ACCOUNT, CONTROLLER), (WEBHOOK_SERVICE_ACCOUNT, WEBHOOK)],
    ids=["controller", "webhook"],
)
def test_no_rule_gives_what_no_discovery_tells_of(account: str, allowed: tuple[May, ...]) -> None:
    """Subresources such as finalizers are asked about by admission alone: a rule has none beside the tables."""
    for role in read(MANIFESTS / "base" / "rbac.yaml"):
        if role["kind"] in ("Role", "ClusterRole") and role["metadata"]["name"].startswith(account):
            for rule in role["rules"]:
                for verb, group, resource in itertools.product(rule["verbs"], rule["apiGroups"], rule["resources"]):
                    plural, _, subresource = resource.partition("/")
                    key = "/".join(filter(None, [f"{plural}.{group}" if group else plural, subresource]))
                    known = {v for may in allowed if key in may.resources.split() for v in may.verbs.split()}
                    assert verb in known, f"{role['kind']} {account}: {verb} {key}"


@pytest.mark.parametrize("account", [CONTROLLER_SERVICE_ACCOUNT, WEBHOOK_SERVICE_ACCOUNT])
@pytest.mark.parametrize(("verb", "group", "resource"), SPECIAL)
def test_no_account_has_a_special_verb(
    roles: Lab, run: Run, account: str, verb: str, group: str, resource: str
) -> None:
    async def allowed() -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
        }
        async with acting_as(roles, account, SYSTEM_NAMESPACE) as client:
            answer = await client.raw("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    assert not run(allowed())


@pytest.mark.parametrize("account", [CONTROLLER_SERVICE_ACCOUNT, WEBHOOK_SERVICE_ACCOUNT])
def test_no_account_can_be_somebody_else(roles: Lab, run: Run, account: str) -> None:
    async def answer() -> tuple[int, str]:
        program = roles.control_plane.kubectl
        if program is None:
            pytest.skip("there is no kubectl on this machine")
        kubeconfig = await roles.control_plane.kubeconfig_for(account, SYSTEM_NAMESPACE)
        command = [str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={roles.state / 'kubectl-cache'}"]
        done = await run_command([*command, "--as=system:admin", "get", "secrets", "-A"])
        return done.code, done.stderr

    code, said = run(answer())
    assert code != 0
    assert "(Forbidden)" in said


def test_people_see_and_steer_by_kubernetes_own_roles(roles: Lab, run: Run, namespace: str) -> None:
    async def person(role: str) -> list[str]:
        about = {"name": role, "namespace": namespace}
        await roles.apply(
            [
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": about,
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{"kind": "ServiceAccount", **about}],
                },
            ]
        )
        found = {key: each for key, each in (await served(roles.client)).items() if f".{GROUP}" in key}
        assert len(found) == 6
        every = [
            (resource, one)
            for key, (resource, verbs) in found.items()
            for one in tries(key, resource, verbs, namespace, (SOME,))
        ]
        async with acting_as(roles, role, namespace) as client:

            async def aggregated() -> bool:
                return await attempt(client, ROLLOUTS, Try("get", f"rollouts.{GROUP}", namespace, SOME))

            # the API server's controller adds our rules to its roles in its own time
            await roles.until(aggregated, f"{role} has our rules")
            return await compare(client, people(namespace)[role], every)

    for role in people(namespace):
        assert run(person(role)) == [], role
