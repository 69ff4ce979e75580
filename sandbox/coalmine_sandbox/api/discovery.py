"""What is served, told in the three ways in which clients ask: group by group, all at once, and the version."""

from __future__ import annotations

import platform
from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.kinds import Kind, Kinds

#: The minor version whose rules are followed, and which the tests compare with.
MAJOR, MINOR, GIT_VERSION = "1", "36", "v1.36.3+coalmine-sandbox"
#: The media type of discovery all at once.
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def version() -> Object:
    machine = platform.machine()
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"linux/{_ARCHITECTURES.get(machine, machine)}",
    }


def wants_aggregated(accept: str) -> bool:
    """The client would rather have everything at once."""
    return "as=APIGroupDiscoveryList" in accept and "v=v2" in accept.replace("v=v2beta1", "")


def core(address: str) -> Object:
    """/api"""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def groups(kinds: Kinds) -> Object:
    """/apis"""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, version) for name, version in kinds.versions().items() if name],
    }


def group(kinds: Kinds, name: str) -> Object | None:
    """/apis/NAME; None when there is none."""
    version = kinds.versions().get(name)
    return None if version is None or not name else {"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)}


def _group(name: str, version: str) -> Object:
    one = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


def resources(kinds: Kinds, api_version: str) -> Object | None:
    """/api/v1 or /apis/GROUP/VERSION; None when there is none."""
    served = [kind for kind in kinds if kind.resource.api_version == api_version]
    if not served:
        return None
    told: list[Object] = []
    for kind in sorted(served, key=lambda each: each.resource.plural):
        told.append(_resource(kind))
        told += [_subresource(kind, name.name) for name in kind.subresources]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": told}


def _resource(kind: Kind) -> Object:
    said: Object = {
        "name": kind.resource.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.resource.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        said["shortNames"] = list(kind.short_names)
    if kind.categories:
        said["categories"] = list(kind.categories)
    return said


def _subresource(kind: Kind, name: str) -> Object:
    found = kind.subresource(name)
    assert found is not None
    said: Object = {
        "name": f"{kind.resource.plural}/{name}",
        "singularName": "",
        "namespaced": kind.resource.namespaced,
    }
    if found.answer is not None:
        group, version, answered = found.answer
        said |= {"group": group, "version": version, "kind": answered} if group else {"kind": answered}
    else:
        said["kind"] = kind.resource.kind
    return {**said, "verbs": list(found.verbs)}


def aggregated(kinds: Kinds, *, legacy: bool) -> Object:
    """/api (`legacy`: the core group) or /apis, all at once."""
    items = []
    for name, version in kinds.versions().items():
        if (name == "") is not legacy:
            continue
        served = sorted((k for k in kinds if k.group == name), key=lambda each: each.resource.plural)
        one = {"version": version, "resources": [_discovered(kind) for kind in served], "freshness": "Current"}
        items.append({"metadata": {"name": name} if name else {}, "versions": [one]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _discovered(kind: Kind) -> Object:
    # of built-in kinds the real one leaves out what the list says already
    about = ("", "") if kind.custom is None else (kind.group, kind.version)
    answer = {"group": about[0], "version": about[1], "kind": kind.resource.kind}
    said: Object = {
        "resource": kind.resource.plural,
        "responseKind": answer,
        "scope": "Namespaced" if kind.resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        said["shortNames"] = list(kind.short_names)
    if kind.categories:
        said["categories"] = list(kind.categories)
    if kind.subresources:
        said["subresources"] = [
            {
                "subresource": each.name,
                "responseKind": _answer(each.answer)
                if each.answer and each.answer[0]
                else answer
                if each.answer is None
                else {"group": "", "version": "", "kind": each.answer[2]},
                "verbs": list(each.verbs),
            }
            for each in kind.subresources
        ]
    return said


def _answer(answer: tuple[str, str, str]) -> Object:
    return dict(zip(("group", "version", "kind"), answer, strict=True))
