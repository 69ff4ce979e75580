"""A store in memory, requests, and a real webhook over TLS, for the tests of admission."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import datetime
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from coalmine.kube.resources import MUTATING_WEBHOOKS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Object, Resource
from coalmine_sandbox.api.admission.attributes import Attributes, Operation
from coalmine_sandbox.api.admission.chain import Admission
from coalmine_sandbox.api.defaults import complete
from coalmine_sandbox.api.user import MASTERS, User
from coalmine_sandbox.certificates import Authority

ADMIN = User("admin", (MASTERS, "system:authenticated"))


class Memory:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Resource, str, str], Object] = {}

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        return self._objects.get((resource, namespace or "", name))

    def objects(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        found = [(key, obj) for key, obj in self._objects.items() if key[0] == resource]
        return [obj for key, obj in found if namespace in (None, key[1])]

    def put(self, resource: Resource, obj: Object) -> Object:
        metadata = obj["metadata"]
        self._objects[resource, metadata.get("namespace", ""), metadata["name"]] = obj
        return obj

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        del self._objects[resource, namespace, name]


def memory(labels: dict[str, str] | None = None) -> Memory:
    """A store with the namespace ``default`` and its service account."""
    made = Memory()
    about = {"kubernetes.io/metadata.name": "default", **(labels or {})}
    made.put(NAMESPACES, {"metadata": {"name": "default", "labels": about}, "status": {"phase": "Active"}})
    made.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default", "uid": "sa"}})
    return made


def attributes(
    resource: Resource,
    obj: Object | None,
    old: Object | None = None,
    *,
    operation: Operation = "CREATE",
    subresource: str = "",
    dry_run: bool = False,
    namespace: str = "default",
) -> Attributes:
    about = (obj or old or {}).get("metadata") or {}
    name = str(about.get("name") or "")
    return Attributes(
        operation, resource, subresource, namespace, name, obj, old, ADMIN, dry_run, {"kind": "CreateOptions"}, "uid"
    )


def pod(**spec: Any) -> Object:
    """A pod as it is when admission sees it."""
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}}
    return complete(PODS, {**raw, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}})


def config_map(**fields: Any) -> Object:
    metadata = {"name": "m", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **fields}


def rule(resource: str, *operations: str, group: str = "", **fields: Any) -> Object:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "resources": [resource],
        "operations": list(operations) or ["*"],
        **fields,
    }


def webhook(name: str = "a.b.c", **fields: Any) -> Object:
    """One entry of a configuration, with its defaults."""
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1/x"},
        "rules": [rule("configmaps")],
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 5,
        "reinvocationPolicy": "Never",
        **fields,
    }


def configuration(*webhooks: Object, name: str = "w") -> Object:
    return {
        "apiVersion": MUTATING_WEBHOOKS.api_version,
        "kind": MUTATING_WEBHOOKS.kind,
        "metadata": {"name": name},
        "webhooks": list(webhooks),
    }


def admission(store: Memory) -> Admission:
    return Admission(store, random.Random(1))


def allowed(uid: str, *operations: Object, **fields: Any) -> Object:
    """The response that lets a request through, with a patch if there are operations."""
    response: Object = {"uid": uid, "allowed": True, **fields}
    if operations:
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    return response


def review(response: Object) -> Object:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


#: The request of a review; the response, or a whole HTTP answer.
Decide = Callable[[Object], Object | web.StreamResponse]


class Server:
    """A webhook on loopback: what came in by path, and what is answered there."""

    def __init__(self, authority: Authority, context: ssl.SSLContext) -> None:
        self.requests: dict[str, list[Object]] = {}
        self.queries: list[str] = []
        self.connections = 0
        self._authority = authority
        self._context = context
        self._decide: dict[str, Decide] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        application = web.Application(client_max_size=1 << 23)
        application.router.add_post("/{path:.*}", self._review)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._context).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def config(self, path: str, *, host: str = "127.0.0.1", authority: Authority | None = None) -> Object:
        bundle = base64.b64encode((authority or self._authority).certificate).decode()
        return {"url": f"https://{host}:{self.port}{path}", "caBundle": bundle}

    def answer(self, path: str, decide: Decide) -> None:
        self._decide[path] = decide

    async def _review(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["request"]
        self.requests.setdefault(request.path, []).append(copy.deepcopy(asked))
        self.queries.append(request.query_string)
        decide = self._decide.get(request.path)
        made = allowed(asked["uid"]) if decide is None else decide(asked)
        if asyncio.iscoroutine(made):
            made = await made
        return made if isinstance(made, web.StreamResponse) else web.json_response(review(made))


def authority(name: str = "test") -> Authority:
    return Authority(name, datetime.datetime.now(datetime.UTC))


@contextlib.asynccontextmanager
async def serving(directory: Path, *hosts: str) -> AsyncIterator[Server]:
    """A webhook that is up until this ends."""
    signer = authority()
    pair = signer.issue("webhook", hosts=["127.0.0.1", *hosts])
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = Server(signer, context)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
