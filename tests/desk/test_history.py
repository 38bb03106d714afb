"""What is kept of alerts: labels, readings around them, pages, and how many there are a week."""

from __future__ import annotations

from edgeseq.core.instants import format_instant
from tests.support.desk import T0, Bench


def test_label_is_kept_with_the_readings_around_the_alert(bench: Bench) -> None:
    """Readings before the alert and after it, on the grid; a label can be changed and taken back."""
    for step in range(5, 40):
        bench.read(step, 1.0 + step % 2)
    bench.read(40, 50.0)
    name = bench.open_id()
    for step in range(41, 180):
        bench.read(step, 1.0 + step % 2)
        bench.tick()
    assert (
        bench.ask("label", alert=name, label="false_alarm", note="cleaning", by="anna").get("error") is None
    )
    bench.kill()
    bench.start()
    (entry,) = bench.ask("alerts", labelled=True, readings=True)["alerts"]
    readings = entry["readings"]
    assert (entry["label"], entry["note"]) == ("false_alarm", "cleaning")
    assert readings["values"] == [50.0 if step == 40 else 1.0 + step % 2 for step in range(140)]
    assert (readings["onset"], readings["first"], readings["period_s"]) == (40, format_instant(T0), 10)
    bench.ask("label", alert=name, label="none")
    assert bench.ask("alerts", labelled=True)["alerts"] == []
    assert "no alert" in bench.ask("label", alert="a" * 16, label="real")["error"]


def test_readings_around_an_alert_survive_a_restart_in_the_middle(bench: Bench) -> None:
    """What had come before the crash and what came after it are one window."""
    bench.read(5, 50.0)
    name = bench.open_id()
    for step in range(6, 120):
        if step in (7, 60):
            bench.kill()
            bench.start()
        bench.read(step, 1.0 + step % 2)
        bench.tick()
    bench.ask("label", alert=name, label="real")
    (entry,) = bench.ask("alerts", labelled=True, readings=True)["alerts"]
    assert entry["readings"]["values"] == [50.0 if step == 5 else 1.0 + step % 2 for step in range(105)]


def test_history_comes_in_pages_and_holds_each_event_once(bench: Bench) -> None:
    """Also after a crash that makes the events again."""
    for k in range(6):
        bench.read(5 + k, 50.0, f"t/{k}")
    bench.kill()
    bench.start()
    seen, start = [], None
    while True:
        page = bench.ask("alerts", limit=2, **({} if start is None else {"start": start}))
        seen += [entry["alert"]["stream"] for entry in page["alerts"]]
        if (start := page["next"]) is None:
            break
    assert seen == [f"t-{k}-v" for k in reversed(range(6))]
    assert page["count"] == 6
    assert [e["alert"]["stream"] for e in bench.ask("alerts", stream="t-3-v")["alerts"]] == ["t-3-v"]


def test_alerts_a_week_are_told_with_the_budget_and_an_excess_is_logged(bench: Bench) -> None:
    """Not before a week has been seen; then decayed, and logged once when it is beyond 1.5 times the budget."""
    week = 7 * 8640
    assert bench.daemon.health().alert_rates[0].per_week is None
    bench.tick()
    for k in range(1, 31):
        bench.read(k * week // 21, 50.0, f"t/{k}")
        bench.tick()
    (rate,) = bench.daemon.health().alert_rates
    assert (rate.table, rate.budget) == ("t/+", 2)
    assert rate.per_week is not None
    assert rate.per_week > 3
    assert bench.log.count("budget.exceeded") == 1
