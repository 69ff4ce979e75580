"""What a request is about, whether it is allowed, and who answers it. Knows no transport.

Nothing that a client sends ends in an exception here: what is refused is a Status, what is our fault is logged and
answered with 500.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from coalmine.kube.resources import NAMESPACES
from coalmine_sandbox.api import discovery, errors, paths, selectors
from coalmine_sandbox.api.authorization import Rbac, path_refusal, refusal
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.http import Answer, Request, Stream, refused, text
from coalmine_sandbox.api.kinds import Kinds
from coalmine_sandbox.api.openapi import OpenApi
from coalmine_sandbox.api.paths import Target
from coalmine_sandbox.api.store import Store, encoded
from coalmine_sandbox.api.strategy.table import strategy_of
from coalmine_sandbox.api.subresources import Subresources
from coalmine_sandbox.api.user import User
from coalmine_sandbox.api.verbs import Verbs

_log = logging.getLogger(__name__)


class Handler:
    """Answers requests; `address` is the server's own, told in /api."""

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        verbs: Verbs,
        subresources: Subresources,
        rbac: Rbac,
        address: str,
    ) -> None:
        self.store = store
        self._kinds = kinds
        self._verbs = verbs
        self._subresources = subresources
        self._rbac = rbac
        self._address = address
        self._openapi = OpenApi(kinds)
        self._verb: dict[str, Callable[[Request, Target], Awaitable[Answer]]] = {
            "create": verbs.create,
            "update": verbs.update,
            "patch": verbs.patch,
            "delete": verbs.delete,
            "deletecollection": verbs.delete_collection,
        }

    async def handle(self, request: Request) -> Answer | Stream:
        """The answer; never raises but when cancelled."""
        try:
            target = paths.target(self._kinds, request.path)
            if target is not None:
                return await self._resource(request, target)
            return self._other(request)
        except StatusError as error:
            return refused(error)
        except RecursionError:
            return refused(errors.bad_request("the object is too deeply nested"))
        except Exception:
            _log.exception("%s %s", request.method, request.path)
            return refused(errors.internal("the sandbox's API server has a fault; its log says more"))

    # --- resources -----------------------------------------------------------------------------

    async def _resource(self, request: Request, target: Target) -> Answer | Stream:
        verb = paths.verb(request.method, target, watch=request.flag("watch"))
        if request.checked:
            one = selectors.exact_name(request.parameter("fieldSelector")) if verb in ("list", "watch") else ""
            self._authorize(request.user, verb, target, one)
        kind = target.kind
        known = kind.subresource(target.subresource).verbs if target.subresource else kind.verbs  # type: ignore[union-attr]
        named = bool(target.name)
        if verb not in known or named is not (verb in ("get", "update", "patch", "delete") or bool(target.subresource)):
            raise errors.method_not_allowed(kind.qualified)
        if kind.resource.namespaced and target.namespace is None and verb in ("create", "deletecollection"):
            raise errors.method_not_allowed(kind.qualified)
        if kind.verbs == ("create",):
            return self._subresources.review(request, target)
        if target.subresource:
            answer = await self._subresources.answer(request, target, verb)
            if answer is not None:
                return answer
        match verb:
            case "get":
                return self._verbs.get(request, target)
            case "list":
                return self._verbs.list(request, target)
            case "watch":
                return self._verbs.watch(request, target)
        if verb in ("update", "patch") and request.checked and not target.subresource:
            self._authorize_creation(request, target)
        return await self._verb[verb](request, target)

    def _authorize(self, user: User, verb: str, target: Target, one: str = "") -> None:
        """`one`: the name that a list or a watch is limited to. Raises StatusError (403)."""
        kind = target.kind
        # a Namespace counts as standing in itself, so that a role in it may be about it
        namespace = target.name if kind.resource == NAMESPACES else target.namespace or ""
        about = (verb, kind.group, kind.resource.plural, target.subresource, namespace, target.name or one)
        if not self._rbac.allows(user, *about):
            raise refusal(user, *about)

    def _authorize_creation(self, request: Request, target: Target) -> None:
        """Who updates what is not there creates it, where the kind has that. Raises StatusError (403)."""
        applied = "apply-patch" in request.headers.get("content-type", "")
        absent = self.store.entry(target.kind.storage, target.namespace or "", target.name) is None
        if absent and (applied or (request.method == "PUT" and strategy_of(target.kind).creates_on_update)):
            self._authorize(request.user, "create", target)

    # --- everything else -----------------------------------------------------------------------

    def _other(self, request: Request) -> Answer:
        path = request.path.rstrip("/") or "/"
        verb = request.method.lower()
        if request.checked and not self._rbac.allows_path(request.user, verb, path):
            raise path_refusal(request.user, verb, request.path)
        if path.startswith(("/healthz", "/livez", "/readyz")):
            return text(200, "ok")
        if request.method not in ("GET", "HEAD"):
            return text(404, "404 page not found\n")
        found = self._discovered(path, request.headers.get("accept", ""))
        if found is not None:
            return found
        return text(404, "404 page not found\n")

    def _discovered(self, path: str, accept: str) -> Answer | None:
        parts = path.strip("/").split("/")
        if path == "/version":
            return Answer(200, encoded(discovery.version()))
        if path in ("/api", "/apis") and discovery.wants_aggregated(accept):
            made = discovery.aggregated(self._kinds, legacy=path == "/api")
            return Answer(200, encoded(made), discovery.AGGREGATED)
        if path == "/":
            versions = self._kinds.versions().items()
            every = ["/api", "/api/v1", "/apis", *(f"/apis/{g}/{v}" for g, v in versions if g), "/healthz", "/version"]
            return Answer(200, encoded({"paths": every}))
        if parts[0] == "openapi":
            return self._schema(parts)
        found = None
        match parts:
            case ["api"]:
                found = discovery.core(self._address)
            case ["apis"]:
                found = discovery.groups(self._kinds)
            case ["api", "v1"]:
                found = discovery.resources(self._kinds, "v1")
            case ["apis", group]:
                found = discovery.group(self._kinds, group)
            case ["apis", group, version]:
                found = discovery.resources(self._kinds, f"{group}/{version}")
        return None if found is None else Answer(200, encoded(found))

    def _schema(self, parts: list[str]) -> Answer | None:
        if parts == ["openapi", "v3"]:
            return Answer(200, encoded(self._openapi.index()))
        if parts[:2] == ["openapi", "v3"]:
            document = self._openapi.document("/".join(parts[2:]))
            return None if document is None else Answer(200, document)
        # /openapi/v2 is for clients older than the one that is supported: they take a 404 as "no schema"
        return None
