"""The catalogue of metrics, their documentation and the dashboard agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edgeseq.measures import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "edgeseq.json").read_text(encoding="utf-8"))
NAME = re.compile(r"\bedgeseq_[a-z_]+")
PARTS = re.compile(r"_(bucket|count|sum)$")


def known(text: str) -> set[str]:
    """List the metrics that a text names; parts of a histogram count as it."""
    found = set()
    for name in NAME.findall(text):
        whole = PARTS.sub("", name)
        found.add(whole if CATALOGUE.get(whole, ("",))[0] == "histogram" else name)
    return found


def expressions() -> list[str]:
    """List all queries of the dashboard."""
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return queries + [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]


def test_page_has_a_row_for_each_metric() -> None:
    """Each metric has its row with type, labels and sentence, and no other name is told."""
    for name, family in CATALOGUE.items():
        labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
        assert f"| `{name}` | {family.type} | {labels} | {family.help} |" in PAGE
    assert known(PAGE) == CATALOGUE.keys()


def test_dashboard_asks_for_metrics_that_exist() -> None:
    """Each metric and each label that the dashboard names exists, and most metrics are shown."""
    asked = set().union(*(known(expression) for expression in expressions()))
    assert asked - CATALOGUE.keys() == set()
    assert len(asked) > 20
    for expression in expressions():
        labels: set[str] = {"instance", "le"}.union(*(CATALOGUE[name].labels for name in known(expression)))
        named = re.findall(r"by \(([^)]*)\)", expression) + re.findall(r'(\w+)(?:=~|!=|=)"', expression)
        assert {label.strip() for names in named for label in names.split(",")} <= labels, expression


def test_dashboard_legends_use_labels_that_exist() -> None:
    """No legend shows an empty name."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    for target in (target for panel in panels for target in panel["targets"]):
        labels = {"instance"}.union(*(CATALOGUE[name].labels for name in known(target["expr"])))
        assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= labels, target


def test_names_follow_the_rules_of_the_format() -> None:
    """Counters end in _total, infos in _info, others in neither; units stand in names."""
    for name, family in CATALOGUE.items():
        assert re.fullmatch(r"edgeseq_[a-z][a-z0-9_]*", name)
        assert name.endswith("_total") == (family.type == "counter"), name
        assert name.endswith("_info") == (family.type == "info"), name
        assert family.help.endswith("."), name
