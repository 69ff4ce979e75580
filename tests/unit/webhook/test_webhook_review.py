"""AdmissionReview in and out."""

from __future__ import annotations

import base64
import json

import pytest

from coalmine.model.reasons import Reason
from coalmine_webhook.patch import add
from coalmine_webhook.review import (
    MAX_REVIEW,
    Allowed,
    Denied,
    Errored,
    Patched,
    Review,
    ReviewError,
    codes,
    notice,
    parse,
    render,
)


def body(**request):
    frame = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", **request}}
    return json.dumps(frame).encode()


def test_read():
    obj = {"metadata": {"name": "web"}}
    read = parse(
        body(
            operation="UPDATE",
            subResource="status",
            namespace="shop",
            name="web",
            userInfo={"username": "alice"},
            dryRun=True,
            object=obj,
            oldObject=obj,
        )
    )
    assert read == Review("u", "UPDATE", "status", "shop", "web", "alice", True, obj, obj)


def test_read_what_is_absent():
    read = parse(body(operation="CREATE", object={"metadata": {"generateName": "web-"}}))
    assert (read.name, read.user, read.dry_run, read.old, read.subresource) == ("web-", "", False, None, "")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "no AdmissionReview"),
        (b"{}", "no AdmissionReview"),
        (body().replace(b"k8s.io/v1", b"k8s.io/v1beta1"), "admission.k8s.io/v1"),
        (body().replace(b'"uid"', b'"id"'), "uid"),
        (body(object=[]), "request.object"),
        (body(oldObject={"metadata": 7}), "request.oldObject"),
        (b" " * (MAX_REVIEW + 1), "larger than"),
    ],
)
def test_malformed(raw, words):
    with pytest.raises(ReviewError, match=words):
        parse(raw)


WARNING = notice(Reason.USER_PAUSED)


@pytest.mark.parametrize(
    ("outcome", "response", "code"),
    [
        (Allowed(), {"allowed": True}, "Allowed"),
        (Allowed((WARNING,)), {"allowed": True, "warnings": [WARNING.text]}, "UserPaused"),
        (
            Patched((add("b", "a/"),)),
            {
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(b'[{"op":"add","path":"/a~1","value":"b"}]').decode(),
            },
            "Patched",
        ),
        (
            Denied(Reason.RECREATE, "no", 422),
            {"allowed": False, "status": {"code": 422, "reason": "RecreateStrategy", "message": "no"}},
            "RecreateStrategy",
        ),
        (
            Errored("oh"),
            {"allowed": False, "status": {"code": 500, "reason": "InternalError", "message": "oh"}},
            "Errored",
        ),
    ],
)
def test_answer(outcome, response, code):
    document = json.loads(render("u", outcome))
    assert document["apiVersion"] == "admission.k8s.io/v1"
    assert document["response"] == {"uid": "u", **response}
    assert codes(outcome)[0] == code


def test_a_warning_is_cut_to_what_is_passed_on():
    text = notice(Reason.HELD, images="x" * 500, name="web").text
    assert len(text) == 256
    assert text.endswith("...")
