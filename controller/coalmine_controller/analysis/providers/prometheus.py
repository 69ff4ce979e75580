"""The `prometheus` provider: one instant query, its scalar or its vector as the result.

Rules (Argo's): a scalar is a number; a vector is the list of its numbers, an empty one an empty list, so that a
condition speaks of `result[0]` or of `len(result)`; anything else is an Error, and so is an answer that is not
Prometheus'. NaN and infinities are results. The query is sent in the body of a POST: it may be longer than a URL.
No redirect is followed: a POST that becomes a GET has lost its query.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import yarl

from coalmine_controller.analysis.providers.fetch import read_body, shown, url_of
from coalmine_controller.analysis.providers.measured import Context, Measured, MeasurementError
from coalmine_controller.analysis.settings.prometheus import PrometheusSettings
from coalmine_controller.analysis.values import TooDeepError, read_json, write_json

#: Characters of Prometheus' own sentence that are kept: it repeats the part of the query that it does not like.
_SENTENCE: Final = 300


@dataclass(frozen=True, slots=True)
class Prometheus:
    """See the module."""

    settings: PrometheusSettings

    async def measure(self, context: Context) -> Measured:
        """One query. Raises MeasurementError."""
        settings = self.settings
        address = settings.address or context.prometheus
        if not address:
            raise MeasurementError(
                "no address of Prometheus is known: write provider.prometheus.address, "
                "or start the controller with --prometheus-address"
            )
        url = url_of(address, context.namespace if settings.address else "", "Prometheus") / "api/v1/query"
        title = f"Prometheus at {shown(url.origin())}"
        try:
            async with asyncio.timeout(settings.timeout), context.open_session() as session:
                status, body = await self._ask(session, url, title)
                return await asyncio.to_thread(_read, status, body, title)
        except TimeoutError as error:
            raise MeasurementError(f"{title}: no answer within {settings.timeout:g} s") from error
        except aiohttp.ClientResponseError as error:  # its text ends in the URL
            raise MeasurementError(f"{title}: {error.message}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise MeasurementError(f"{title}: {error or type(error).__name__}") from error

    async def _ask(self, session: aiohttp.ClientSession, url: yarl.URL, title: str) -> tuple[int, str]:
        settings = self.settings
        async with session.post(
            url,
            data={"query": settings.query, "timeout": f"{settings.timeout:g}s"},
            headers={"User-Agent": "coalmine", **dict(settings.headers)},
            ssl=not settings.insecure,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's covers reading, too
        ) as response:
            return response.status, await read_body(response, title)


def _read(status: int, body: str, title: str) -> Measured:
    """The result of an answer: https://prometheus.io/docs/prometheus/latest/querying/api/"""
    try:
        answer = read_json(body)
    except TooDeepError as error:
        raise MeasurementError(f"{title}: answered {status} with JSON {error}") from error
    except ValueError as error:
        raise MeasurementError(f"{title}: answered {status}, not with JSON") from error
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        said = answer.get("error") if isinstance(answer, Mapping) else None
        why = f": {str(said)[:_SENTENCE]}" if said else ""
        raise MeasurementError(f"{title}: answered {status}, no success{why}")
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, Mapping) else None
    result = data.get("result") if isinstance(data, Mapping) else None
    try:
        if kind == "scalar":
            value = _number(result)
            return Measured(write_json(value), value)
        if kind == "vector" and isinstance(result, list):
            values = [_number(sample["value"]) for sample in result]
            return Measured(write_json(values), values)
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(f"{title}: the answer has not the shape of Prometheus'") from error
    raise MeasurementError(f"{title}: a result of type {str(kind)[:20]} cannot be judged: ask for a vector or a scalar")


def _number(pair: Any) -> float:
    """The value of ``[time, "value"]``; Prometheus writes NaN, +Inf and -Inf."""
    _, text = pair
    if not isinstance(text, str) or "_" in text:
        raise ValueError("not a sample")
    value = float(text)
    return math.nan if math.isnan(value) else value
