"""A retry after a reset goes to another endpoint, if there is one."""

from __future__ import annotations

import random
from typing import Any


def test_a_retry_goes_to_another_endpoint(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        async def dying(app: Any, message: Any, reader: Any, writer: Any) -> bool:
            """Answers once; then, as a process that is killed, resets whatever it accepts."""
            if len(app.seen) > 1:
                writer.transport.abort()
                return False
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
            return True

        for seed in range(8):  # either endpoint may be chosen first
            one, other = await w.app("a", dying), await w.app("b")
            sidecar = await w.sidecar(one, trust_all=True)
            sidecar.service.random = random.Random(seed).random
            sidecar.service.apply(http.routing([http.World.endpoint(one)], [], 0))
            assert (await w.ask(sidecar.port)).body == b"a"
            # now one connection to it is kept; the other endpoint joins
            sidecar.service.apply(http.routing([http.World.endpoint(one), http.World.endpoint(other, uid="o")], [], 0))
            for _ in range(4):
                answer = await w.ask(sidecar.port)
                if len(one.seen) > 1:
                    break
            assert (answer.status, answer.body) == (200, b"b")

    in_world(test)
