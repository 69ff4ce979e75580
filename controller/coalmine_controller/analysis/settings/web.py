"""The fields of the `web` provider: one HTTP request a measurement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.model.errors import SpecError
from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.settings.jsonpath import read_path
from coalmine_controller.analysis.settings.url import read_url
from coalmine_controller.analysis.values import write_json

DEFAULT_TIMEOUT: Final = 10  # seconds, Argo's
#: A measurement that takes longer says nothing of now, and holds one of the controller's places.
MAX_TIMEOUT: Final = 300
_METHODS: Final = ("GET", "POST", "PUT")
_FIELDS: Final = ("url", "method", "headers", "body", "jsonBody", "timeoutSeconds", "jsonPath", "insecure")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE: Final = re.compile(r"[^\r\n\0]*")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """A request and what is read of its answer. `timeout` is in seconds, for the whole exchange."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # they may hold secrets
    body: str | None = field(default=None, repr=False)
    timeout: float = DEFAULT_TIMEOUT
    insecure: bool = False
    #: jsonpath-ng's path; None takes the whole body.
    path: Any = field(default=None, compare=False)


def read_web(fields: Fields) -> WebSettings:
    """Read ``provider.web``. Raises SpecError."""
    fields.known(_FIELDS, ("authentication",))
    method = fields.text("method", "GET") or "GET"
    if method not in _METHODS:
        raise SpecError(fields.at("method"), f"{method!r} is unknown", f"write one of {', '.join(_METHODS)}")
    headers = [read_header(fields, i, raw) for i, raw in enumerate(fields.sequence("headers"))]
    body = fields.text("body", "") or None
    if fields.raw("jsonBody") is not None:
        if body is not None:
            raise SpecError(fields.at("jsonBody"), "stands beside body", "write one of them")
        body = write_json(fields.raw("jsonBody"))
        if all(name.lower() != "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
    if body is not None and method == "GET":
        raise SpecError(fields.at("method"), "GET has no body", "write POST or PUT")
    path = fields.text("jsonPath", "")
    return WebSettings(
        url=_url(fields),
        method=method,
        headers=tuple(headers),
        body=body,
        # 0 and less is the default, as in Argo
        timeout=max(fields.whole("timeoutSeconds", 0, -(2**31), MAX_TIMEOUT), 0) or DEFAULT_TIMEOUT,
        insecure=fields.boolean("insecure"),
        path=read_path(path, fields.at("jsonPath")) if path and not fields.is_open("jsonPath") else None,
    )


def _url(fields: Fields) -> str:
    url = fields.text("url")
    if fields.is_open("url"):
        return url
    advice = 'write for example "http://colorapi/"'
    try:
        read_url(url)
    except ValueError as error:
        raise SpecError(
            fields.at("url"), f"{url!r} is not an http or https URL with a host: {error}", advice
        ) from error
    return url


def read_header(fields: Fields, index: int, raw: Any) -> tuple[str, str]:
    """One entry of ``headers``. Raises SpecError."""
    entry = Fields(raw, fields.at(f"headers[{index}]"), "write {key: NAME, value: VALUE}")
    entry.known(("key", "value"))
    name, value = entry.text("key"), entry.text("value", "")
    if "{{" not in name and not _HEADER_NAME.fullmatch(name):
        raise SpecError(entry.at("key"), f"{name!r} is not the name of a header", "write for example Authorization")
    if not _HEADER_VALUE.fullmatch(value):
        # the value may be a secret: it is not shown
        raise SpecError(entry.at("value"), "holds a line break", "write one line")
    return name, value
