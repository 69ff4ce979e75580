"""The `web` provider: one HTTP request, its JSON body or a part of it as the result.

Rules (Argo's): only a 2xx is an answer. A body that is not JSON is a string result, and the
path is skipped; several matches of the path give the first; none is an error. A connection is opened for each
measurement, so that the Service spreads measurements over pods as it does for any new client.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver

from coalmine_controller.analysis.providers.fetch import read_body, shown, url_of
from coalmine_controller.analysis.providers.measured import Context, Measured, MeasurementError
from coalmine_controller.analysis.settings.web import WebSettings
from coalmine_controller.analysis.values import MAX_NESTING, TooDeepError, read_json, write_json

#: A health page may move once or twice; more is a loop.
MAX_REDIRECTS: Final = 5


def open_session(resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """A session whose connections are used once; no cookies, no proxies from the environment.

    `resolver` finds hosts, else DNS; closed with the session.
    """
    connector = aiohttp.TCPConnector(force_close=True, resolver=resolver)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


@dataclass(frozen=True, slots=True)
class Web:
    """See the module."""

    settings: WebSettings

    async def measure(self, context: Context) -> Measured:
        """One request. Raises MeasurementError."""
        url = url_of(self.settings.url, context.namespace, self.settings.method)
        title = f"{self.settings.method} {shown(url)}"
        try:
            async with asyncio.timeout(self.settings.timeout), context.open_session() as session:
                body = await self._fetch(session, url, title)
                # off the loop: a large body would hold up everything else, the Lease included
                return await asyncio.to_thread(self._read, body, title)
        except TimeoutError as error:
            raise MeasurementError(f"{title}: no answer within {self.settings.timeout:g} s") from error
        except aiohttp.TooManyRedirects as error:
            raise MeasurementError(f"{title}: more than {MAX_REDIRECTS} redirects") from error
        except aiohttp.InvalidURL as error:  # its text is the URL
            raise MeasurementError(f"{title}: the URL, or the one it redirects to, cannot be requested") from error
        except aiohttp.ClientResponseError as error:  # its text ends in the URL
            raise MeasurementError(f"{title}: {error.message}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise MeasurementError(f"{title}: {error or type(error).__name__}") from error

    async def _fetch(self, session: aiohttp.ClientSession, url: yarl.URL, title: str) -> str:
        settings = self.settings
        headers = {"User-Agent": "coalmine", **dict(settings.headers)}
        async with session.request(
            settings.method,
            url,
            headers=headers,
            data=None if settings.body is None else settings.body.encode(),
            ssl=not settings.insecure,
            max_redirects=MAX_REDIRECTS,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's covers reading, too
        ) as response:
            if not 200 <= response.status < 300:
                raise MeasurementError(f"{title}: answered {response.status}, not 2xx")
            return await read_body(response, title)

    def _read(self, body: str, title: str) -> Measured:
        try:
            result = read_json(body)
        except TooDeepError as error:
            raise MeasurementError(f"{title}: the answer is JSON {error}, of {MAX_NESTING}") from error
        except ValueError:
            return Measured(body, body)
        if self.settings.path is not None:
            result = self._first(result, title)
        return Measured(write_json(result), result)

    def _first(self, document: Any, title: str) -> Any:
        try:
            matches = self.settings.path.find(document)
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise MeasurementError(f"{title}: jsonPath cannot be applied to the answer: {error!r}") from error
        if not matches:
            raise MeasurementError(f"{title}: jsonPath {self.settings.path} finds nothing in the answer")
        return matches[0].value
