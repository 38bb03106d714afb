"""What a node tells of itself as metrics: the catalogue of their names, and where each figure comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgeseq import __version__
from edgeseq.adapters.metrics import Metrics
from edgeseq.adapters.mqtt import Link
from edgeseq.compose import Node
from edgeseq.core.exposition import Family, Figures, Value
from edgeseq.core.payloads import HealthPayload
from edgeseq.core.told import NEW
from edgeseq.core.types import DataStatus, Phase, Reason

CATALOGUE: dict[str, Family] = {
    "edgeseq_build_info": Family("info", "What runs here.", ("version", "node")),
    "edgeseq_table_info": Family("info", "What serves a table.", ("table", "bundle", "estimate")),
    "edgeseq_uptime_seconds": Family("gauge", "Time since the process began."),
    "edgeseq_resident_bytes": Family("gauge", "Resident memory."),
    "edgeseq_connected": Family("gauge", "1 while the broker has accepted us."),
    "edgeseq_streams": Family("gauge", "Streams by their phase.", ("table", "phase")),
    "edgeseq_streams_by_data": Family("gauge", "Streams by how their data arrives.", ("table", "data")),
    "edgeseq_readings_received_total": Family(
        "counter", "Readings and rejections: applied + late + duplicate + rejected + shed."
    ),
    "edgeseq_readings_applied_total": Family("counter", "Readings that moved a stream."),
    "edgeseq_readings_late_total": Family("counter", "Readings older than the newest step."),
    "edgeseq_readings_duplicate_total": Family("counter", "Readings that had been applied already."),
    "edgeseq_readings_rejected_total": Family("counter", "What could not be used.", ("reason",)),
    "edgeseq_readings_shed_total": Family("counter", "Readings given up: stopped while the disk refused."),
    "edgeseq_messages_ignored_total": Family("counter", "Messages that say no number, as is normal for their family."),
    "edgeseq_open_alerts": Family("gauge", "Alerts that are open.", ("kind", "severity", "muted")),
    "edgeseq_alerts_muted_total": Family("counter", "Alerts that opened while a snooze or maintenance held."),
    "edgeseq_alerts_waiting": Family("gauge", "Alerts that the broker has not acknowledged yet."),
    "edgeseq_alerts_dropped_total": Family("counter", "Alerts given up because too many waited."),
    "edgeseq_alerts_per_week": Family("gauge", "Alerts a week of a table; not in its first week.", ("table",)),
    "edgeseq_alert_budget_per_week": Family("gauge", "Alerts a week that a table may raise.", ("table",)),
    "edgeseq_interval_promised_ratio": Family("gauge", "Share of readings that intervals are to hold.", ("table",)),
    "edgeseq_interval_coverage_ratio": Family(
        "gauge", "Share of readings inside the interval published for them one step before; decayed.", ("table",)
    ),
    "edgeseq_interval_width_errors": Family(
        "gauge", "Width of those intervals in mean absolute errors of the baseline; median.", ("table",)
    ),
    "edgeseq_interval_outcomes_total": Family("counter", "Readings that were judged so, ever.", ("table",)),
    "edgeseq_batch_seconds": Family("histogram", "Time from taking a batch to handing over what it says."),
    "edgeseq_batch_messages_total": Family("counter", "Messages in batches."),
    "edgeseq_inbox_messages": Family("gauge", "Messages that wait."),
    "edgeseq_inbox_oldest_seconds": Family("gauge", "How long the oldest thing in the inbox has waited."),
    "edgeseq_messages_published_total": Family("counter", "Messages handed to the broker."),
    "edgeseq_messages_superseded_total": Family("counter", "States that a newer one replaced before they were sent."),
    "edgeseq_packets_malformed_total": Family("counter", "Packets that were no MQTT: the connection was ended."),
    "edgeseq_messages_too_large_total": Family("counter", "Messages larger than what the broker takes: given up."),
    "edgeseq_connections_total": Family("counter", "Connections that the broker has accepted."),
    "edgeseq_sessions_lost_total": Family("counter", "Times the broker had forgotten our session."),
    "edgeseq_journal_bytes": Family("gauge", "Length of the journals since the last snapshot."),
    "edgeseq_journal_readings": Family("gauge", "Readings in them: what a start would replay."),
    "edgeseq_snapshot_bytes": Family("gauge", "Length of the newest snapshot."),
    "edgeseq_snapshots_total": Family("counter", "Snapshots taken."),
    "edgeseq_storage_faults_total": Family("counter", "Times the disk refused a write."),
    "edgeseq_ledger_faults_total": Family("counter", "Times the ledger of alerts could not be used."),
    "edgeseq_history_lost_total": Family("counter", "Alert events that are missing in the history."),
    "edgeseq_requests_total": Family("counter", "Requests answered."),
    "edgeseq_requests_refused_total": Family("counter", "Requests that were none, or too many."),
}  # fmt: skip
"""Name of a metric → what it is. All counters begin at 0 with the process, but interval_outcomes."""

_OF_HEALTH = {
    "uptime_seconds": "uptime_s",
    "readings_received_total": "received",
    "readings_applied_total": "applied",
    "readings_late_total": "late",
    "readings_duplicate_total": "duplicate",
    "readings_shed_total": "shed",
    "messages_ignored_total": "ignored",
    "alerts_muted_total": "alerts_muted",
    "alerts_waiting": "alerts_waiting",
    "alerts_dropped_total": "alerts_dropped",
    "inbox_messages": "inbox_messages",
    "connections_total": "connections",
    "sessions_lost_total": "sessions_lost",
    "storage_faults_total": "storage_faults",
    "ledger_faults_total": "ledger_faults",
    "history_lost_total": "history_lost",
    "requests_total": "requests",
    "requests_refused_total": "requests_refused",
}
"""Name of a metric, without edgeseq_ → field of bridge/health."""


def figures(node: Node, metrics: Metrics, link: Link, health: HealthPayload, *, oldest_s: float) -> Figures:
    """Collect all figures of a node; `oldest_s` is how long the oldest value of the inbox has waited."""
    told: dict[str, Iterable[tuple[tuple[str, ...], Value]]] = {
        f"edgeseq_{name}": [((), getattr(health, field))] for name, field in _OF_HEALTH.items()
    }
    plain: dict[str, Value | None] = {
        "resident_bytes": health.rss_bytes,
        "connected": int(link.is_connected),
        "inbox_oldest_seconds": round(oldest_s, 3),
        "messages_published_total": link.published,
        "messages_superseded_total": link.superseded,
        "packets_malformed_total": link.malformed,
        "messages_too_large_total": link.too_large,
        "batch_messages_total": metrics.messages,
        "batch_seconds": metrics.batch_s,
        "snapshots_total": metrics.snapshots,
    }
    if node.store:
        plain |= {
            "journal_bytes": node.store.journal_bytes,
            "journal_readings": node.store.journal_readings,
            "snapshot_bytes": node.store.snapshot_bytes,
        }
    told |= {f"edgeseq_{name}": [((), value)] for name, value in plain.items() if value is not None}
    return {**told, **_of_tables(node, health), **_of_streams(node)}


def _of_tables(node: Node, health: HealthPayload) -> Figures:
    """Give what is told of each table, and the node's name."""
    bundles, estimated = node.context.bundles, node.context.estimated
    info = [
        ((key, bundles.get(key, ""), found.bundle if (found := estimated.get(key)) else ""), 1)
        for key in node.context.rules
    ]
    kept, rates = health.intervals, health.alert_rates
    reasons = {
        str(reason): 0 for reason in Reason if reason not in (Reason.LATE, Reason.DUPLICATE)
    } | health.rejected
    return {
        "edgeseq_build_info": [((__version__, node.context.node), 1)],
        "edgeseq_table_info": info,
        "edgeseq_readings_rejected_total": [((reason,), n) for reason, n in reasons.items()],
        "edgeseq_alerts_per_week": _known((one.table, one.per_week) for one in rates),
        "edgeseq_alert_budget_per_week": _known((one.table, one.budget) for one in rates),
        "edgeseq_interval_promised_ratio": _known((one.table, one.promised) for one in kept),
        "edgeseq_interval_coverage_ratio": _known((one.table, one.coverage) for one in kept),
        "edgeseq_interval_width_errors": _known((one.table, one.width) for one in kept),
        "edgeseq_interval_outcomes_total": _known((one.table, one.outcomes) for one in kept),
    }


def _known(values: Iterable[tuple[str, float | None]]) -> list[tuple[tuple[str, ...], Value]]:
    return [((label,), value) for label, value in values if value is not None]


def _of_streams(node: Node) -> Figures:
    """Count streams and alerts; zeros are told, too, so that a rise from nothing can be seen."""
    tables = node.context.rules
    phases = Counter({(table, str(phase)): 0 for table in tables for phase in Phase})
    data = Counter({(table, str(status)): 0 for table in tables for status in DataStatus})
    alerts: Counter[tuple[str, ...]] = Counter()
    for stream, info in enumerate(node.context.infos):
        if stream in node.state.registry.hidden:
            continue
        view = node.render_state.views.get(stream)
        status = view.status if view else NEW
        phases[info.rule, str(status.phase)] += 1
        data[info.rule, str(status.data)] += 1
        for one in view.open.values() if view and view.open else ():
            alerts[str(one.alert.kind), str(one.alert.severity), "yes" if one.alert.muted else "no"] += 1
    return {
        "edgeseq_streams": phases.items(),
        "edgeseq_streams_by_data": data.items(),
        "edgeseq_open_alerts": alerts.items(),
    }
