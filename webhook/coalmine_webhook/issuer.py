"""The certificates that we manage ourselves: looks at the Secret and the configuration, and brings both on.

Rules:
- `rotation` decides. Here is only the order in which things are read and written, and that is what makes
  it safe with several replicas: the configuration is read first, then the Secret, and a write to either applies
  to the very version that was read. So a bundle is written from a Secret that was read after the configuration
  which it replaces, and cannot take back what another replica has published since.
- Each look goes on until nothing is left to do, or others keep changing things. A look that fails changes nothing
  here: the pair that is served stays.
- A poll every `POLL` seconds is what everything rests on. A watch of both objects only shortens the wait: with
  the bundle emptied (a GitOps tool that replaces) no annotated Deployment can be written, and that is not to last for
  ten seconds. The watches select by name, as RBAC allows no more; they list nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from coalmine.kube.resources import MUTATING_WEBHOOKS, SECRETS, Object, Resource
from coalmine.kube.verbs import JSON_PATCH, MERGE, ApiError, ConflictError, Event, NotFoundError
from coalmine.model.errors import RemoteError
from coalmine.model.names import WEBHOOK_CONFIGURATION
from coalmine_webhook import registration, rotation
from coalmine_webhook import secret as secrets
from coalmine_webhook.certificates import Mint, Pair, expiry
from coalmine_webhook.metrics import AUTHORITY, SERVING, Metrics
from coalmine_webhook.rotation import Contents, Published, Served

_log = logging.getLogger(__name__)

#: Seconds between two looks: two small GETs.
POLL: Final = 10.0
#: After a look that failed, the first time; then twice as long each time, up to POLL.
_FIRST_RETRY: Final = 0.5
#: Seconds after the end of a watch, which comes every few minutes. The next one begins with the object as it is: what
#: changed meanwhile is not missed. A server that ends them at once is not to be flooded.
_NEXT_WATCH: Final = 0.1
#: Two changes come together as a rule: the Secret's, then the configuration's.
_GATHER: Final = 0.05
#: Steps of one look: a turn takes six, and each conflict with one of three replicas one more.
_STEPS: Final = 24
#: Bundles that one look writes: one for an upcoming authority, one for one that is over. Somebody who writes another
#: one each time we write ours is not to be fought at the speed of a watch.
_BUNDLES: Final = 3
#: A "test" of a JSON patch that failed.
_UNPROCESSABLE: Final = 422


class Api(Protocol):
    """The part of `coalmine.kube.verbs.Verbs` that is used here."""

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None: ...

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object: ...

    async def replace(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object: ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        subresource: str | None = None,
        *,
        kind: str = MERGE,
        query: Mapping[str, str] | None = None,
    ) -> Object: ...

    def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]: ...


class Issuer:
    """One replica's share in keeping the certificates."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        mint: Mint,
        use: Callable[[Pair], None],
        metrics: Metrics,
        clock: Callable[[], datetime],
        settle: float,
    ) -> None:
        """`use` serves a pair from then on, or raises ValueError; `clock` is aware of its time zone.

        `settle`, in seconds, is how long API servers may take to learn of a new authority.
        """
        self._api = api
        self._namespace = namespace
        self._name = name
        self._mint = mint
        self._use = use
        self._metrics = metrics
        self._clock = clock
        self._settle = settle
        self._waiting = False
        self._published = False
        self.served: Served | None = None
        #: There is a pair to serve.
        self.loaded = asyncio.Event()

    def unready(self) -> str:
        """Why API servers cannot trust us yet; "" once they could. What goes wrong later ends no readiness: the
        other replica would be in the same trouble."""
        if self.served is None:
            return f"no certificate yet: see the log about Secret {self._namespace}/{self._name}"
        if not self._published:
            return f"the MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION} does not name our authority yet"
        return ""

    async def look(self) -> None:
        """Take every step that is due. Raises RemoteError; whatever was done until then stays done."""
        bundles = 0
        for _ in range(_STEPS):
            configuration = await self._api.find(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION)
            found = await self._api.find(SECRETS, self._namespace, self._name)
            published = None if configuration is None else registration.read(configuration)
            contents = None if found is None else secrets.decode(found)
            now = self._clock()
            following = rotation.plan(contents, published, self.served, now, self._mint, self._settle)
            try:
                if following is not None:
                    await self._write(found, contents, following)
                    continue
                assert contents is not None, "the plan for nothing is something"
                bundle = contents.bundle(now)
                if configuration is not None and (operations := registration.patch(configuration, bundle)):
                    if bundles == _BUNDLES:
                        break
                    bundles += 1
                    await self._publish(operations)
                    continue
            except (ConflictError, NotFoundError) as error:
                if found is None and isinstance(error, NotFoundError):
                    raise  # there is no such namespace
                _log.debug("changed meanwhile: %s", error)
                continue
            self._tell_of(configuration)
            self._take(contents, published, now)
            return
        raise RemoteError(
            f"Secret {self._namespace}/{self._name} and MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION} change "
            "faster than they can be brought together: does something else write them as well?"
        )

    async def _write(self, found: Object | None, before: Contents | None, contents: Contents) -> None:
        if found is None:
            await self._api.create(SECRETS, self._namespace, secrets.fresh(self._namespace, self._name, contents))
        else:
            await self._api.replace(SECRETS, self._namespace, secrets.encode(found, contents))
        if before is None:
            _log.info("certificates made", extra={"fields": {"secret": self._name, "anew": found is not None}})
        elif contents.authority != before.authority:
            _log.info("a new authority signs", extra={"fields": {"secret": self._name}})
        elif contents.upcoming is not None and before.upcoming is None:
            _log.info("a new authority is to follow", extra={"fields": {"secret": self._name}})

    async def _publish(self, operations: registration.Operations) -> None:
        try:
            await self._api.patch(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION, operations, kind=JSON_PATCH)
        except ApiError as error:
            if error.status == _UNPROCESSABLE:  # it is not the one that was read
                raise ConflictError(error.status, error.reason, error.message) from error
            raise
        self._metrics.bundles.inc()
        _log.info("authorities published", extra={"fields": {"configuration": WEBHOOK_CONFIGURATION}})

    def _tell_of(self, configuration: Object | None) -> None:
        if configuration is None and not self._waiting:
            _log.warning("there is no MutatingWebhookConfiguration %s: waiting for it", WEBHOOK_CONFIGURATION)
        self._waiting = configuration is None

    def _take(self, contents: Contents, published: Published | None, now: datetime) -> None:
        if rotation.takes(contents, self.served, published, now, self._settle):
            try:
                self._use(contents.serving)
            except ValueError as error:
                raise RemoteError(f"Secret {self._namespace}/{self._name}: {error}") from error
            self.served = Served(contents.serving, contents.authority.certificate)
            self._metrics.renewals.inc()
            end = expiry(contents.serving.certificate)
            _log.info("serving a certificate", extra={"fields": {"until": end.isoformat()}})
            self.loaded.set()
        if self.served is not None:
            self._metrics.expires(SERVING, expiry(self.served.pair.certificate))
            self._metrics.expires(AUTHORITY, expiry(self.served.authority))
            self._published |= published is not None and self.served.authority in published.everywhere

    # --- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for ever. Cancelled to end."""
        changed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(MUTATING_WEBHOOKS, None, WEBHOOK_CONFIGURATION, changed))
            group.create_task(self._watch(SECRETS, self._namespace, self._name, changed))
            retry = _FIRST_RETRY
            while True:
                changed.clear()
                try:
                    await self.look()
                except RemoteError as error:
                    self._metrics.failures.inc()
                    _log.warning("certificates: %s", error)
                    await asyncio.sleep(retry)  # whatever changes meanwhile: it may be changed each time we write
                    retry = min(retry * 2, POLL)
                    continue
                retry = _FIRST_RETRY
                with contextlib.suppress(TimeoutError):
                    # a shorter settling is waited for, and no longer
                    async with asyncio.timeout(min(POLL, max(self._settle, 1.0))):
                        await changed.wait()
                        await asyncio.sleep(_GATHER)

    async def _watch(self, resource: Resource, namespace: str | None, name: str, changed: asyncio.Event) -> None:
        level = logging.INFO
        while True:
            wait = _NEXT_WATCH
            try:
                # no resourceVersion: it begins with the object as it is
                async for event in self._api.watch(resource, namespace, "", fields=f"metadata.name={name}"):
                    if event.type != "BOOKMARK":
                        changed.set()
            except ApiError as error:
                # nothing hangs on it; that it may not watch at all is to be seen once
                _log.log(level, "%s cannot be watched, and is looked at every %g s: %s", resource.plural, POLL, error)
                level, wait = logging.DEBUG, POLL
            await asyncio.sleep(wait)
