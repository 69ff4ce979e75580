"""What is wrong with a MutatingWebhookConfiguration (pkg/apis/admissionregistration/validation). Pure.

One rule is ours: AdmissionReview v1 must be among the versions, as nothing else is sent here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission import conditions
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import names
from coalmine_sandbox.api.strategy.faults import duplicate, invalid, not_supported, required

_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_CHOICES: Final = {
    "failurePolicy": ("Fail", "Ignore"),
    "matchPolicy": ("Equivalent", "Exact"),
    "reinvocationPolicy": ("IfNeeded", "Never"),
}
_MOST_CONDITIONS: Final = 64
_LABEL_OPERATORS: Final = ("DoesNotExist", "Exists", "In", "NotIn")


def faults(configuration: Object) -> list[Cause]:
    """Every fault of a configuration."""
    seen: set[str] = set()
    found: list[Cause] = []
    for number, webhook in enumerate(configuration.get("webhooks") or ()):
        path = f"webhooks[{number}]"
        found += _webhook(webhook, path)
        if webhook["name"] in seen:
            found.append(duplicate(f"{path}.name", webhook["name"]))
        seen.add(webhook["name"])
    return found


def _webhook(webhook: Object, path: str) -> Iterator[Cause]:
    name = str(webhook["name"])
    if wrong := names.dns_subdomain(name):
        yield from (invalid(f"{path}.name", name, fault) for fault in wrong)
    elif name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        yield invalid(f"{path}.name", name, detail)
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        yield required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    elif "v1" not in versions:
        yield invalid(f"{path}.admissionReviewVersions", versions, "must include at least one of v1, v1beta1")
    for number, rule in enumerate(webhook.get("rules") or ()):
        yield from _rule(rule, f"{path}.rules[{number}]")
    for field, allowed in _CHOICES.items():
        if webhook.get(field) is not None and webhook[field] not in allowed:
            yield not_supported(f"{path}.{field}", webhook[field], allowed)
    if not webhook.get("sideEffects"):
        yield required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    elif webhook["sideEffects"] not in ("None", "NoneOnDryRun"):
        yield not_supported(f"{path}.sideEffects", webhook["sideEffects"], ("None", "NoneOnDryRun"))
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        yield invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from _selector(webhook.get(field) or {}, f"{path}.{field}")
    yield from _client(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    yield from _conditions(webhook.get("matchConditions") or [], f"{path}.matchConditions")


def _rule(rule: Mapping[str, Any], path: str) -> Iterator[Cause]:
    operations = rule.get("operations") or []
    if not operations:
        yield required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        yield invalid(f"{path}.operations", operations, "if '*' is present, must not specify other operations")
    for number, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield not_supported(f"{path}.operations[{number}]", operation, _OPERATIONS)
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        items = rule.get(field) or []
        if not items:
            yield required(f"{path}.{field}")
        elif len(items) > 1 and "*" in items:
            yield invalid(f"{path}.{field}", items, f"if '*' is present, must not specify other {what}")
    resources = rule.get("resources") or []
    if not resources:
        yield required(f"{path}.resources")
    elif len(resources) > 1 and "*/*" in resources:
        yield invalid(f"{path}.resources", resources, "if '*/*' is present, must not specify other resources")
    if rule.get("scope") not in (None, "*", "Cluster", "Namespaced"):
        yield not_supported(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced"))


def _selector(selector: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield from (invalid(f"{path}.matchLabels", key, fault) for fault in names.qualified(key))
        yield from (invalid(f"{path}.matchLabels", value, fault) for fault in names.label_value(value))
    for number, each in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{number}]"
        operator, values = each.get("operator"), each.get("values") or []
        if operator not in _LABEL_OPERATORS:
            yield invalid(f"{here}.operator", operator, "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            yield required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield Cause("FieldValueForbidden", f"Forbidden: {detail}", f"{here}.values")
        yield from (invalid(f"{here}.key", each.get("key"), fault) for fault in names.qualified(str(each.get("key"))))


def _client(config: Mapping[str, Any], path: str) -> Iterator[Cause]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
        return
    if service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                yield required(f"{path}.service.{field}", f"service {field} is required")
        detail = "port is not valid: must be between 1 and 65535, inclusive"
        if not 1 <= int(service.get("port") or 443) <= 65535:
            yield invalid(f"{path}.service.port", service["port"], detail)
        return
    form = "; desired format: https://host[/path]"
    try:
        parts = urlsplit(str(url))
        _ = parts.port
    except ValueError as error:
        yield invalid(f"{path}.url", url, f"url must be a valid URL: {error}{form}")
        return
    if parts.scheme != "https":
        yield invalid(f"{path}.url", parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.hostname:
        yield invalid(f"{path}.url", parts.netloc, f"host must be specified{form}")
    if parts.username is not None:
        yield invalid(f"{path}.url", "<redacted>", "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(f"{path}.url", parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(f"{path}.url", parts.query, "query parameters are not permitted in the URL")


def _conditions(found: list[Object], path: str) -> Iterator[Cause]:
    if len(found) > _MOST_CONDITIONS:
        message = f"Too many: {len(found)}: must have at most {_MOST_CONDITIONS} items"
        yield Cause("FieldValueTooMany", message, path)
        return
    seen: set[str] = set()
    for number, condition in enumerate(found):
        here = f"{path}[{number}]"
        name, expression = str(condition.get("name") or ""), str(condition.get("expression") or "")
        if not expression.strip():
            yield required(f"{here}.expression")
        elif fault := conditions.fault(expression):
            yield invalid(f"{here}.expression", expression, fault)
        if not name:
            yield required(f"{here}.name")
        else:
            yield from (invalid(f"{here}.name", name, fault) for fault in names.qualified(name))
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)
