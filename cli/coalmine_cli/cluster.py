"""The cluster that a call is about, and the sentences for what is missing in it."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, ROLLOUTS, Object, annotations_of
from coalmine.kube.verbs import ApiError, NotFoundError
from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.names import CANARY
from coalmine.model.rollout import Status
from coalmine.model.strategy import is_off


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection, and the namespace that the call is about."""

    client: Client
    namespace: str

    async def deployment(self, name: str) -> Object:
        """Raises SpecError when there is none."""
        found = await self.client.find(DEPLOYMENTS, self.namespace, name)
        if found is None:
            raise no_deployment(name, self.namespace)
        return found

    async def rollout(self, deployment: Object) -> Object:
        """The Rollout of `deployment`. Raises SpecError when there is none."""
        name = deployment["metadata"]["name"]
        with explained():
            try:
                return await self.client.get(ROLLOUTS, self.namespace, name)
            except NotFoundError as error:
                if error.reason != "NotFound":
                    raise  # not this Rollout is missing, but its kind
        raise no_rollout(deployment)


@contextlib.asynccontextmanager
async def connected(arguments: argparse.Namespace) -> AsyncIterator[Cluster]:
    """The cluster that `arguments` name, by kubectl's rules. Raises RemoteError."""
    client = await Client.connect(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    async with client:
        yield Cluster(client, getattr(arguments, "namespace", None) or client.namespace)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Around requests for our own kinds: says so when the API server does not know them.

    For a kind that it does not serve it answers 404 without a Status object, for an object
    that is not there with one whose reason is NotFound.
    """
    try:
        yield
    except NotFoundError as error:
        if error.reason == "NotFound":
            raise
        raise RemoteError(
            "the API server does not know Coalmine's kinds: install Coalmine (manifests/), "
            "or name the cluster that has it with --context"
        ) from error


def no_deployment(name: str, namespace: str) -> SpecError:
    return SpecError("", f"there is no Deployment {name} in namespace {namespace}", "name another, or a namespace: -n")


def no_rollout(deployment: Object) -> SpecError:
    """Why the Deployment has no Rollout."""
    name, canary = deployment["metadata"]["name"], annotations_of(deployment).get(CANARY)
    if canary is None:
        return SpecError(
            "", f"the Deployment {name} has no annotation {CANARY}", "write its steps there to have it rolled out"
        )
    if is_off(canary):
        return SpecError(
            "", f"the Deployment {name} has {CANARY}: off", f"follow it with `kubectl rollout status deployment/{name}`"
        )
    return SpecError(
        "", f"the controller has made no Rollout for the Deployment {name} yet", "look whether coalmine-controller runs"
    )


def wants_rollout(deployment: Object) -> bool:
    """Whether the controller makes a Rollout for it."""
    canary = annotations_of(deployment).get(CANARY)
    return canary is not None and not is_off(canary)


def status_of(rollout: Object) -> Status:
    """The status of a Rollout. Raises RemoteError when another version of Coalmine wrote it."""
    with readable(rollout):
        return Status.from_json(rollout.get("status") or {})


@contextlib.contextmanager
def readable(rollout: Object) -> Iterator[None]:
    """Around what reads the status of `rollout`."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(
            f"the status of the Rollout {rollout['metadata']['name']} cannot be read by this version of coalmine "
            f"({type(error).__name__}: {error}): use the version of the controller"
        ) from error


def sentence(error: Exception) -> str:
    """What a person is told about an error, with what to do where the API server's own words do not say it."""
    if isinstance(error, ApiError):
        if error.status == 0:
            return f"{error}; check that the cluster runs and is the one that you mean (--context, --kubeconfig)"
        if error.status == 401:
            return f"the API server does not know who you are ({error}): log in again, or check the kubeconfig"
        if error.status == 403 and "denied the request" not in error.message:  # those are an admission webhook's
            return f"{error}; ask who runs the cluster for this right, or name another context: --context"
    return " ".join(str(error).split())  # a YAML error has several lines
