"""Paths of requests: what somebody named leads nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from coalmine.kube.resources import CLUSTER_ROLES, PODS, SECRETS, Object, Resource
from coalmine.kube.verbs import ApiError, Event, Verbs
from coalmine.model.errors import RemoteError

ELSEWHERE = ("", ".", "..", "../../b", "a/b", "/", "a%2fb", "%2e%2e", "a?x=y", "a#b", "a\\b", ".\t.", "..\n", "\x00")


@pytest.mark.parametrize(
    ("resource", "where", "path"),
    [
        (PODS, (None,), "/api/v1/pods"),
        (PODS, ("shop", "a.b-c"), "/api/v1/namespaces/shop/pods/a.b-c"),
        (PODS, ("shop", "..a"), "/api/v1/namespaces/shop/pods/..a"),
        (PODS, ("shop", "a", "status"), "/api/v1/namespaces/shop/pods/a/status"),
        (PODS, ("shop", "a", "proxy/metrics"), "/api/v1/namespaces/shop/pods/a/proxy/metrics"),
        (CLUSTER_ROLES, (None, "system:a"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a"),
        (CLUSTER_ROLES, ("", "a"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/a"),
    ],
)
def test_paths(resource: Resource, where: tuple[str, ...], path: str) -> None:
    assert resource.path(*where) == path


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_would_lead_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(RemoteError, match="is no namespace of a Secret: write one without"):
        SECRETS.path(text, "a")
    with pytest.raises(RemoteError, match="is no name of a Secret: "):
        SECRETS.path("shop", text)
    with pytest.raises(RemoteError, match="is no name of a ClusterRole: "):
        CLUSTER_ROLES.path(None, text)
    if text != "a/b":
        with pytest.raises(RemoteError, match="is no subresource of a Secret: "):
            SECRETS.path("shop", "a", text)


class Carrier(Verbs):
    """Carries nothing."""

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        raise AssertionError(path)

    def _events(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        raise AssertionError(path)


def test_callers_of_each_verb_get_the_error_that_they_know() -> None:
    bad = {"metadata": {"name": "../a"}}

    async def story() -> None:
        carrier = Carrier()
        for request in (
            carrier.get(SECRETS, "shop", ".."),
            carrier.find(SECRETS, "shop", ".."),
            carrier.list(SECRETS, ".."),
            anext(aiter(carrier.watch(SECRETS, "..", ""))),
            carrier.create(SECRETS, "..", bad),
            carrier.create(PODS, "shop", bad, "eviction"),
            carrier.replace(SECRETS, "shop", bad),
            carrier.patch(SECRETS, "shop", "..", {}),
            carrier.delete(SECRETS, "shop", ".."),
        ):
            with pytest.raises(ApiError, match=" of a ") as caught:
                await request
            assert caught.value.status == 400

    asyncio.run(story())
