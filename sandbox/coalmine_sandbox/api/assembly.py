"""The API server put together from its parts: for the process, and for tests with other parts in some places."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from coalmine_sandbox.api.allocation import Allocation
from coalmine_sandbox.api.authentication import Tokens
from coalmine_sandbox.api.authorization import Rbac
from coalmine_sandbox.api.definitions import Definitions, Judge
from coalmine_sandbox.api.handler import Handler
from coalmine_sandbox.api.kinds import Kinds
from coalmine_sandbox.api.local import LocalApi, user_named
from coalmine_sandbox.api.logs import Logs
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.subresources import Subresources
from coalmine_sandbox.api.verbs import Verbs
from coalmine_sandbox.api.writing import Admission


class Api:
    """An API server without a socket. To be closed."""

    def __init__(
        self,
        store: Store,
        admission: Admission,
        tokens: Tokens,
        rbac: Rbac,
        judge: Judge,
        *,
        services: str,
        address: str,
        clock: Callable[[], float],
        chance: random.Random,
        pki: Path | None = None,
    ) -> None:
        """`services` is the range of the Services' addresses, `address` host and port of the server.

        `pki` holds the client certificate that node agents ask for.
        """
        self.store = store
        self.tokens = tokens
        self.kinds = Kinds()
        self.allocation = Allocation(store, services, chance)
        self.definitions = Definitions(store, self.kinds, judge)
        self._logs = Logs(store, pki)
        verbs = Verbs(store, self.kinds, admission, self.allocation, clock, chance)
        subresources = Subresources(verbs, self._logs, tokens, rbac)
        self.handler = Handler(store, self.kinds, verbs, subresources, rbac, address)

    def connect(self, name: str) -> LocalApi:
        """The API as the user of this name sees it, in this process."""
        return LocalApi(self.handler, user_named(name))

    async def close(self) -> None:
        self.definitions.close()
        await self._logs.close()
