"""Write the Grafana dashboard from its table: `python -m ops.grafana.dashboard`."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from ops.grafana.panels import ROWS, Panel

FILE = Path(__file__).parent / "dashboards" / "hark.json"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHT = {"stat": 4, "timeseries": 8, "heatmap": 8}
_COLUMNS = 24


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana stores it."""
    return {
        "uid": "hark",
        "title": "Hark",
        "description": "Behaviour events in, recommendations and alerts out.",
        "tags": ["hark"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": _panels(),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Worker",
            "type": "query",
            "datasource": _SOURCE,
            "definition": "label_values(hark_batches_total, instance)",
            "query": {"query": "label_values(hark_batches_total, instance)", "refId": "instance"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {"text": ["All"], "value": ["$__all"]},
        },
    ]


def _panels() -> list[dict[str, Any]]:
    """All panels, placed left to right under their row's title."""
    made: list[dict[str, Any]] = []
    ids = count(1)
    y = 0
    for title, panels in ROWS:
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        made.append({"id": next(ids), "type": "row", "title": title, "gridPos": place,
                     "collapsed": False, "panels": []})  # fmt: skip
        y, x, height = y + 1, 0, 0
        for panel in panels:
            if x + panel.width > _COLUMNS:
                y, x, height = y + height, 0, 0
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT[panel.kind]}
            made.append(_panel(panel, next(ids), place))
            x, height = x + panel.width, max(height, place["h"])
        y += height
    return made


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.unit in ("short", "percentunit"):
        defaults["min"] = 0
    if panel.steps:
        first, *rest = panel.steps
        defaults["thresholds"] = {
            "mode": "absolute",
            # Grafana's first step starts below everything and is written as null.
            "steps": [{"value": None, "color": first[1]}]
            + [{"value": value, "color": colour} for value, colour in rest],
        }
    if panel.kind == "timeseries":
        defaults["custom"] = _custom(panel)
    elif panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds" if panel.steps else "palette-classic"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _custom(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        # The model panel shows its labels; the others their number.
        by_name = panel.queries[0].expr.startswith("hark_model_info")
        return {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "textMode": "name" if by_name else "value",
            "colorMode": "value",
            "graphMode": "none",
        }
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "yAxis": {"unit": panel.unit},
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
            "tooltip": {"mode": "single"},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
