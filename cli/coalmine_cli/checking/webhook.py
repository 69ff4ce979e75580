"""The webhook: registered, trusted, there, and asked.

Pure. Rules: the dry run of a Deployment with a bad annotation is the proof; all else says why it failed, or will. A
webhook that is called at an address runs outside of the cluster: then Service and Deployment are nobody's fault.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography import x509

from coalmine.kube.resources import Object
from coalmine.model.names import SYSTEM_NAMESPACE
from coalmine_cli.checking.findings import CLUSTER, Finding, failed, ok, skipped, warning
from coalmine_cli.checking.sight import Sight, Tried
from coalmine_cli.checking.workload import available

REGISTRATION: Final = "coalmine"
SERVICE: Final = "coalmine-webhook"
CERTIFICATES: Final = "coalmine-webhook-certificates"
#: The webhooks of the registration that must be there, and what goes wrong without.
WEBHOOKS: Final[Mapping[str, str]] = {
    "deployments.coalmine.dev": "new templates are not held",
    "deployments-status.coalmine.dev": "an abort can fail the next release's `kubectl rollout status`",
    "pods.coalmine.dev": "pods get no sidecar",
}
_APPLY: Final = "apply it again: kubectl apply -k manifests/base"
_DAY: Final = 86_400.0
#: Renewal is at two thirds of a certificate's life; one that is this near to its end was not renewed.
_SOON: Final = 14 * _DAY


def check(sight: Sight) -> Iterator[Finding]:
    """The registration, its certificates, Service and Deployment, and the dry run."""
    yield from _registration(sight)
    yield from _service(sight)
    yield available("webhook deployment", sight.webhook, SERVICE, outside=not _has_service(sight))
    yield from _certificate(sight)
    yield _asked(sight)


def _webhooks(sight: Sight) -> list[Object]:
    return list((sight.registration.object or {}).get("webhooks") or ())


def _has_service(sight: Sight) -> bool:
    return any((w.get("clientConfig") or {}).get("service") for w in _webhooks(sight))


def _registration(sight: Sight) -> Iterator[Finding]:
    name = "webhook registration"
    if sight.registration.problem:
        yield skipped(name, CLUSTER, f"the webhook configuration cannot be read: {sight.registration.problem}")
        return
    if sight.registration.object is None:
        message = f"there is no MutatingWebhookConfiguration {REGISTRATION}: nothing is held, no pod gets a sidecar"
        yield failed(name, CLUSTER, message, _APPLY)
        return
    found = {str(w.get("name")): w for w in _webhooks(sight)}
    for wanted, without in WEBHOOKS.items():
        if wanted not in found:
            yield failed(name, CLUSTER, f"the registration lacks {wanted}: {without}", _APPLY)
    main = found.get("deployments.coalmine.dev") or {}
    if main and main.get("failurePolicy") != "Fail":
        message = "deployments.coalmine.dev has failurePolicy Ignore: with the webhook down, releases ship unwatched"
        yield warning(name, CLUSTER, message, "write failurePolicy: Fail")
    if main and not main.get("matchConditions"):
        message = "deployments.coalmine.dev has no matchConditions: with the webhook down, no Deployment can be written"
        yield failed(name, CLUSTER, message, _APPLY)
    if set(WEBHOOKS) <= set(found):
        yield ok(name, CLUSTER, f"the webhook configuration {REGISTRATION} has its {len(WEBHOOKS)} webhooks")
    for webhook in found.values():
        yield from _bundle(webhook, sight.now)


def _bundle(webhook: Object, now: float) -> Iterator[Finding]:
    check_, name = "webhook CA bundle", str(webhook.get("name"))
    text = (webhook.get("clientConfig") or {}).get("caBundle")
    advice = (
        "the webhook writes it when it runs: see kubectl -n coalmine-system logs deploy/coalmine-webhook "
        "(or cert-manager, where that does it)"
    )
    if not text:
        yield failed(check_, CLUSTER, f"{name} has no caBundle, so the API server does not trust the webhook", advice)
        return
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(str(text), validate=True))
    except (ValueError, binascii.Error):
        yield failed(check_, CLUSTER, f"the caBundle of {name} holds no certificates", f"empty it; {advice}")
        return
    last = max(c.not_valid_after_utc.timestamp() for c in found)
    yield _expiry(check_, f"the caBundle of {name}", last - now, advice)


def _expiry(check_: str, what: str, left: float, advice: str) -> Finding:
    if left <= 0:
        return failed(check_, CLUSTER, f"{what} is {-left / _DAY:.0f} days over its end", advice)
    if left < _SOON:
        return warning(check_, CLUSTER, f"{what} ends in {left / _DAY:.0f} days and was not renewed", advice)
    return ok(check_, CLUSTER, f"{what} is good for {left / _DAY:.0f} days")


def _service(sight: Sight) -> Iterator[Finding]:
    name = "webhook service"
    if not _webhooks(sight):
        return
    if not _has_service(sight):
        yield skipped(name, CLUSTER, "the webhook is called at an address rather than through a Service")
        return
    if sight.endpoints.problem:
        yield skipped(name, CLUSTER, f"the endpoints of {SERVICE} cannot be read: {sight.endpoints.problem}")
        return
    ready = sum(_is_ready(e) for slice_ in sight.endpoints for e in slice_.get("endpoints") or ())
    if not ready:
        advice = f"see kubectl -n {SYSTEM_NAMESPACE} get pods -l app.kubernetes.io/part-of=coalmine"
        yield failed(name, CLUSTER, f"the Service {SERVICE} has no ready endpoint", advice)
    elif ready == 1:
        message = f"the Service {SERVICE} has one ready endpoint: while that pod is replaced, releases are refused"
        yield warning(name, CLUSTER, message, f"kubectl -n {SYSTEM_NAMESPACE} scale deployment/{SERVICE} --replicas=2")
    else:
        yield ok(name, CLUSTER, f"the Service {SERVICE} has {ready} ready endpoints")


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    # absent means unknown, which consumers take for ready (discovery/v1)
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _certificate(sight: Sight) -> Iterator[Finding]:
    """The serving certificate, where it is in the Secret that the webhook keeps."""
    data = (sight.certificates.object or {}).get("data") or {}
    text = data.get("tls.crt")
    if not text:
        return  # cert-manager's, or files: the dry run tells whether it is trusted
    advice = f"renew it: kubectl -n {SYSTEM_NAMESPACE} delete secret {CERTIFICATES}"
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(str(text), validate=True))
    except (ValueError, binascii.Error):
        yield failed("webhook certificate", CLUSTER, f"tls.crt of the Secret {CERTIFICATES} is no certificate", advice)
        return
    left = found[0].not_valid_after_utc.timestamp() - sight.now
    yield _expiry("webhook certificate", "the serving certificate", left, advice)


def _asked(sight: Sight) -> Finding:
    name, probe = "webhook reachable", sight.probe
    match probe.tried:
        case Tried.REFUSED:
            return ok(name, CLUSTER, "the webhook refuses a Deployment with a bad annotation (dry run)")
        case Tried.PASSED:
            message = "a Deployment with a bad annotation passes (dry run): the API server does not ask the webhook"
            return failed(name, CLUSTER, message, f"compare the registration; {_APPLY}")
        case Tried.UNREACHABLE:
            advice = "see the lines above; port 9443 of its pods must be open to the control plane (private clusters)"
            return failed(name, CLUSTER, f"the API server cannot ask the webhook: {probe.message}", advice)
    return skipped(name, CLUSTER, f"whether the webhook answers is not known: {probe.message}")
