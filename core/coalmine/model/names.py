"""Every annotation, label, kind and port of Coalmine, in one place.

Nothing else in the project spells one of these keys: a key that is changed here is
changed for the webhook, the controller, the sidecar and the command line at once.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "coalmine.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

# Kinds of our group and their plural names.
ROLLOUT: Final = "Rollout"
ANALYSIS_TEMPLATE: Final = "AnalysisTemplate"
CLUSTER_ANALYSIS_TEMPLATE: Final = "ClusterAnalysisTemplate"
ANALYSIS_RUN: Final = "AnalysisRun"
PLURALS: Final = {
    ROLLOUT: "rollouts",
    ANALYSIS_TEMPLATE: "analysistemplates",
    CLUSTER_ANALYSIS_TEMPLATE: "clusteranalysistemplates",
    ANALYSIS_RUN: "analysisruns",
}

# --- What a user writes on the Deployment -------------------------------------------------

#: The strategy: Argo Rollouts' ``strategy.canary`` as YAML or JSON; or ``off``.
CANARY: Final = f"{GROUP}/canary"
#: Name of the container port that the sidecar takes over.
PORT: Final = f"{GROUP}/port"
#: ``http`` (the default) or ``tcp``.
PROTOCOL: Final = f"{GROUP}/protocol"
#: Comma-separated paths that the pod which was asked answers itself; default ``/metrics``.
LOCAL_PATHS: Final = f"{GROUP}/local-paths"
#: How the sidecars work (see `proxy_settings`), as YAML or JSON.
PROXY: Final = f"{GROUP}/proxy"
USER_ANNOTATIONS: Final = (CANARY, PORT, PROTOCOL, LOCAL_PATHS, PROXY)

CANARY_OFF: Final = "off"
CANARY_AUTO: Final = "auto"

# --- Ours on the Deployment: set by the webhook and the controller, by nobody else --------

#: Fingerprint of the template that is held; stands together with ``spec.paused: true``.
HOLD: Final = f"{GROUP}/hold"
#: Fingerprint of the template of the revision that was last complete.
STABLE: Final = f"{GROUP}/stable"
#: Fingerprint of the template whose canary was aborted.
FAILED: Final = f"{GROUP}/failed"
#: Fingerprint of the template that is being handed over to the native controller.
HANDOVER: Final = f"{GROUP}/handover"
OWN_ANNOTATIONS: Final = (HOLD, STABLE, FAILED, HANDOVER)

#: On the Deployment: lets the controller watch the Deployments that are ours.
ROLLOUT_LABEL: Final = f"{GROUP}/rollout"
#: On the pod template, hence on pods and ReplicaSets: lets the Pod webhook and watches select.
SIDECAR_LABEL: Final = f"{GROUP}/sidecar"
LABEL_TRUE: Final = "true"
SIDECAR_SELECTOR: Final = f"{SIDECAR_LABEL}={LABEL_TRUE}"
ROLLOUT_SELECTOR: Final = f"{ROLLOUT_LABEL}={LABEL_TRUE}"

# --- On a canary ReplicaSet ----------------------------------------------------------------

#: Annotation; stands while the ReplicaSet is hidden from its Deployment.
ROLE: Final = f"{GROUP}/role"
ROLE_CANARY: Final = "canary"
#: Annotation: uid of the Deployment that the hidden ReplicaSet belongs to.
DEPLOYMENT_UID: Final = f"{GROUP}/deployment-uid"
#: Annotation: name of that Deployment.
DEPLOYMENT_NAME: Final = f"{GROUP}/deployment"
#: Annotation: fingerprint of the template, so that nobody has to hash it again.
FINGERPRINT: Final = f"{GROUP}/fingerprint"
#: Annotation: JSON of the labels that an adopted-and-hidden ReplicaSet had before it was hidden.
HIDDEN_LABELS: Final = f"{GROUP}/hidden-labels"

# --- On a pod ------------------------------------------------------------------------------

#: Annotation: a code of `reasons.Skip` when a sidecar was not injected, for people.
SKIPPED: Final = f"{GROUP}/skipped"
#: Annotation on an injected pod: JSON of what the sidecar was given (see `wire.Injection`).
INJECTED: Final = f"{GROUP}/injected"
SIDECAR_CONTAINER: Final = "coalmine-proxy"
STATE_VOLUME: Final = "coalmine-state"
KEYS_VOLUME: Final = "coalmine-keys"
#: The ConfigMap, one a namespace, with the public keys that sign configurations.
KEYS_CONFIGMAP: Final = "coalmine-keys"

#: The sidecar's ports, below the ephemeral range; injection takes the next free pair
#: when a container of the pod declares one of them.
PROXY_PORT: Final = 17080
ADMIN_PORT: Final = 17081

# --- The native controller's names ---------------------------------------------------------

POD_TEMPLATE_HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"

# --- HTTP ----------------------------------------------------------------------------------

#: Request header that pins a request to a version: ``canary`` or ``stable``.
VERSION_HEADER: Final = "coalmine-version"
#: Request header on ``PUT /config``: ``<key id>:<base64 of the Ed25519 signature>``.
SIGNATURE_HEADER: Final = "coalmine-signature"

# --- Components ----------------------------------------------------------------------------

SYSTEM_NAMESPACE: Final = "coalmine-system"
LEASE: Final = "coalmine-controller"
#: Secret in the system namespace with the controller's signing key.
SIGNING_SECRET: Final = "coalmine-signing-key"  # noqa: S105  a name, not a secret
#: Annotations of that Secret. With any value: a person wants the keys to turn.
ROTATE: Final = f"{GROUP}/rotate"
#: Since when its key signs, and since when the one that is to follow is known.
KEY_SINCE: Final = f"{GROUP}/key-since"
KEY_NEXT_SINCE: Final = f"{GROUP}/next-key-since"
CONTROLLER_SERVICE_ACCOUNT: Final = "coalmine-controller"
CONTROLLER_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CONTROLLER_SERVICE_ACCOUNT}"
WEBHOOK_SERVICE_ACCOUNT: Final = "coalmine-webhook"
#: The MutatingWebhookConfiguration, and the Service that it names.
WEBHOOK_CONFIGURATION: Final = "coalmine"
WEBHOOK_SERVICE: Final = "coalmine-webhook"
#: Secret in the system namespace with the webhook's authority and serving pair.
CERTIFICATES_SECRET: Final = "coalmine-webhook-certificates"  # noqa: S105  a name, not a secret
#: Annotations of that Secret: since when the configuration has been seen to name the authority that signs, and the
#: one that is to follow; until when those before are trusted.
CA_PUBLISHED: Final = f"{GROUP}/ca-published"
NEXT_CA_PUBLISHED: Final = f"{GROUP}/next-ca-published"
OLD_CA_UNTIL: Final = f"{GROUP}/old-ca-until"
FIELD_MANAGER: Final = "coalmine"
