"""The server on a real TLS connection over loopback, with a reader in the API server's place."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import ssl
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from coalmine.kube.verbs import NotFoundError
from coalmine.model import names
from coalmine_webhook import certificates, lookup
from coalmine_webhook.journal import JsonLines
from coalmine_webhook.review import MAX_REVIEW
from coalmine_webhook.server import Metrics, Reviews, application, tls_context
from coalmine_webhook.sidecar import Settings

STEPS = "steps:\n- setWeight: 20\n"


class Cluster:
    """What the look-ups find: objects by plural and name; None never answers."""

    def __init__(self, objects=()):
        self.objects = dict(objects)

    async def get(self, resource, namespace, name, subresource=None):
        found = self.objects.get((resource.plural, name), "absent")
        if found is None:
            await asyncio.Event().wait()
        if found == "absent":
            raise NotFoundError(404, "NotFound", f"{name} not found")
        return found


@contextlib.asynccontextmanager
async def serving(directory, cluster, reviews=None):
    files = certificates.ensure(directory, (), ("127.0.0.1",), datetime.now(UTC))
    metrics = Metrics()
    app = application(reviews or Reviews(cluster, Settings("coalmine:test")), metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls_context(str(files.certificate), str(files.key)))
        await site.start()
        trust = ssl.create_default_context(cadata=files.authority.decode())
        connector = aiohttp.TCPConnector(ssl=trust)
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(url, connector=connector) as session:
            yield session
        await asyncio.sleep(0)
    finally:
        await runner.cleanup()


def framed(obj, **request):
    fields = {"uid": "u1", "operation": "CREATE", "namespace": "shop", "object": obj, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": fields}


def pod():
    return {
        "metadata": {
            "generateName": "web-abc-",
            "labels": {names.SIDECAR_LABEL: "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "controller": True}],
        },
        "spec": {"containers": [{"name": "app", "image": "a", "ports": [{"name": "web", "containerPort": 5000}]}]},
    }


async def ask(session, path, review):
    async with session.post(path, json=review) as response:
        assert response.status == 200
        return (await response.json())["response"]


def patch_of(response):
    return json.loads(base64.b64decode(response["patch"]))


def is_canary(response):
    added = next(op for op in patch_of(response) if op["path"] == "/spec/initContainers")
    return "--canary" in added["value"][0]["args"]


def test_the_three_reviews(tmp_path, new_deployment):
    async def scenario():
        claim = {"spec": {"accessModes": ["ReadWriteOnce"]}}
        stable = {"metadata": {"annotations": {}}}
        cluster = Cluster({("replicasets", "web-abc"): stable, ("persistentvolumeclaims", "data"): claim})
        async with serving(tmp_path, cluster) as session:
            good = await ask(session, "/deployments", framed(new_deployment(canary=STEPS)))
            assert (good["uid"], good["allowed"], good["patchType"]) == ("u1", True, "JSONPatch")

            bad = await ask(session, "/deployments", framed(new_deployment(canary="steps: 7")))
            assert not bad["allowed"]
            assert bad["status"]["reason"] == "BadAnnotation"

            shared = new_deployment(canary=STEPS)
            shared["spec"]["template"]["spec"]["volumes"] = [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            ]
            refused = await ask(session, "/deployments", framed(shared))
            assert refused["status"]["reason"] == "ReadWriteOnceVolume"

            status = await ask(session, "/deployments-status", framed(new_deployment(), operation="UPDATE"))
            assert status == {"uid": "u1", "allowed": True}

            assert not is_canary(await ask(session, "/pods", framed(pod())))
            stable["metadata"]["annotations"][names.ROLE] = names.ROLE_CANARY
            assert is_canary(await ask(session, "/pods", framed(pod())))
            del cluster.objects["replicasets", "web-abc"]
            assert is_canary(await ask(session, "/pods", framed(pod())))

            async with session.get("/healthz") as response:
                assert response.status == 200
            async with session.get("/metrics") as response:
                text = await response.text()
            assert 'coalmine_webhook_reviews_total{code="BadAnnotation",resource="deployments"} 1.0' in text
            assert 'coalmine_webhook_reviews_total{code="SidecarInjected",resource="pods"} 3.0' in text
            assert 'coalmine_webhook_review_seconds_count{resource="pods"} 3.0' in text

    asyncio.run(scenario())


def test_what_is_no_review(tmp_path):
    async def scenario():
        async with serving(tmp_path, Cluster()) as session:
            async with session.post("/pods", data=b"{}", headers={"Content-Type": "application/json"}) as response:
                assert (response.status, await response.text()) == (
                    400,
                    "the body is no AdmissionReview of admission.k8s.io/v1\n",
                )
            async with session.post("/pods", data=b"{}", headers={"Content-Type": "text/plain"}) as response:
                assert response.status == 415
            async with session.get("/pods") as response:
                assert response.status == 405
            headers = {"Content-Type": "application/json"}
            async with session.post("/pods", data=io.BytesIO(b" " * (MAX_REVIEW + 1)), headers=headers) as response:
                assert response.status == 413

    asyncio.run(scenario())


def test_our_bug_refuses_a_deployment_and_stops_no_pod(tmp_path, new_deployment, caplog):
    class Broken:
        async def fail(self, _review):
            raise RuntimeError("the secret of the object")

        deployments = status = pods = fail

    async def scenario():
        async with serving(tmp_path, Cluster(), Broken()) as session:
            answer = await ask(session, "/deployments", framed(new_deployment()))
            assert not answer["allowed"]
            assert answer["status"]["message"].startswith("Coalmine's webhook failed on this object (RuntimeError)")
            assert "secret" not in json.dumps(answer)
            for path in ("/pods", "/deployments-status"):
                async with session.post(path, json=framed(pod())) as response:
                    assert response.status == 500
                    assert "Traceback" not in await response.text()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert "review failed" in caplog.text


def test_one_json_line_for_a_decision_and_none_for_nothing(tmp_path, new_deployment, caplog):
    async def scenario():
        async with serving(tmp_path, Cluster()) as session:
            await ask(session, "/deployments", framed(new_deployment(canary=None)))
            await ask(
                session,
                "/deployments",
                framed(new_deployment(canary=STEPS), userInfo={"username": "alice"}, dryRun=True),
            )

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    lines = [json.loads(JsonLines().format(r)) for r in caplog.records if r.name == "coalmine_webhook.server"]
    (line,) = lines
    assert line["event"] == "review"
    assert (line["namespace"], line["name"], line["user"], line["dryRun"]) == ("shop", "web", "alice", True)
    assert "app:1" not in json.dumps(line)


def test_a_look_up_that_is_late_is_an_unknown():
    cluster = Cluster(
        {("replicasets", "web-abc"): None, ("persistentvolumeclaims", "b"): {"spec": {"accessModes": ["X"]}}}
    )

    async def scenario():
        assert await lookup.owner(cluster, "shop", "web-abc", limit=0) is None
        assert await lookup.owner(cluster, "shop", "gone") is None
        assert await lookup.access_modes(cluster, "shop", ["a", "b"]) == {"b": ("X",)}

    asyncio.run(scenario())
