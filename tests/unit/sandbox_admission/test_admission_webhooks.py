"""Webhooks over TLS: whom they are asked about, what they are shown, what becomes of their answers.

The sentences of failures and refusals are those of kube-apiserver 1.36.3, which was asked the same.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from admission_world import (
    Memory,
    Server,
    admission,
    allowed,
    attributes,
    authority,
    config_map,
    configuration,
    memory,
    review,
    rule,
    serving,
    webhook,
)
from aiohttp import web

from coalmine.kube.resources import CONFIG_MAPS, DEPLOYMENTS, MUTATING_WEBHOOKS, SERVICES, Object
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.user import service_account

CREATION = attributes(CONFIG_MAPS, config_map())


async def mutate(store: Memory, asked: Attributes = CREATION) -> tuple[Object | None, list[str]]:
    chain = admission(store)
    try:
        return await chain.mutate(asked)
    finally:
        await chain.close()


def with_server(directory: Path, story: Callable[[Server, Memory], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(directory) as server:
            await story(server, memory())

    asyncio.run(run())


def register(store: Memory, *webhooks: Object, name: str = "w") -> None:
    store.put(MUTATING_WEBHOOKS, configuration(*webhooks, name=name))


def add(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}


# --- what is asked -------------------------------------------------------------------------------


def test_the_question_is_that_of_the_real_one(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        register(store, webhook(clientConfig=server.config("/x")))
        new = {**config_map(data={"a": "b"}), "metadata": {"namespace": "default", "generateName": "m-"}}
        asked = dataclasses.replace(
            attributes(CONFIG_MAPS, new, dry_run=True), user=service_account("default", "bob", "u1")
        )
        result, warnings = await mutate(store, asked)
        assert (result is new, warnings) == (True, [])
        (request,) = server.requests["/x"]
        assert len(request.pop("uid")) == 36
        kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
        resource = {"group": "", "version": "v1", "resource": "configmaps"}
        assert request == {
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:default:bob",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
                "uid": "u1",
            },
            "object": new,
            "oldObject": None,
            "dryRun": True,
            "options": {"kind": "CreateOptions"},
        }
        assert server.queries == ["timeout=5s"]

    with_server(tmp_path, story)


def test_a_write_to_a_subresource_names_its_own_kind(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        rules = [rule("deployments/scale", group="apps")]
        register(store, webhook(clientConfig=server.config("/x"), rules=rules))
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": "default"}}
        await mutate(store, attributes(DEPLOYMENTS, scale, scale, operation="UPDATE", subresource="scale"))
        (request,) = server.requests["/x"]
        assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert request["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
        assert (request["subResource"], request["requestSubResource"], request["name"]) == ("scale", "scale", "d")

    with_server(tmp_path, story)


def test_a_deletion_shows_what_goes(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        register(store, webhook(clientConfig=server.config("/x")))
        result, _ = await mutate(store, attributes(CONFIG_MAPS, None, config_map(), operation="DELETE"))
        (request,) = server.requests["/x"]
        assert (result, request["object"], request["oldObject"]) == (None, None, config_map())

    with_server(tmp_path, story)


# --- what becomes of the answer ------------------------------------------------------------------


def test_patches_add_up_in_the_order_of_names(tmp_path: Path) -> None:
    """By the configurations' names, then in the list's order; each sees what the one before it did."""

    async def story(server: Server, store: Memory) -> None:
        def append(letter: str) -> Callable[[Object], Object]:
            def decide(request: Object) -> Object:
                data = (request["object"].get("data") or {}).get("k", "")
                operation = add("/data", {"k": data + letter})
                return allowed(request["uid"], operation, warnings=[letter])

            return decide

        for letter in "abc":
            server.answer(f"/{letter}", append(letter))
        b, a, c = (webhook(f"{x}.b.c", clientConfig=server.config(f"/{x}")) for x in "bac")
        register(store, b, name="second")
        register(store, c, a, name="first")
        result, warnings = await mutate(store)
        assert result is not None
        assert (result["data"], warnings) == ({"k": "cab"}, ["c", "a", "b"])

    with_server(tmp_path, story)


def test_what_was_patched_is_decoded_again(tmp_path: Path) -> None:
    """Unknown fields vanish, defaults come; and who patches nothing that matters has changed nothing."""

    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", lambda r: allowed(r["uid"], add("/nosuch", 7)))
        register(store, webhook(clientConfig=server.config("/x")))
        new = config_map()
        assert (await mutate(store, attributes(CONFIG_MAPS, new)))[0] is new
        server.answer("/x", lambda r: allowed(r["uid"], add("/data", {}), add("/immutable", True)))
        assert (await mutate(store))[0] == config_map(immutable=True)

    with_server(tmp_path, story)


def test_managed_fields_are_left_alone(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        managed = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}]
        new = config_map()
        new["metadata"]["managedFields"] = managed
        server.answer("/x", lambda r: allowed(r["uid"], add("/data", {"a": "b"})))
        register(store, webhook(clientConfig=server.config("/x")))
        result, _ = await mutate(store, attributes(CONFIG_MAPS, new))
        assert result is not None
        assert result["metadata"]["managedFields"] == managed
        assert "data" not in new

    with_server(tmp_path, story)


@pytest.mark.parametrize(
    ("response", "code", "reason", "message"),
    [
        ({}, 400, "", 'admission webhook "a.b.c" denied the request without explanation'),
        ({"status": {"reason": "Why"}}, 400, "Why", 'admission webhook "a.b.c" denied the request: Why'),
        (
            {"status": {"code": 409, "reason": "Busy", "message": "try", "details": {"name": "n"}}},
            409,
            "Busy",
            'admission webhook "a.b.c" denied the request: try',
        ),
        ({"status": {"code": 200, "message": "no"}}, 400, "", 'admission webhook "a.b.c" denied the request: no'),
    ],
)
@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_a_refusal(tmp_path: Path, response: Object, code: int, reason: str, message: str, policy: str) -> None:
    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", lambda r: {"uid": r["uid"], "allowed": False, **response})
        register(store, webhook(clientConfig=server.config("/x"), failurePolicy=policy))
        with pytest.raises(StatusError) as refused:
            await mutate(store)
        error = refused.value
        assert (error.code, error.reason, error.message) == (code, reason, message)
        assert error.details == response.get("status", {}).get("details", {})

    with_server(tmp_path, story)


#: JSON has no infinity: what held it could not be read again.
INFINITE = '[{"op": "add", "path": "/data/x", "value": 1e999}]'


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def whole(document: Any) -> Callable[[Object], web.StreamResponse]:
    return lambda _: web.json_response(document)


def plain(status: int, text: str) -> Callable[[Object], web.StreamResponse]:
    return lambda _: web.Response(status=status, text=text)


async def never(_: Object) -> Object:
    await asyncio.Event().wait()
    return {}


CALL = 'failed calling webhook "a.b.c": failed to call webhook: '
ANSWER = 'failed calling webhook "a.b.c": received invalid webhook response: '
NONSENSE: dict[str, tuple[Any, str]] = {
    "500": (plain(500, "oops"), CALL + 'an error on the server ("oops") has prevented the request from succeeding'),
    "404": (plain(404, "x"), CALL + "the server could not find the requested resource"),
    "418": (
        plain(418, "x"),
        CALL + "the server responded with the status code 418 but did not return more information",
    ),
    "redirect": (plain(302, "x"), CALL + "the server does not allow this method on the requested resource"),
    "absent": (whole({"a": 1}), ANSWER + "webhook response was absent"),
    "no kind": (
        lambda r: web.json_response({"response": allowed(r["uid"])}),
        ANSWER + "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
    ),
    "patch alone": (
        lambda r: {**allowed(r["uid"]), "patch": encoded("[]")},
        ANSWER + "webhook returned response.patch but not response.patchType",
    ),
    "type alone": (
        lambda r: {**allowed(r["uid"]), "patchType": "JSONPatch"},
        ANSWER + "webhook returned response.patchType but not response.patch",
    ),
    "other type": (
        lambda r: {**allowed(r["uid"]), "patchType": "X", "patch": encoded("[1]")},
        'failed calling webhook "a.b.c": unsupported patch type "X"',
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(tmp_path: Path, name: str) -> None:
    """It fails the write under Fail, and is passed over under Ignore."""
    decide, message = NONSENSE[name]

    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", decide)
        register(store, webhook(clientConfig=server.config("/x")))
        with pytest.raises(StatusError) as failed:
            await mutate(store)
        assert (failed.value.code, failed.value.reason) == (500, "InternalError")
        assert failed.value.message == f"Internal error occurred: {message}"
        assert failed.value.details == {"causes": [{"message": message}]}
        register(store, webhook(clientConfig=server.config("/x"), failurePolicy="Ignore"))
        new = config_map()
        assert (await mutate(store, attributes(CONFIG_MAPS, new)))[0] is new

    with_server(tmp_path, story)


@pytest.mark.parametrize(
    "decide",
    [
        plain(200, "hello"),
        plain(200, "[" * 100_000),
        whole(["x"]),
        whole({"response": 7}),
        whole(review({"uid": "another", "allowed": True})),
        lambda r: {**allowed(r["uid"]), "patchType": "JSONPatch", "patch": encoded("{")},
        lambda r: {**allowed(r["uid"]), "patchType": "JSONPatch", "patch": "no base64"},
        lambda r: {**allowed(r["uid"]), "patchType": "JSONPatch", "patch": encoded(INFINITE)},
        lambda r: {**allowed(r["uid"]), "patchType": "JSONPatch", "patch": encoded('{"op": "add"}')},
        lambda r: allowed(r["uid"], {"op": "remove", "path": "/data/x"}),
        lambda r: allowed(r["uid"], add("/a/b/c", 1)),
        lambda r: allowed(r["uid"], add("/data", 7)),
        lambda r: allowed(r["uid"], 7),  # type: ignore[arg-type]
        plain(200, json.dumps("x" * (4 << 20))),
    ],
)
def test_more_nonsense_fails_too(tmp_path: Path, decide: Any) -> None:
    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", decide)
        register(store, webhook(clientConfig=server.config("/x")))
        with pytest.raises(StatusError) as failed:
            await mutate(store)
        assert failed.value.code == 500
        assert len(failed.value.message) < 2000

    with_server(tmp_path, story)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (add("/a/b/c", 1), 'add operation does not apply: doc is missing path: "/a/b/c": missing value'),
        (
            {"op": "remove", "path": "/data/x"},
            'remove operation does not apply: doc is missing path: "/data/x": missing value',
        ),
        ({"op": "test", "path": "/data/key", "value": "x"}, "testing value /data/key failed: test failed"),
        (
            add("/data", 7),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string",
        ),
    ],
)
def test_a_patch_that_does_not_fit_is_told_without_the_object(tmp_path: Path, operation: Object, said: str) -> None:
    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", lambda r: allowed(r["uid"], add("/immutable", False), operation))
        register(store, webhook(clientConfig=server.config("/x"), failurePolicy="Ignore"))
        with pytest.raises(StatusError) as failed:
            await mutate(store, attributes(CONFIG_MAPS, config_map(data={"key": "secret"})))
        assert failed.value.message == f"Internal error occurred: {said}"

    with_server(tmp_path, story)


def test_an_allowance_is_exactly_true(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", lambda r: {"uid": r["uid"], "allowed": "yes"})
        register(store, webhook(clientConfig=server.config("/x")))
        with pytest.raises(StatusError, match="denied the request"):
            await mutate(store)

    with_server(tmp_path, story)


def test_a_webhook_that_does_not_answer(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        server.answer("/x", never)  # type: ignore[arg-type]
        register(store, webhook(clientConfig=server.config("/x"), timeoutSeconds=1))
        with pytest.raises(StatusError) as failed:
            await mutate(store)
        url = f"https://127.0.0.1:{server.port}/x?timeout=1s"
        assert failed.value.message.endswith(f'{CALL}Post "{url}": context deadline exceeded')

    with_server(tmp_path, story)


def test_a_webhook_that_cannot_be_reached(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        await server.stop()
        register(store, webhook(clientConfig=server.config("/x")))
        with pytest.raises(StatusError) as failed:
            await mutate(store)
        where = f"127.0.0.1:{server.port}"
        said = f'Post "https://{where}/x?timeout=5s": dial tcp {where}: connect: connection refused'
        assert failed.value.message == f"Internal error occurred: {CALL}{said}"

    with_server(tmp_path, story)


def test_a_webhook_that_cannot_be_trusted(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        for config, why in (
            (server.config("/x", authority=authority("another")), "certificate signed by unknown authority"),
            ({**server.config("/x"), "caBundle": ""}, "certificate signed by unknown authority"),
            (
                server.config("/x", host="localhost"),
                "certificate is not valid for any names, but wanted to match localhost",
            ),
            ({**server.config("/x"), "caBundle": "eHg="}, "unable to parse bytes as PEM block"),
        ):
            register(store, webhook(clientConfig=config))
            with pytest.raises(StatusError) as failed:
                await mutate(store)
            assert why in failed.value.message
        assert server.requests == {}

    with_server(tmp_path, story)


def test_a_restarted_webhook_is_found_again(tmp_path: Path) -> None:
    """A connection that was kept and was closed meanwhile does not fail the next write."""

    async def story(server: Server, store: Memory) -> None:
        register(store, webhook(clientConfig=server.config("/x")))
        chain = admission(store)
        try:
            await chain.mutate(CREATION)
            port = server.port
            await server.stop()
            await server.start(port)
            await chain.mutate(CREATION)
        finally:
            await chain.close()
        assert len(server.requests["/x"]) == 2

    with_server(tmp_path, story)


# --- through a Service ---------------------------------------------------------------------------


def test_a_service_is_called_at_its_cluster_address(tmp_path: Path) -> None:
    """The certificate must be for the Service's name; the connection goes to its address."""

    async def story() -> None:
        async with serving(tmp_path, "hook.default.svc") as server:
            store = memory()
            service = {"name": "hook", "namespace": "default", "path": "/x", "port": server.port}
            config = {"service": service, "caBundle": server.config("/")["caBundle"]}
            register(store, webhook(clientConfig=config))

            async def fails(with_: str) -> None:
                with pytest.raises(StatusError) as failed:
                    await mutate(store)
                assert failed.value.message.endswith(with_)

            url = f'Post "https://hook.default.svc:{server.port}/x?timeout=5s": '
            await fails(f'{CALL}{url}service "hook" not found')
            about = {"name": "hook", "namespace": "default"}
            store.put(SERVICES, {"metadata": about, "spec": {"clusterIP": "127.0.0.1", "ports": [{"port": 1}]}})
            await fails(f'{CALL}{url}no service port {server.port} found for service "hook"')
            ports = [{"port": server.port}]
            store.put(SERVICES, {"metadata": about, "spec": {"clusterIP": "None", "ports": ports}})
            await fails('service "hook" has no cluster address: give it one, or write a url instead')
            store.put(SERVICES, {"metadata": about, "spec": {"clusterIP": "127.0.0.1", "ports": ports}})
            await mutate(store)
            assert len(server.requests["/x"]) == 1

    asyncio.run(story())


# --- again ---------------------------------------------------------------------------------------


def once(path: str, value: str) -> Callable[[Object], Object]:
    """Adds a key to the data that is not there yet."""

    def decide(request: Object) -> Object:
        data = request["object"].get("data") or {}
        operations = [] if path in data else [add("/data", {**data, path: value})]
        return allowed(request["uid"], *operations)

    return decide


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        ("IfNeeded", "Never", (2, 1)),
        ("IfNeeded", "IfNeeded", (2, 1)),
        ("Never", "IfNeeded", (1, 1)),
        ("Never", "Never", (1, 1)),
    ],
)
def test_who_is_asked_again(tmp_path: Path, first: str, second: str, asked: tuple[int, int]) -> None:
    """Only who wishes so, and only when a later one changed the object; oldObject is the same."""

    async def story(server: Server, store: Memory) -> None:
        for path, policy in (("/1", first), ("/2", second)):
            server.answer(path, once(path[1:], "x"))
            entry = webhook(clientConfig=server.config(path), reinvocationPolicy=policy)
            register(store, entry, name=path[1:])
        old = config_map(data={"old": "yes"})
        result, _ = await mutate(store, attributes(CONFIG_MAPS, config_map(), old, operation="UPDATE"))
        assert (len(server.requests["/1"]), len(server.requests["/2"])) == asked
        assert result is not None
        assert result["data"] == {"1": "x", "2": "x"}
        assert {json.dumps(r["oldObject"]) for r in server.requests["/1"]} == {json.dumps(old)}
        if asked[0] == 2:
            assert server.requests["/1"][1]["object"]["data"] == {"1": "x", "2": "x"}

    with_server(tmp_path, story)


def test_who_changes_on_the_second_round_is_not_asked_a_third_time(tmp_path: Path) -> None:
    async def story(server: Server, store: Memory) -> None:
        def count(request: Object) -> Object:
            seen = int((request["object"].get("data") or {}).get("n", "0"))
            return allowed(request["uid"], add("/data", {"n": str(seen + 1)}))

        for path in ("/1", "/2"):
            server.answer(path, count)
            register(store, webhook(clientConfig=server.config(path), reinvocationPolicy="IfNeeded"), name=path[1:])
        result, _ = await mutate(store)
        assert result is not None
        assert result["data"] == {"n": "4"}

    with_server(tmp_path, story)


def test_who_was_not_asked_first_is_not_asked_second(tmp_path: Path) -> None:
    """A webhook whose selector comes to match in the first round stays out."""

    async def story(server: Server, store: Memory) -> None:
        server.answer("/2", lambda r: allowed(r["uid"], add("/metadata/labels", {"a": "b"})))
        picky = webhook(
            clientConfig=server.config("/1"),
            objectSelector={"matchLabels": {"a": "b"}},
            reinvocationPolicy="IfNeeded",
        )
        register(store, picky, name="1")
        register(store, webhook(clientConfig=server.config("/2")), name="2")
        await mutate(store)
        assert "/1" not in server.requests

    with_server(tmp_path, story)


# --- dry runs, and conditions that fail ----------------------------------------------------------


@pytest.mark.parametrize(("effects", "passes"), [("None", True), ("NoneOnDryRun", True), ("Some", False)])
def test_a_dry_run_asks_only_who_has_no_side_effects(tmp_path: Path, effects: str, passes: bool) -> None:
    async def story(server: Server, store: Memory) -> None:
        register(store, webhook(clientConfig=server.config("/x"), sideEffects=effects))
        asked = attributes(CONFIG_MAPS, config_map(), dry_run=True)
        if passes:
            await mutate(store, asked)
        else:
            with pytest.raises(StatusError, match=r'^admission webhook "a\.b\.c" does not support dry run$'):
                await mutate(store, asked)
        assert ("/x" in server.requests) is passes

    with_server(tmp_path, story)


def test_a_condition_that_fails_follows_the_policy() -> None:
    store = memory()
    broken = {"matchConditions": [{"name": "c", "expression": "object.nosuch == 1"}]}
    register(store, webhook(**broken))
    with pytest.raises(StatusError) as refused:
        asyncio.run(mutate(store))
    said = "expression 'object.nosuch == 1' resulted in error: no such key: nosuch"
    assert (refused.value.code, refused.value.message) == (403, f'configmaps "m" is forbidden: {said}')
    register(store, webhook(**broken, failurePolicy="Ignore"))
    assert asyncio.run(mutate(store))[0] == config_map()
