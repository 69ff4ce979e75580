"""A pod's volumes as directories: emptyDir, configMap, secret, downwardAPI, projected, hostPath.

Files of ConfigMaps and the like are written as a kubelet writes them: into a new directory that
the link ``..data`` is then moved to, so that a reader sees all old or all new files. One that
follows its object is `refresh`ed when the object changes; a `subPath` is not, as elsewhere.

A path that programs are to see as it is (see `rewriting`) has to be short: a Unix socket's has at most
107 bytes. Volumes then lie in a directory for all of them, and are linked from the pod's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.node.environment import MissingError, PodFacts, contents, field_value, resource_value
from coalmine_sandbox.node.process import Mount

_DATA: Final = "..data"


class Volumes:
    """The volumes of one pod below `directory`, or linked from there into the directory `short`.

    `tokens` maps audiences to service account tokens.
    """

    def __init__(self, directory: Path, short: Path | None = None) -> None:
        self.directory = directory
        self._short = short
        self._written: dict[str, dict[str, tuple[bytes, int]]] = {}

    def refresh(self, facts: PodFacts, tokens: Mapping[str, str]) -> None:
        """Make every volume, or bring it up to date. Raises MissingError."""
        for volume in facts.pod["spec"].get("volumes") or ():
            name = str(volume["name"])
            if "hostPath" in volume:
                self._host_path(volume["hostPath"])
                continue
            path = self._make(name)
            if "emptyDir" in volume:
                path.chmod(0o777)
                continue
            files = _files(volume, facts, tokens)
            if self._written.get(name) != files:
                _write(path, files)
                self._written[name] = files

    def mounts(self, container: Object, pod: Object) -> list[Mount]:
        """Where the container sees them. Raises MissingError for a subPath that is not there."""
        return [self._mount(mount, pod) for mount in container.get("volumeMounts") or ()]

    def remove(self) -> None:
        if self._short is not None and self.directory.is_dir():
            for link in self.directory.iterdir():
                shutil.rmtree(link.resolve(), ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make(self, name: str) -> Path:
        path = self.directory / name
        if self._short is None:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.is_symlink():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._short.mkdir(parents=True, exist_ok=True)
            path.symlink_to(tempfile.mkdtemp(dir=self._short.absolute(), prefix=""))
        return path

    def _place(self, name: str) -> Path:
        return self.directory / name if self._short is None else (self.directory / name).resolve()

    def _mount(self, mount: Mapping[str, Any], pod: Object) -> Mount:
        name = str(mount["name"])
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == name)
        source = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self._place(name)
        if sub := str(mount.get("subPath") or ""):
            inner = (source / sub).resolve()
            if not inner.is_relative_to(source.resolve()):
                raise MissingError(f"volumeMounts {name}: subPath {sub} leaves the volume")
            if not inner.exists():
                if "emptyDir" not in volume and "hostPath" not in volume:
                    raise MissingError(f"volumeMounts {name}: there is no {sub} in the volume")
                inner.mkdir(parents=True)
            source = inner
        # a ConfigMap's or Secret's files are never a container's to change
        ours = not ("emptyDir" in volume or "hostPath" in volume)
        return Mount(source, str(mount["mountPath"]), ours or bool(mount.get("readOnly")))

    def _host_path(self, host: Mapping[str, Any]) -> None:
        path = Path(host["path"])
        if host.get("type") == "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise MissingError(f"hostPath {path} is not there")


Files = dict[str, tuple[bytes, int]]


def _files(volume: Mapping[str, Any], facts: PodFacts, tokens: Mapping[str, str]) -> Files:
    """Relative path -> content and mode."""
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            return _source(kind, volume[kind], facts, tokens, int(volume[kind].get("defaultMode", 0o644)))
    if "projected" in volume:
        mode = int(volume["projected"].get("defaultMode", 0o644))
        files: Files = {}
        for source in volume["projected"].get("sources") or ():
            for kind, what in source.items():
                files |= _source(kind, what, facts, tokens, mode)
        return files
    kinds = ", ".join(key for key in volume if key != "name")
    raise MissingError(f"volume {volume['name']}: {kinds} is not known to this node")


def _source(kind: str, source: Mapping[str, Any], facts: PodFacts, tokens: Mapping[str, str], mode: int) -> Files:
    if kind == "serviceAccountToken":
        audience = str(source.get("audience", ""))
        return {_inside(str(source["path"])): (tokens[audience].encode(), 0o600)}
    if kind == "downwardAPI":
        return dict(_downward(source.get("items") or (), facts, mode))
    name = str(source.get("secretName") or source.get("name") or "")
    found = facts.find("ConfigMap" if kind == "configMap" else "Secret", name)
    if found is None:
        if source.get("optional"):
            return {}
        raise MissingError(f"{kind.lower()} {name!r} not found")
    entries = contents(found)
    if not source.get("items"):
        return {_inside(key): (content, mode) for key, content in entries.items()}
    files: Files = {}
    for item in source["items"]:
        if item["key"] in entries:
            files[_inside(str(item["path"]))] = (entries[item["key"]], int(item.get("mode", mode)))
        elif not source.get("optional"):
            raise MissingError(f"{kind.lower()} {name!r} has no key {item['key']!r}")
    return files


def _downward(
    items: Iterable[Mapping[str, Any]], facts: PodFacts, mode: int
) -> Iterable[tuple[str, tuple[bytes, int]]]:
    for item in items:
        if "fieldRef" in item:
            text = field_value(str(item["fieldRef"]["fieldPath"]), facts)
        else:
            text = resource_value(item["resourceFieldRef"], {}, facts)
        yield _inside(str(item["path"])), (text.encode(), int(item.get("mode", mode)))


def _inside(path: str) -> str:
    """The API server checks this too; what writes files as root checks it again."""
    if path.startswith("/") or ".." in path.split("/"):
        raise MissingError(f"the path {path!r} leaves its volume")
    return path


def _write(volume: Path, files: Files) -> None:
    number = 1 + max((int(p.name[3:]) for p in volume.glob("..v*")), default=0)
    fresh = volume / f"..v{number}"
    for name, (content, mode) in files.items():
        file = fresh / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    fresh.mkdir(exist_ok=True)
    old = (volume / _DATA).resolve() if (volume / _DATA).exists() else None
    temporary = volume / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.rename(volume / _DATA)
    wanted = {name.split("/")[0] for name in files}
    for name in wanted:
        if not os.path.lexists(volume / name):
            (volume / name).symlink_to(f"{_DATA}/{name}")
    for entry in volume.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
