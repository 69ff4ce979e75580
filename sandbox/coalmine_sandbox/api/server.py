"""HTTPS in front of the handler: who asks is a client certificate of ours or a bearer token, else nobody.

Rules: a body longer than the bound is not read to its end; an answer that comes in pieces goes out piece by piece, at
once; a client that hangs up, or does not read what it asked for, ends it.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from coalmine_sandbox.api import errors
from coalmine_sandbox.api.authentication import Tokens, user_of_certificate
from coalmine_sandbox.api.body import LARGEST, too_large
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.handler import Handler
from coalmine_sandbox.api.http import Answer, Request, Stream, refused
from coalmine_sandbox.api.user import ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User

_NOBODY: Final = User(ANONYMOUS, (UNAUTHENTICATED,))
#: A client with a hundred watches and selectors in its URLs stays far below.
_LONGEST_LINE: Final = 32_768
#: For what is being answered when the server stops; watches are cut.
_GOODBYE_SECONDS: Final = 0.3
#: For a client to take what waits for it; it lists and watches again, once it reads.
_PATIENCE_SECONDS: Final = 60.0


class Server:
    """Listens from `start` to `stop`."""

    def __init__(self, handler: Handler, tokens: Tokens, pki: Path) -> None:
        """`pki` holds ca.crt, apiserver.crt and apiserver.key."""
        self._handler = handler
        self._tokens = tokens
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._tls.load_verify_locations(cafile=pki / "ca.crt")
        self._tls.verify_mode = ssl.CERT_OPTIONAL
        self._runner: web.ServerRunner | None = None
        self._streams: set[asyncio.Task[object]] = set()

    async def start(self, address: str, port: int) -> int:
        """Listen; the port (one that is free, when `port` is 0). Raises OSError."""
        server = web.Server(
            self._serve,
            handler_cancellation=True,
            access_log=None,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_GOODBYE_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        bound: Any = self._runner.addresses[0]
        return int(bound[1])

    async def stop(self) -> None:
        """Close everything; watches end."""
        for task in self._streams:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            user = self._user(request)
            asked = Request(
                method=request.method,
                path=request.rel_url.raw_path,
                user=user,
                query=_query(request),
                headers={key.lower(): value for key, value in request.headers.items()},
                body=await _body(request),
            )
        except StatusError as error:
            return _response(refused(error))
        answer = await self._handler.handle(asked)
        if isinstance(answer, Answer):
            return _response(answer)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            return await _streamed(request, answer)
        finally:
            self._streams.discard(task)

    # --- who asks ------------------------------------------------------------------------------

    def _user(self, request: web.BaseRequest) -> User:
        """Raises StatusError (401, 403)."""
        user = self._known(request)
        wanted = request.headers.get("Impersonate-User")
        if wanted is None:
            return user
        if MASTERS not in user.groups:
            why = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
            raise errors.forbidden("users", wanted, why)
        return User(wanted, (*request.headers.getall("Impersonate-Group", ()), AUTHENTICATED))

    def _known(self, request: web.BaseRequest) -> User:
        transport = request.transport
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        if certificate and (known := user_of_certificate(certificate)) is not None:
            return known
        kind, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return _NOBODY
        user = self._tokens.user_of(token.strip())
        if user is None:
            raise errors.unauthorized()
        return user


# --- aiohttp's side ----------------------------------------------------------------------------


def _query(request: web.BaseRequest) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for key, value in request.rel_url.query.items():
        query.setdefault(key, []).append(value)
    return query


async def _body(request: web.BaseRequest) -> bytes:
    """Raises StatusError (413)."""
    if (request.content_length or 0) > LARGEST:
        raise too_large()
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > LARGEST:
            raise too_large()
        parts.append(part)
    return b"".join(parts)


def _response(answer: Answer) -> web.Response:
    headers = CIMultiDict(answer.headers)
    headers[hdrs.CONTENT_TYPE] = answer.content_type
    for warning in answer.warnings:
        headers.add("Warning", f'299 - "{_quoted(warning)}"')
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _quoted(text: str) -> str:
    """A header's quoted string: on one line, at most as long as apiserver allows (it cuts at 4 KiB in all)."""
    plain = "".join(character if character.isprintable() else " " for character in text[:2000])
    return plain.replace("\\", "\\\\").replace('"', '\\"')


async def _streamed(request: web.BaseRequest, stream: Stream) -> web.StreamResponse:
    response = web.StreamResponse(status=stream.status, headers={hdrs.CONTENT_TYPE: stream.content_type})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for chunk in stream.chunks:
            if chunk:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass  # the client is gone
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # nothing more can be said to it
    finally:
        await stream.close()
    return response
