"""Analysis templates and runs, in Argo's words (coalmine_controller.analysis reads them)."""

from __future__ import annotations

from typing import Final

from coalmine.model.schema import (
    Schema,
    anything,
    flag,
    moment,
    record,
    sequence,
    text,
    unsupported,
    whole,
    whole_or_text,
)

#: Every metric is a line of work for the controller and several KB in the run's status.
MAX_METRICS: Final = 50
#: Far more than anyone writes; keeps the substitution's work bounded.
MAX_ARGUMENTS: Final = 100

_ARGS: Final = sequence(
    "Arguments, used in metrics as {{args.NAME}}. One without a value must be given by the Rollout that uses the "
    "template.",
    record(
        "An argument.",
        {
            "name": text("Its name."),
            "value": text("Its value; in a template, the one that holds unless another is given."),
            "valueFrom": unsupported("A value from a Secret or a field."),
        },
        required=("name",),
    ),
    key="name",
    maxItems=MAX_ARGUMENTS,
)

_HEADERS: Final = sequence(
    "Request headers.",
    record("A header.", {"key": text("Its name."), "value": text("Its value.")}, required=("key",)),
)

_WEB: Final = record(
    "One HTTP request a measurement; its JSON answer, or the part that jsonPath takes, is the result.",
    {
        "url": text(
            "An http or https URL. A host without a dot is looked for in the namespace of the run, "
            'for example "http://colorapi/error-rate".'
        ),
        "method": text("GET (the default), POST or PUT.", enum=["GET", "POST", "PUT"]),
        "headers": _HEADERS,
        "body": text("The body of a POST or PUT, as it is."),
        "jsonBody": anything("The body of a POST or PUT, written here as YAML or JSON and sent as JSON."),
        "timeoutSeconds": whole_or_text("Seconds for the whole exchange, at most 300; default 10."),
        "jsonPath": text('One path in braces, for example "{$.data.ok}"; default the whole body.'),
        "insecure": flag("Accept any certificate of an https server."),
        "authentication": unsupported("OAuth2 or Sigv4."),
    },
    required=("url",),
    keeps_unknown=True,
)

_PROMETHEUS: Final = record(
    "One instant query a measurement. A scalar or string is the result; a vector is the list of its values.",
    {
        "address": text(
            'URL of Prometheus, for example "http://prometheus.monitoring:9090"; default: what the controller was '
            "started with."
        ),
        "query": text("A PromQL expression."),
        "timeout": whole_or_text("Seconds for the whole exchange, at most 300; default 30."),
        "insecure": flag("Accept any certificate of an https server."),
        "headers": _HEADERS,
        "authentication": unsupported("OAuth2 or Sigv4."),
        "rangeQuery": unsupported("A query over a range of time."),
    },
    required=("query",),
    keeps_unknown=True,
)

#: By the provider's key in a metric.
PROVIDERS: Final[dict[str, Schema]] = {"web": _WEB, "prometheus": _PROMETHEUS}

METRIC: Final = record(
    "One question that is asked again and again, and when its answers are good or bad.",
    {
        "name": text("Name of the metric, unique in its template."),
        "interval": text('Time between measurements as a Go duration, for example "30s"; without it there is one.'),
        "initialDelay": text("Time from the start of the run to the first measurement, as a Go duration."),
        "count": whole_or_text(
            "Measurements to take. Default: one without an interval; with an interval it goes on until the run ends."
        ),
        "successCondition": text(
            'Expression over result, for example "result >= 0.95". Where it is true the measurement succeeded; where '
            "it is not, it failed, or is inconclusive if there is a failureCondition as well."
        ),
        "failureCondition": text("Expression over result. Where it is true the measurement failed."),
        "failureLimit": whole_or_text("Failed measurements that are tolerated; default 0, -1 for any number."),
        "inconclusiveLimit": whole_or_text("Inconclusive measurements that are tolerated; default 0."),
        "consecutiveErrorLimit": whole_or_text(
            "Errors in a row (no answer, no JSON, a condition that cannot be evaluated) that are tolerated; default 4."
        ),
        "consecutiveSuccessLimit": whole_or_text(
            "Successes in a row that end the metric as successful; default 0, off."
        ),
        "provider": record(
            "Where measurements come from: exactly one of these.",
            PROVIDERS,
            # Argo's other providers are refused by name when the template is read
            keeps_unknown=True,
            minProperties=1,
            maxProperties=1,
        ),
    },
    required=("name", "provider"),
)

_METRICS: Final = sequence(
    "What is measured. The first metric that fails ends the run.", METRIC, minItems=1, maxItems=MAX_METRICS
)

#: Argo's fields of a spec that this version has not.
UNSUPPORTED_FIELDS: Final[dict[str, Schema]] = {
    "dryRun": unsupported("Metrics that do not count."),
    "measurementRetention": unsupported("How many measurements are kept."),
    "templates": unsupported("Templates whose metrics are added."),
    "ttlStrategy": unsupported("When a completed run is deleted."),
}

TEMPLATE_SPEC: Final = record(
    "What is measured, and when it is good enough.",
    {"args": _ARGS, "metrics": _METRICS, **UNSUPPORTED_FIELDS},
    required=("metrics",),
)

RUN_SPEC: Final = record(
    "What is measured: the metrics of all templates, and the value of every argument.",
    {
        "args": _ARGS,
        "metrics": _METRICS,
        "terminate": flag("End the run early, as successful unless a limit is broken already."),
        **UNSUPPORTED_FIELDS,
    },
    required=("metrics",),
)

_PHASE: Final = "Pending, Running, Successful, Failed, Error or Inconclusive."

_MEASUREMENT: Final = record(
    "One measurement.",
    {
        "phase": text("Successful, Failed, Error or Inconclusive."),
        "value": text("What was measured, as JSON; cut short where it is long."),
        "message": text("Why it is an Error."),
        "startedAt": moment("When it was begun."),
        "finishedAt": moment("When its answer was there."),
    },
    keeps_unknown=True,
)

_RESULT: Final = record(
    "Where one metric stands. Numbers that are 0 are left out.",
    {
        "name": text("Name of the metric."),
        "phase": text(_PHASE),
        "message": text("Why it ended as it did."),
        "count": whole("Measurements taken, without errors."),
        "successful": whole("Those that succeeded."),
        "failed": whole("Those that failed."),
        "inconclusive": whole("Those that were neither."),
        "error": whole("Tries that gave no answer."),
        "consecutiveError": whole("Errors in a row, to the last one."),
        "consecutiveSuccess": whole("Successes in a row, to the last one."),
        "measurements": sequence("The last ten, oldest first.", _MEASUREMENT),
    },
    keeps_unknown=True,
)

RUN_STATUS: Final = record(
    "What was measured, and the verdict. Written by the controller alone.",
    {
        "phase": text(_PHASE),
        "message": text("Why it ended as it did."),
        "startedAt": moment("When the controller began with it."),
        "metricResults": sequence("Where each metric stands, in the order of the spec.", _RESULT),
    },
    keeps_unknown=True,
)
