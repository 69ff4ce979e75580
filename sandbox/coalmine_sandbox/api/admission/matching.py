"""Which writes a webhook is asked about: its rules, selectors and conditions. Pure but for what is read.

matchPolicy makes no difference here: each kind has one version only, so that nothing has an equivalent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from coalmine.kube.resources import MUTATING_WEBHOOKS, NAMESPACES, Object, labels_of
from coalmine_sandbox.api import errors, selectors
from coalmine_sandbox.api.admission import conditions
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.reviews import admission_request

_ANY: Final = "*"


def is_asked(webhook: Object, attributes: Attributes, reader: Reader) -> bool:
    """Whether a webhook is asked about a request.

    Raises StatusError: 403 where failurePolicy is Fail and a condition cannot be evaluated, 404 without the namespace.
    """
    if not _object_matches(webhook, attributes) or not any(
        _rule_matches(rule, attributes) for rule in webhook.get("rules") or ()
    ):
        return False
    if not _namespace_matches(webhook, attributes, reader):
        return False
    wanted = webhook.get("matchConditions")
    if not wanted:
        return True
    variables = {
        "object": attributes.object,
        "oldObject": attributes.old,
        "request": admission_request(attributes, ""),
    }
    try:
        return conditions.match(wanted, variables)
    except conditions.ConditionError as error:
        if webhook.get("failurePolicy") == "Ignore":
            return False
        raise errors.forbidden(qualified(attributes), attributes.name, str(error)) from error


def is_exempt(attributes: Attributes) -> bool:
    """Webhooks cannot keep anybody from changing webhooks."""
    return attributes.resource.api_version == MUTATING_WEBHOOKS.api_version


def qualified(attributes: Attributes) -> str:
    """``plural`` or ``plural.group``, as errors name a resource."""
    group = attributes.resource.api_version.rpartition("/")[0]
    return f"{attributes.resource.plural}.{group}" if group else attributes.resource.plural


def _rule_matches(rule: Mapping[str, Any], attributes: Attributes) -> bool:
    group, _, version = attributes.resource.api_version.rpartition("/")
    return (
        _scope_matches(str(rule.get("scope") or _ANY), attributes)
        and _listed(rule.get("operations"), attributes.operation)
        and _listed(rule.get("apiGroups"), group)
        and _listed(rule.get("apiVersions"), version)
        and any(_resource_matches(each, attributes) for each in rule.get("resources") or ())
    )


def _scope_matches(scope: str, attributes: Attributes) -> bool:
    # a Namespace's own namespace is its name, and yet it is cluster-scoped
    clusterwide = attributes.resource == NAMESPACES or not attributes.namespace
    return scope == _ANY or (scope == "Cluster") is clusterwide


def _listed(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in (_ANY, wanted) for item in items or ())


def _resource_matches(text: str, attributes: Attributes) -> bool:
    """``pods`` is the pods alone, ``pods/*`` they and their subresources, ``*`` all resources without theirs."""
    plural, _, subresource = text.partition("/")
    return plural in (_ANY, attributes.resource.plural) and subresource in (_ANY, attributes.subresource)


def _namespace_matches(webhook: Object, attributes: Attributes, reader: Reader) -> bool:
    selector = selectors.of_object(webhook.get("namespaceSelector") or {})
    if selector is None or not selector.requirements:
        return True
    if attributes.resource == NAMESPACES and not attributes.subresource and attributes.object is not None:
        return selector.matches(labels_of(attributes.object))
    if not attributes.namespace:
        return True  # what is in no namespace is not left out by a selector of namespaces
    namespace = reader.get(NAMESPACES, None, attributes.namespace)
    if namespace is None:
        raise errors.not_found(NAMESPACES.plural, attributes.namespace)
    return selector.matches(labels_of(namespace))


def _object_matches(webhook: Object, attributes: Attributes) -> bool:
    selector = selectors.of_object(webhook.get("objectSelector") or {})
    if selector is None or not selector.requirements:
        return True
    either = (attributes.object, attributes.old)
    return any(each is not None and "metadata" in each and selector.matches(labels_of(each)) for each in either)
