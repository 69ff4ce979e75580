"""Runs Lua as Argo CD does: version 5.1, `obj` as the only input, no library but the base, `table` and a little `os`.

Source: Argo CD, util/lua/lua.go: scripts get the base library, ``package``, ``table`` and a safe ``os``; unless an
administrator writes useOpenLibs there is no ``string`` and no ``math``. A health script returns a table with a
status and a message; an action returns the object, from which Argo CD makes a merge patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from lupa import lua51

SCRIPTS: Final = Path(__file__).parents[3] / "docs" / "gitops"
#: Health statuses that Argo CD takes; any other is shown as Unknown with a complaint.
STATUSES: Final = ("Healthy", "Progressing", "Suspended", "Degraded", "Missing", "Unknown")
_HIDE: Final = """
getmetatable("").__index = nil
for _, name in ipairs({"string", "math", "io", "debug", "python", "dofile", "loadfile", "require", "package"}) do
  _G[name] = nil
end
os = {time = os.time, date = os.date}
"""


def execute(script: str, obj: Mapping[str, Any]) -> Any:
    """What the script returns, as JSON; an empty table comes back as {}. Raises LuaError."""
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    decoded = runtime.table_from(obj, recursive=True)
    runtime.execute(_HIDE)
    runtime.globals()["obj"] = decoded
    return _json(runtime.execute(script))


def health(name: str, obj: Mapping[str, Any]) -> tuple[str, str]:
    """Status and message by the script ``argocd-health-<name>.lua``."""
    found = execute((SCRIPTS / f"argocd-health-{name}.lua").read_text(), obj)
    if found["status"] not in STATUSES:
        raise ValueError(f"Argo CD knows no health status {found['status']!r}")
    return found["status"], found["message"]


def _definitions() -> Any:
    return yaml.safe_load((SCRIPTS / "argocd-actions-rollout.yaml").read_text())


def offered(rollout: Mapping[str, Any]) -> list[str]:
    """Names of the actions that a person can click on now, in order."""
    found = execute(_definitions()["discovery.lua"], rollout)
    return sorted(name for name, action in found.items() if not action.get("disabled"))


def acted(action: str, rollout: Mapping[str, Any]) -> Any:
    """The merge patch that Argo CD sends when a person clicks on `action`."""
    script = next(d["action.lua"] for d in _definitions()["definitions"] if d["name"] == action)
    return merge_patch(rollout, execute(script, rollout))


def merge_patch(before: Any, after: Any) -> Any:
    """RFC 7386, as Argo CD makes it of the object before and after an action.

    An empty table of Lua is both {} and []; Argo CD takes what was there before (cleanReturnedObj).
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    patch = {key: None for key in before if key not in after and before[key] is not None}
    for key, value in after.items():
        old = before.get(key)
        if value == old or (value == {} and old == []):
            continue
        below = merge_patch(old, value)
        if below != {} or not isinstance(old, Mapping):
            patch[key] = below
    return patch


def _json(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return int(value) if isinstance(value, float) and value.is_integer() else value
    items = dict(value.items())
    if items and all(isinstance(key, int) for key in items):
        return [_json(items[index]) for index in sorted(items)]
    return {key: _json(each) for key, each in items.items()}
