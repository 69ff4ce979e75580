"""The Helm chart, made of the kustomize base: the same objects, with values where people want to choose.

Rules:
- The chart with its default values and the base are the same objects, but for one annotation that keeps the kinds
  when a release is uninstalled (tests/unit/manifests renders one and builds the other).
- The kinds are templates, not in Helm's folder crds/, which is never upgraded.
- The namespace is no value: service accounts, the webhook's rules and certificates carry its name
  (`coalmine.model.names.SYSTEM_NAMESPACE`).
"""

from __future__ import annotations

import copy
import re
from typing import Final

from manifests.generate.base import CONTAINER, CONTROLLER, WEBHOOK, Object, at, containers, find, image_entry, put
from manifests.generate.definitions import dump
from manifests.generate.values import CHOICES, OPTIONS, SIDECAR_KIND, schema_file, values_file

from coalmine.model.names import SYSTEM_NAMESPACE

HEADER: Final = "# Generated from manifests/base by `make manifests`: edit it there.\n"
KEPT: Final = "helm.sh/resource-policy"
#: Stands in an object where a template action will; `block` marks are a list's last entry, and become lines.
_MARK: Final = re.compile(r"'?@@(\d+)@@'?")
_BLOCK: Final = re.compile(r"^( *)- '?@@(\d+)@@'?\n", re.MULTILINE)
_IMAGE: Final = '{{ include "coalmine.image" . }}'

_NAMES: Final = """\
{{- define "coalmine.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}{{ end }}
{{- end }}
"""

_NOTES: Final = """\
Coalmine is installed. See that all is well:

  coalmine check

Before `helm uninstall`, take it off your Deployments, or held ones stay held:

  coalmine uninstall --help
"""

_ELSEWHERE: Final = f"""\
{{{{- else if ne .Release.Namespace "{SYSTEM_NAMESPACE}" }}}}
{{{{- fail "install into the namespace {SYSTEM_NAMESPACE} (--namespace {SYSTEM_NAMESPACE} --create-namespace), \
or set namespace.create=true" }}}}
"""


def files(base: list[Object]) -> dict[str, str]:
    """Name of the chart's file -> its text."""
    version = str(at(find(base, WEBHOOK), CONTAINER)["image"]).rpartition(":")[2]
    crds = [each for each in base if each["kind"] == "CustomResourceDefinition"]
    namespace = [each for each in base if each["kind"] == "Namespace"]
    others = [each for each in base if each not in crds and each not in namespace]
    return {
        "Chart.yaml": HEADER + dump(_chart(version)),
        "values.yaml": HEADER + values_file(base),
        "values.schema.json": schema_file(base) + "\n",
        "templates/_names.tpl": _NAMES,
        "templates/NOTES.txt": _NOTES,
        "templates/namespace.yaml": _only_if("namespace.create", _Template().write(namespace), _ELSEWHERE),
        "templates/crds.yaml": _only_if("crds.install", _crds(crds)),
        "templates/coalmine.yaml": HEADER + _components(others),
    }


def _chart(version: str) -> Object:
    return {
        "apiVersion": "v2",
        "name": "coalmine",
        "description": "Canary delivery for the Kubernetes Deployments that you already have",
        "type": "application",
        "version": version,
        "appVersion": version,
        # matchConditions of webhooks
        "kubeVersion": ">=1.30.0-0",
    }


class _Template:
    """Objects in which some fields are template actions."""

    def __init__(self) -> None:
        self._actions: list[str] = []

    def mark(self, action: str) -> str:
        """What to put into an object where `action` is to stand."""
        self._actions.append(action)
        return f"@@{len(self._actions) - 1}@@"

    def write(self, objects: list[Object]) -> str:
        # what looks like an action in the prose is none
        text = "".join(f"---\n{dump(each)}" for each in objects).replace("{{", '{{ "{{" }}')
        text = _BLOCK.sub(self._lines, text)
        return _MARK.sub(lambda match: self._actions[int(match[1])], text)

    def _lines(self, match: re.Match[str]) -> str:
        action = self._actions[int(match[2])]
        if "\n" not in action:
            return match[0]
        return "".join(f"{match[1]}{line}\n" for line in action.splitlines())


def _only_if(value: str, text: str, otherwise: str = "") -> str:
    return f"{HEADER}{{{{- if .Values.{value} }}}}\n{text}{otherwise}{{{{- end }}}}\n"


def _crds(crds: list[Object]) -> str:
    template = _Template()
    crds = copy.deepcopy(crds)
    for crd in crds:
        action = f'{{{{ if .Values.crds.keep }}}}{{"{KEPT}": "keep"}}{{{{ else }}}}{{}}{{{{ end }}}}'
        crd["metadata"]["annotations"] = template.mark(action)
    return template.write(crds)


def _components(objects: list[Object]) -> str:
    template = _Template()
    objects = copy.deepcopy(objects)
    for choice in CHOICES:
        for where in choice.objects:
            put(find(objects, where), choice.path, template.mark(f"{{{{ toJson .Values.{choice.name} }}}}"))
    for container in containers(objects):
        container["image"] = template.mark(_IMAGE)
    webhook, controller = at(find(objects, WEBHOOK), CONTAINER), at(find(objects, CONTROLLER), CONTAINER)
    image_entry(webhook)["value"] = template.mark(_IMAGE)
    arguments = webhook["args"]
    kind = arguments.index(SIDECAR_KIND.option) + 1
    arguments[kind] = template.mark(f"{{{{ toJson .Values.{SIDECAR_KIND.name} }}}}")
    given = [
        f"{{{{- with .Values.{option.name} }}}}\n- {option.option}\n- {{{{ toJson . }}}}\n{{{{- end }}}}"
        for option in OPTIONS
    ]
    for container, name, before in ((webhook, "webhook", given), (controller, "controller", [])):
        more = f"{{{{- range .Values.{name}.extraArgs }}}}\n- {{{{ toJson . }}}}\n{{{{- end }}}}"
        container["args"].append(template.mark("\n".join([*before, more])))
    return template.write(objects)
