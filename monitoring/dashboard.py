"""The dashboard as Grafana reads it, built with Grafana's own SDK, so that its types check what is written."""

from __future__ import annotations

import itertools
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.panel import Panel
from monitoring.panels import ROWS, STEPS, VARIABLES
from monitoring.releases import COLOURS, PHASES

_SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT: Final = 8
_EVERYTHING: Final = model.VariableOption(selected=True, text="All", value="$__all")


def build() -> str:
    """The JSON of the dashboard."""
    built = (
        dashboard.Dashboard("Coalmine")
        .uid("coalmine")
        .description("Canary releases of annotated Deployments: what is released, to whom, and how it does.")
        .tags(["coalmine", "kubernetes", "canary"])
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("namespace"))
        .with_variable(_variable("rollout"))
        .annotation(
            dashboard.AnnotationQuery().name("Steps").datasource(_SOURCE).enable(True).icon_color("purple").expr(STEPS)
        )
    )
    number = itertools.count(1)
    for row in ROWS:
        built = built.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            built = built.with_panel(_panel(panel).id(next(number)))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _variable(name: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.title())
        .datasource(_SOURCE)
        .query(VARIABLES[name])
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_EVERYTHING)
    )


def _panel(panel: Panel) -> Any:
    built = _KINDS[panel.kind](panel)
    built = built.title(panel.title).description(panel.description).datasource(_SOURCE)
    built = built.height(_HEIGHT).span(panel.width)
    for letter, query in zip("ABCDEFGHIJ", panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(_SOURCE)
        if panel.kind in ("table", "stat"):
            target = target.instant().format(
                PromQueryFormat.TABLE if panel.kind == "table" else PromQueryFormat.TIME_SERIES
            )
        else:
            target = target.range()
        built = built.with_target(target.legend_format(query.legend or "__auto"))
    return built


def _lines(panel: Panel) -> Any:
    built = (
        timeseries.Panel()
        .unit(panel.unit)
        .min(0)
        .fill_opacity(25 if panel.stacked else 0)
        .line_interpolation(looks.LineInterpolation.STEP_AFTER if panel.steps else looks.LineInterpolation.LINEAR)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
        )
    )
    if panel.most is not None:
        built = built.max(panel.most)
    if panel.stacked:
        built = built.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    for arm, colour in COLOURS.items():
        built = built.override_by_regexp(
            f"^{arm}\\b.*", [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
        )
    return built


def _states(_: Panel) -> Any:
    mapping = model.ValueMap(
        options={
            str(number): model.ValueMappingResult(text=name, color=colour, index=number)
            for number, (name, colour) in PHASES.items()
        }
    )
    return statetimeline.Panel().mappings([mapping]).row_height(0.8).merge_values(True)


def _table(panel: Panel) -> Any:
    """Of several instant queries a table with one line for each set of labels that they share."""
    built = table.Panel().show_header(True)
    if len(panel.queries) > 1:
        names = dict(zip("ABCDE", ("", "Step", "Steps", "Weight", "Available"), strict=True))
        rename = {f"Value #{letter}": name for letter, name in names.items() if name}
        built = built.with_transformation(model.DataTransformerConfig("merge", options={})).with_transformation(
            model.DataTransformerConfig(
                "organize", options={"excludeByName": {"Time": True, "Value #A": True}, "renameByName": rename}
            )
        )
    else:
        built = built.with_transformation(
            model.DataTransformerConfig("organize", options={"excludeByName": {"Time": True, "Value": True}})
        )
    return built


def _stat(panel: Panel) -> Any:
    return stat.Panel().unit(panel.unit).graph_mode(looks.BigValueGraphMode.NONE)


_KINDS: Final = {"timeseries": _lines, "states": _states, "table": _table, "stat": _stat}
