"""Settings as arguments: what injection passes on, and what a static file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import parse_settings
from coalmine_proxy.arguments import IP, UID, parse
from coalmine_proxy.limits import DEFAULT

POD = {UID: "uid", IP: "10.0.0.7"}


def test_what_injection_passes_on_takes_effect() -> None:
    text = parse_settings("{timeouts: {idle: 5m, head: 3}, limits: {head: 64Ki}, affinity: {}}").for_injection()
    limits = parse(["--app-port", "5000", "--settings", text], POD).limits
    assert (limits.idle, limits.head_time, limits.head, limits.line) == (300.0, 3.0, 65_536, DEFAULT.line)
    assert parse(["--app-port", "5000"], POD).limits == DEFAULT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "--settings: is not JSON"),
        ("{", "--settings: is not JSON"),
        ("[" * 100_000, "--settings: is not JSON"),
        ("[]", "--settings: [] is not a mapping"),
        ('{"later": 1}', "--settings.later: is unknown"),
        ('{"timeouts": {"idle": 0}}', "--settings.timeouts.idle: 0 is out of range"),
    ],
    ids=range(6),
)
def test_settings_that_cannot_be_read_are_named(text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(["--app-port", "5000", "--settings", text], POD)
    assert str(caught.value).startswith(sentence)


def test_a_static_file_brings_its_own(tmp_path: Path) -> None:
    file = tmp_path / "static.json"

    def read(**fields: Any) -> Any:
        file.write_text(json.dumps({"stable": ["127.0.0.1:80"], **fields}))
        return parse(["--static", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], {})

    settings = read(settings={"limits": {"fields": 50}}, balance="leastRequest")
    assert (settings.limits.fields, settings.routing.balance, settings.static) == (50, "leastRequest", True)
    # a person wrote it, who is there to read the sentence
    with pytest.raises(SpecError, match=r"settings\.limits\.fields: 5 is not in range; write a whole number"):
        read(settings={"limits": {"fields": 5}})
