"""Every bound and every timeout of the sidecar, each with its reason.

One object, made once and passed to whoever needs it, so that a test can shrink a bound and
a user can set one (`Limits.of`; between which bounds is with `proxy_settings`, whose words these are).
Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from coalmine.model.proxy_settings import ProxySettings


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults suit a sidecar that was put before an application which ran well without it:
    generous where the application decides (time to answer), tight where only a faulty or
    hostile peer would get there (heads, chunk extensions).
    """

    # --- sizes ---
    #: A request line: nginx's large_client_header_buffers takes 8 KiB as well.
    line: int = 8 * 1024
    #: A whole head. nginx takes 4 x 8 KiB; HAProxy 16 KiB. Cookies and tokens of 20 KiB exist.
    head: int = 32 * 1024
    #: Field lines in a head: HAProxy takes 101, Apache 100.
    fields: int = 100
    #: One chunk-size line. Eight hexadecimal digits are usual; nobody needs long extensions.
    chunk_line: int = 256
    #: Extension bytes of one body in all: with one-byte chunks they would cost more than the body.
    chunk_extensions: int = 16 * 1024
    #: Trailer section: a few checksums and a status.
    trailers: int = 8 * 1024
    #: Input of one client that is kept while it cannot be passed on (pipelined requests, or a
    #: body while a connection is opened): the kernel's default receive window.
    held: int = 64 * 1024
    #: What is read and thrown away before a connection is closed, so that the answer is not
    #: destroyed by a reset: enough for what was on its way, no invitation to send gigabytes.
    linger_bytes: int = 1024 * 1024

    # --- numbers ---
    #: Idle connections kept to one endpoint: as many as its busiest moment may have needed.
    idle_per_endpoint: int = 512
    #: Endpoints of one arm that are tried when connecting fails. With one of three pods just gone,
    #: four tries leave no request without an endpoint; each refused one costs a round trip.
    tries: int = 4
    #: Clients at once; each idle one costs 1.3 KB here (measured with 1,000), and two file descriptors while it
    #: asks. nginx's worker_connections is 768 in Debian, HAProxy's maxconn follows from the descriptors.
    connections: int = 8192
    #: Copies of requests under way at once: a mirror that does not answer must not hold more than this.
    mirrors: int = 64
    #: Bytes of the answer to a copy that are read before its connection is given up: to keep a
    #: connection is worth reading a page, not a download.
    mirror_bytes: int = 1024 * 1024
    #: Connections that wait to be accepted: a burst of fresh connections while the loop is busy.
    backlog: int = 1024

    # --- times ---
    #: From the first byte of a head to its end. Honest clients send it in one segment; nginx
    #: gives 60 s, which lets a few thousand slow senders fill the table of connections.
    head_time: float = 15.0
    #: A kept client connection between two requests: above the 60 s of common load balancers,
    #: which otherwise send a request into our close. nginx: 75 s.
    idle: float = 75.0
    #: Opening a connection, confirmation included. A lost SYN is sent again after 1 s: two seconds
    #: give it a second chance, and then another endpoint is worth more than waiting.
    connect: float = 2.0
    #: From the sent request to the first byte of the answer. What was slow before the sidecar
    #: came must go on working (reports, long polls), so only the dead are cut off.
    first_byte: float = 600.0
    #: The same for a copy of a request, whose answer nobody waits for.
    mirror: float = 10.0
    #: Between two pieces of a body, either way, and for a client that does not read.
    stream: float = 600.0
    #: Bytes of an upgraded connection: WebSockets without a heartbeat are idle for long.
    tunnel: float = 3600.0
    #: An idle connection to an endpoint: below the 5 s after which Node closes its own, the
    #: shortest common default. A close that crosses a request costs a retry.
    pooled: float = 4.0
    #: A request that must not be sent twice goes out only on a connection that was used in the
    #: last half second: no server's idle timeout is that short, so the peer is not
    #: just closing it. A fresh connection would be no safer against a peer that is told
    #: to end: it is closed unread while it waits to be accepted.
    recent: float = 0.5
    #: How old the confirmation of a pod's uid may be when a connection to it is opened.
    confirmed: float = 1.0
    #: Unacknowledged bytes to a peer whose node was lost: then the kernel gives up.
    unacknowledged: float = 30.0
    #: Reading on after the last answer of a connection: nginx's lingering_timeout is 5 s.
    linger: float = 5.0
    #: After SIGTERM: how long Services may still send new connections here. Endpoints reach
    #: the nodes in one or two seconds; the injected preStop waits as long.
    endpoint_lag: float = 5.0

    @classmethod
    def of(cls, settings: ProxySettings) -> Limits:
        """The defaults, but for what a user wants otherwise."""
        given: dict[str, Any] = {_TIMES.get(key, key): seconds for key, seconds in settings.timeouts}
        given |= {_NUMBERS.get(key, key): value for key, value in settings.limits}
        return replace(cls(), **given)


#: The words of the annotation, where they are other ones. What is a matter of safety rather than of taste (`recent`,
#: `confirmed`, the bounds on chunks) has none.
_TIMES: Final = {"head": "head_time", "firstByte": "first_byte"}
_NUMBERS: Final = {"idlePerEndpoint": "idle_per_endpoint"}

DEFAULT = Limits()
