"""The demo from the recordings to the verdict, each part as an operator would run it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

import msgspec

from edgeseq.bundle import read_bundle
from edgeseq.bundle.keys import TrustedKeys
from edgeseq.bundle.manifest import Manifest
from edgeseq.demo import checks, files, processes, scenario
from edgeseq.demo.accuracy import compare
from edgeseq.demo.broker import Loss, embedded_broker
from edgeseq.demo.checks import Check, others
from edgeseq.demo.evidence import Evidence
from edgeseq.demo.play import play
from edgeseq.demo.recordings import iso
from edgeseq.demo.report import Results, TrainingTable, page
from edgeseq.errors import EXIT_FAILED_CHECK, EXIT_OK
from edgeseq.watch import Screen

Break = Literal["detector", "publish"]

PLAY_S = 30.0
LOSS = Loss("/forecast", every=50)


def run_demo(root: Path, *, quick: bool = False, reuse: bool = False, fault: Break | None = None) -> int:
    """Train, serve, play, check and report → exit code.

    Args:
        root: folder for everything that the demo writes; what an earlier demo left there is removed.
        quick: train for seconds only and play at full speed; accuracy is then reported, not checked.
        reuse: do not train, take the model of the last demo in this folder.
        fault: break one part on purpose, to show that the checks notice.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    weeks = scenario.QUICK_HISTORY_WEEKS if quick else scenario.HISTORY_WEEKS
    folder, plan, seconds = files.Folder(root), scenario.make(weeks), dict[str, float]()
    files.clear(folder, keep_model=reuse)
    files.write_inputs(folder, plan, quick=quick)
    if not reuse:
        span = f"{scenario.QUICK_TRAINING_WEEKS} weeks of traffic" if quick else "two years of traffic"
        with _timed(seconds, "training", f"Training on {span}, up to the last five weeks"):
            _train(folder)
    files.trust_own_key(folder)
    manifest = read_bundle(folder.bundle, TrustedKeys.from_dir(folder.trusted_keys)).manifest
    table = training_table(manifest)
    with embedded_broker(LOSS if fault == "publish" else None) as port:
        files.write_config(folder, port, alerts=fault != "detector")
        with _timed(
            seconds,
            "history",
            f"Replaying {weeks} weeks, so that the daemon knows the sensor",
        ):
            _replay_history(folder)
        with _timed(
            seconds, "playing", f"Playing {len(plan.live):,} readings of two sensors through an MQTT broker"
        ):
            evidence, exit_code = _serve_and_play(folder, plan, port, 0.0 if quick else PLAY_S)
    results = judge(
        plan,
        evidence,
        exit_code,
        check_accuracy=not quick,
        training=table,
        seconds=seconds,
        label=manifest.label,
    )
    (root / "report.html").write_text(page(results))
    (root / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary(results)), indent=2))
    _say(verdict_text(results, root))
    return EXIT_OK if results.passed else EXIT_FAILED_CHECK


# --- parts ------------------------------------------------------------------------------------------------------


def _train(folder: files.Folder) -> None:
    given = [str(folder.training), str(folder.recipe), "--every", "1h", "--horizon", "24h"]
    processes.run(["train", *given, "-o", str(folder.bundle)], folder.root)


def _replay_history(folder: files.Folder) -> None:
    processes.run(
        [
            "replay",
            "--config",
            str(folder.config),
            "--input",
            str(folder.history),
            "--save-state",
            "-o",
            "/dev/null",
        ],
        folder.root,
    )


def _serve_and_play(
    folder: files.Folder, plan: scenario.Scenario, port: int, seconds: float
) -> tuple[Evidence, int | None]:
    with processes.daemon(folder.config, folder.log, folder.root) as daemon:
        evidence = play(plan.live, port, daemon, seconds, Screen(only_alerts=True))
    return evidence, daemon.exit_code


def judge(
    plan: scenario.Scenario,
    evidence: Evidence,
    exit_code: int | None,
    *,
    check_accuracy: bool,
    training: TrainingTable,
    seconds: dict[str, float],
    label: str,
) -> Results:
    """Compare, check and put together what the report tells."""
    comparison = compare(
        plan.history.followed_by(plan.truth),
        plan.training,
        evidence.of(scenario.TRAFFIC),
        scenario.TEST_FROM_NS,
        plan.clean_until_ns,
    )
    done = checks.run_checks(plan, evidence, comparison, check_accuracy=check_accuracy)
    done.append(
        Check("the daemon stops when asked", "exit code 0", f"exit code {exit_code}", exit_code == EXIT_OK)
    )
    return Results(plan, evidence, comparison, done, training, seconds, label, version("edgeseq"))


def training_table(manifest: Manifest) -> TrainingTable:
    """Take the training's own table: mean absolute errors of its test split."""
    rows = manifest.training.get("table", [])
    leads = tuple(rows[0]["mae"]) if rows else ()
    return TrainingTable(
        tuple("1 h ahead" if lead == "1" else f"mean of 1 to {lead} h" for lead in leads),
        tuple(
            (row["forecaster"], tuple(row["mae"][lead] for lead in leads), _remark(row, manifest))
            for row in rows
        ),
    )


def _remark(row: dict[str, Any], manifest: Manifest) -> str:
    """Say what a quantization costs, and which one serves."""
    parts = [f"{row['kb']} kB"] if "kb" in row else []
    if "loss" in row:
        parts.append(f"pinball loss {row['loss']:.4f}")
    if row["forecaster"] == f"model {manifest.default_variant}":
        parts.append("serves")
    return ", ".join(parts)


# --- what is said -----------------------------------------------------------------------------------------------


def table_text(table: TrainingTable) -> str:
    """Lay out the training table as text.

    >>> print(table_text(TrainingTable(("1 h ahead",), (("ridge", (162.0,), ""), ("model", (150.2,), "serves")))))
    forecaster             1 h ahead
    ridge                        162
    model                        150  serves
    """
    head = f"{'forecaster':<22}" + "".join(f"  {lead:>{max(len(lead), 8)}}" for lead in table.leads)
    lines = [head.rstrip()]
    for name, figures, remark in table.rows:
        cells = (
            f"  {'–' if figure is None else f'{figure:.0f}':>{max(len(lead), 8)}}"
            for lead, figure in zip(table.leads, figures, strict=True)
        )
        lines.append(f"{name:<22}{''.join(cells)}  {remark}".rstrip())
    return "\n".join(lines)


def verdict_text(results: Results, root: Path) -> str:
    """Say what held and what did not."""
    lines = []
    if results.comparison is not None:
        rows = tuple((r.name, (r.mae_1, r.mae_24, r.mae_1_to_24), "") for r in results.comparison.rows)
        leads = ("1 h ahead", "24 h ahead", "mean of 1 to 24 h")
        lines += [
            "Served forecasts of the traffic, vehicles per hour off, in the test weeks before the faults:"
        ]
        lines += [table_text(TrainingTable(leads, rows)), ""]
    for check in results.checks:
        missed = "" if check.passed else f"  (wanted: {check.wanted})"
        lines.append(f"{'✓' if check.passed else '✗'} {check.name}: {check.found}{missed}")
    verdict = "The demo passed." if results.passed else "The demo FAILED."
    return "\n".join([*lines, "", f"{verdict}  Report: {root / 'report.html'}"])


def summary(results: Results) -> dict[str, Any]:
    """Give the results as plain data for summary.json."""
    windows = (*results.scenario.faults, *results.scenario.real)
    rest = {id(alert) for alert in others(windows, results.evidence)}
    return {
        "passed": results.passed,
        "version": results.version,
        "bundle": results.bundle,
        "seconds": {part: round(taken, 1) for part, taken in results.seconds.items()},
        "checks": [asdict(check) for check in results.checks],
        "accuracy": None if results.comparison is None else asdict(results.comparison),
        "training": asdict(results.training),
        "forecasts": {stream: len(found) for stream, found in results.evidence.forecasts.items()},
        "alerts": [
            {
                "stream": alert.stream,
                "kind": alert.kind,
                "opened": iso(alert.opened_ns),
                "cleared": None if alert.cleared_ns is None else iso(alert.cleared_ns),
                "message": alert.message,
                "other": id(alert) in rest,
            }
            for alert in sorted(results.evidence.alerts.values(), key=lambda alert: alert.opened_ns)
        ],
    }


@contextmanager
def _timed(seconds: dict[str, float], part: str, text: str) -> Iterator[None]:
    _say(f"\n{text} …")
    started = time.monotonic()
    yield
    seconds[part] = time.monotonic() - started


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Leave as on Ctrl-C, so that what was started is stopped."""
    raise KeyboardInterrupt
