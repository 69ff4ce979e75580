"""Volumes without mounts: the paths in a container's spec become those of the volumes on this machine.

Where nobody may make a mount namespace, a process cannot see a volume at the path that its spec
names. So wherever the spec names a mountPath, or something below it, the volume's real directory
is written: in command, args, the values of env, workingDir, and exec probes and hooks, also amid a
text (``--state=/var/run/x``, the program of a ``-c``). Pure.

A path is known by what stands around it: ``/log`` is meant in ``/log/all``, ``"/log"`` and ``a:/log``, not
in ``/logs``, ``/log.txt``, ``x/log`` or ``$X/log``. What a program has built in or reads from a
file cannot be seen here, nor can a path that it puts together from parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.node.environment import MissingError
from coalmine_sandbox.node.process import Mount

#: A path does not begin after one of these: they end a name, a variable, a pattern, another path.
_BEFORE: Final = r"(?<![\w.\-/~$*?%@+})\]])"
#: Nor is it whole before one of these.
_AFTER: Final = r"(?![\w\-~$*?%@+{\[]|\.[\w.])"
_PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")
_HOOKS: Final = ("postStart", "preStop")


class Rewriting:
    """The paths of one container's mounts. Raises MissingError for what needs a mount namespace."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._places = {mount.target.rstrip("/"): str(mount.source) for mount in mounts}
        if "" in self._places:
            raise MissingError("a volume mounted at / needs a mount namespace, which this node does not make")
        # longest first, in one pass: what was written is not looked at again
        targets = sorted(self._places, key=len, reverse=True)
        self._path = re.compile(f"{_BEFORE}({'|'.join(map(re.escape, targets))}){_AFTER}") if targets else None

    def text(self, text: str) -> str:
        """`text` with every path below a mount replaced."""
        return text if self._path is None else self._path.sub(lambda match: self._places[match[1]], text)

    def container(self, spec: Object) -> Object:
        """The spec with every such path replaced; `spec` itself stays as it is."""
        if self._path is None:
            return spec
        changed: dict[str, Any] = dict(spec)
        for key in ("command", "args"):
            if spec.get(key):
                changed[key] = self._texts(spec[key])
        if spec.get("workingDir"):
            changed["workingDir"] = self.text(str(spec["workingDir"]))
        if spec.get("env"):
            changed["env"] = [self._variable(entry) for entry in spec["env"]]
        for key in _PROBES:
            if spec.get(key):
                changed[key] = self._handler(spec[key])
        if spec.get("lifecycle"):
            hooks = spec["lifecycle"]
            changed["lifecycle"] = {**hooks, **{key: self._handler(hooks[key]) for key in _HOOKS if hooks.get(key)}}
        return changed

    def _texts(self, texts: Sequence[object]) -> list[str]:
        return [self.text(str(text)) for text in texts]

    def _variable(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**entry, "value": self.text(str(entry["value"]))} if entry.get("value") else entry

    def _handler(self, handler: Mapping[str, Any]) -> Mapping[str, Any]:
        action = handler.get("exec") or {}
        if not action.get("command"):
            return handler
        return {**handler, "exec": {**action, "command": self._texts(action["command"])}}
