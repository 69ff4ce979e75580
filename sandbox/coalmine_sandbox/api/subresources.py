"""The subresources that are no plain part of their object: scale, binding, eviction, log, token, reviews."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from coalmine.kube.resources import PODS, SERVICE_ACCOUNTS, Object
from coalmine_sandbox.api import deleting, errors, eviction, patching
from coalmine_sandbox.api.authentication import ISSUER, LONGEST, SHORTEST, Tokens
from coalmine_sandbox.api.authorization import Rbac
from coalmine_sandbox.api.body import object_of, parse_noting
from coalmine_sandbox.api.call import APPLY, names_match
from coalmine_sandbox.api.http import Answer, Request, Stream
from coalmine_sandbox.api.logs import Logs
from coalmine_sandbox.api.paths import Target
from coalmine_sandbox.api.scale import scale_of, scaled
from coalmine_sandbox.api.schema import builtin, check, decoding
from coalmine_sandbox.api.store import encoded
from coalmine_sandbox.api.strategy.faults import invalid
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.api.user import User
from coalmine_sandbox.api.verbs import Verbs

#: Of a TokenRequest that does not say.
_TOKEN_SECONDS: Final = 3600
_SCALE_VERSION: Final = "autoscaling/v1"
_CORE_SUCCESS: Final[Object] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Subresources:
    """What is behind an object's name."""

    def __init__(self, verbs: Verbs, logs: Logs, tokens: Tokens, rbac: Rbac) -> None:
        self._verbs = verbs
        self._logs = logs
        self._tokens = tokens
        self._rbac = rbac

    async def answer(self, request: Request, target: Target, verb: str) -> Answer | Stream | None:
        """The answer; None for what is served like its object (status, finalize). Raises StatusError."""
        match target.subresource:
            case "scale":
                return await self._scale(request, target, verb)
            case "binding":
                return await self._bind(request, target)
            case "eviction":
                return await self._evict(request, target)
            case "log":
                return await self._logs.read(target.namespace or "", target.name, request)
            case "token":
                return self._token(request, target)
        return None

    # --- scale -----------------------------------------------------------------------------------

    async def _scale(self, request: Request, target: Target, verb: str) -> Answer:
        verbs = self._verbs
        current = verbs.store.get(target.kind.storage, target.namespace, target.name)
        if current is None:
            raise errors.not_found(target.kind.qualified, target.name)
        if verb == "get":
            return Answer(200, encoded(scale_of(target.kind, current)))
        given = verbs.call(request, target)
        media = ""
        if verb == "patch":
            media = patching.language(target.kind, request.headers.get("content-type", ""))
            if media == APPLY:
                raise errors.unsupported_media_type(media, patching.languages(target.kind)[:-1])
        value, _ = parse_noting(request.body, "" if media else request.headers.get("content-type", ""))
        node = builtin.subresource_structure(_SCALE_VERSION, "Scale")
        assert node is not None

        def wanted(obj: Object) -> Object:
            before = scale_of(target.kind, obj)
            scale = object_of(patching.patched(media, node, before, value) if media else value, _SCALE_VERSION, "Scale")
            if (refusal := decoding.refusal(node, _SCALE_VERSION, "Scale", scale)) is not None:
                raise refusal
            names_match(scale, given)
            return scale

        # admission is asked about the Scale, not about the object behind it
        changed = {**wanted(current)}
        attributes = given.attributes("UPDATE", changed, scale_of(target.kind, current))
        mutated, warnings = await verbs.admission.mutate(attributes)
        given.warnings += warnings
        await verbs.admission.validate(attributes)
        admitted = mutated or changed

        def change(obj: Object | None) -> Object:
            if obj is None:
                raise errors.not_found(target.kind.qualified, target.name)
            scale = admitted
            if media and obj is not current and not _versioned(value):
                scale = wanted(obj)  # made anew of what is there now
            return verbs.writer.managed(given, obj, scaled(target.kind, obj, scale))

        # a write of replicas follows the rules of its object; only its manager is told under the subresource
        whole = dataclasses.replace(given, subresource="")
        stored, _ = await verbs.writer.update(whole, change, admitted=False)
        return Answer(200, encoded(scale_of(target.kind, stored)), warnings=tuple(given.warnings))

    # --- pods ------------------------------------------------------------------------------------

    async def _bind(self, request: Request, target: Target) -> Answer:
        """pods/binding: the scheduler's decision."""
        given = self._verbs.call(request, target)
        binding = _sent(request, "v1", "Binding")
        names_match(binding, given)
        node = (binding.get("target") or {}).get("name") or ""
        if not node:
            raise errors.invalid("Binding", given.name, [invalid("target.name", "", "must be specified")])
        attributes = given.attributes("CREATE", binding, None)
        await self._verbs.admission.mutate(attributes)
        await self._verbs.admission.validate(attributes)
        store = self._verbs.store
        pod = store.get(PODS, given.namespace, given.name)
        if pod is None:
            raise errors.not_found("pods", given.name)
        uid = binding["metadata"].get("uid")
        if uid and uid != pod["metadata"]["uid"]:
            raise errors.conflict("pods/binding", given.name, f"Precondition failed: UID in precondition: {uid}")
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {given.name} is being deleted, cannot be assigned to a host"
            raise errors.conflict("pods/binding", given.name, why)
        if assigned := pod["spec"].get("nodeName"):
            why = f'pod {given.name} is already assigned to node "{assigned}"'
            raise errors.conflict("pods/binding", given.name, why)
        if not given.dry_run:
            store.put(PODS, _bound(pod, node, binding, timestamp(self._verbs.clock())))
        return Answer(201, encoded(_CORE_SUCCESS))

    async def _evict(self, request: Request, target: Target) -> Answer:
        given = self._verbs.call(request, target)
        sent = _sent(request, "policy/v1", "Eviction")
        if sent["metadata"].get("name") != given.name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        how = deleting.of_object(sent.get("deleteOptions"))
        attributes = given.attributes("CREATE", sent, None)
        await self._verbs.admission.mutate(attributes)
        await self._verbs.admission.validate(attributes)
        if given.dry_run:
            how = how._replace(dry_run=True)
        done = await eviction.evict(self._verbs.store, self._verbs.deleter, given, how, self._verbs.clock)
        return Answer(201, encoded({**done, "code": 201}))

    # --- service accounts ------------------------------------------------------------------------

    def _token(self, request: Request, target: Target) -> Answer:
        account = self._verbs.store.get(SERVICE_ACCOUNTS, target.namespace, target.name)
        if account is None:
            raise errors.not_found("serviceaccounts", target.name)
        sent = _sent(request, "authentication.k8s.io/v1", "TokenRequest")
        spec: Any = sent.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _TOKEN_SECONDS
        if not SHORTEST <= seconds <= LONGEST:
            bound = "less than 10 minutes" if seconds < SHORTEST else "larger than 2^32 seconds"
            detail = f"may not specify a duration {bound}"
            fault = invalid("spec.expirationSeconds", seconds, detail)
            raise errors.invalid("TokenRequest.authentication.k8s.io", "", [fault])
        uid = account["metadata"]["uid"]
        audiences = spec.get("audiences") or [ISSUER]
        token = self._tokens.issue(target.namespace or "", target.name, uid, seconds, audiences)
        expires = timestamp(self._verbs.clock() + seconds)
        made = {
            **sent,
            "metadata": {"name": target.name, "namespace": target.namespace, "creationTimestamp": None},
            "spec": {**spec, "expirationSeconds": seconds, "audiences": audiences},
            "status": {"token": token, "expirationTimestamp": expires},
        }
        return Answer(201, encoded(made))

    # --- reviews ---------------------------------------------------------------------------------

    def review(self, request: Request, target: Target) -> Answer:
        """Who am I, and may I? Answered, never stored. Raises StatusError."""
        kind = target.kind.resource
        sent = _sent(request, kind.api_version, kind.kind)
        user = request.user
        spec = sent.get("spec") or {}
        if not isinstance(spec, dict):
            raise errors.bad_request("spec must be an object")
        metadata = {"metadata": {"creationTimestamp": None}}
        if kind.kind == "SelfSubjectReview":
            info: Object = {"username": user.name, "groups": list(user.groups)}
            if user.uid:
                info["uid"] = user.uid
            return Answer(201, encoded({**sent, **metadata, "status": {"userInfo": info}}))
        if kind.kind == "SelfSubjectAccessReview":
            allowed = self._may(user, spec)
            return Answer(201, encoded({**sent, **metadata, "status": {"allowed": allowed}}))
        return Answer(201, encoded({**sent, **metadata, "status": self._rules(user, spec)}))

    def _may(self, user: User, spec: Object) -> bool:
        about = spec.get("resourceAttributes")
        if about is None and spec.get("nonResourceAttributes") is None:
            fault = invalid(
                "spec.resourceAttributes",
                None,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
            raise errors.invalid("SelfSubjectAccessReview.authorization.k8s.io", "", [fault])
        if about is None:
            path = spec["nonResourceAttributes"]
            return self._rbac.allows_path(user, str(path.get("verb") or ""), str(path.get("path") or ""))
        said = [str(about.get(key) or "") for key in ("verb", "group", "resource", "subresource", "namespace", "name")]
        return self._rbac.allows(user, *said)

    def _rules(self, user: User, spec: Object) -> Object:
        """What a user may do in a namespace: ``kubectl auth can-i --list``."""
        namespace = str(spec.get("namespace") or "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        said: Object = {"resourceRules": [], "nonResourceRules": [], "incomplete": False}
        for rule in self._rbac.rules(user, namespace):
            said["nonResourceRules" if rule.get("nonResourceURLs") else "resourceRules"].append(rule)
        return said


def _sent(request: Request, api_version: str, kind: str) -> Object:
    """The request's body as an object of this kind. Raises StatusError (400)."""
    value, _ = parse_noting(request.body, request.headers.get("content-type", ""))
    obj = object_of(value, api_version, kind)
    node = builtin.subresource_structure(api_version, kind)
    if node is not None:
        if (refusal := decoding.refusal(node, api_version, kind, obj)) is not None:
            raise refusal
        obj = check.prune(node, obj)
    return obj


def _versioned(patch: Any) -> bool:
    """A patch that names the version it is about is not made again of another one."""
    return isinstance(patch, dict) and bool((patch.get("metadata") or {}).get("resourceVersion"))


def _bound(pod: Object, node: str, binding: Object, now: str) -> Object:
    about = dict(pod["metadata"])
    if annotations := binding["metadata"].get("annotations"):
        about["annotations"] = {**(about.get("annotations") or {}), **annotations}
    status = pod.get("status") or {}
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    if generation := about.get("generation"):
        scheduled["observedGeneration"] = generation
    others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
    spec = {**pod["spec"], "nodeName": node}
    return {**pod, "metadata": about, "spec": spec, "status": {**status, "conditions": [*others, scheduled]}}
