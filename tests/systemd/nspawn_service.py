"""The installed service under a real systemd: started, watched, killed, reloaded, upgraded, removed.

Run by `make test-systemd`. The order counts: the last tests take the package away.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path

from tests.systemd.conftest import configuration, configure, is_online
from tests.systemd.machine import Machine

KILLS = int(os.environ.get("KILLS", "5"))
BENCH = Path(__file__).parents[2] / "build/bench/systemd.json"
T0_S = 1_767_225_600
"""2026-01-01, UTC."""


def publish(machine: Machine, device: str, numbers: range) -> None:
    """Let a sensor report, as Zigbee2MQTT does."""
    lines = [
        json.dumps(
            {
                "battery": 97,
                "humidity": 55.2 + n % 3,
                "last_seen": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(T0_S + 600 * n)),
                "linkquality": 120,
                "temperature": 19.5 + n % 7 / 10,
            }
        )
        for n in numbers
    ]
    machine.run(
        "mosquitto_pub", "-p", str(machine.port), "-q", "1", "-t", f"zigbee2mqtt/{device}", "-l",
        given="\n".join(lines) + "\n",
    )  # fmt: skip


def asked(machine: Machine, verb: str) -> dict[str, object]:
    """Ask the node, over MQTT."""
    listener = machine.start(
        "mosquitto_sub", "-p", str(machine.port), "-W", "20", "-C", "1", "-t", f"edgeseq/cellar/bridge/response/{verb}"
    )  # fmt: skip
    time.sleep(0.3)
    machine.run(
        "mosquitto_pub", "-p", str(machine.port), "-t", f"edgeseq/cellar/bridge/request/{verb}", "-m", "{}"
    )
    told, _ = listener.communicate(timeout=30)
    answer: dict[str, object] = json.loads(told)
    return answer


def stream_count(machine: Machine) -> int:
    """Ask how many streams the node knows."""
    return int(str(asked(machine, "streams")["count"]))


def test_package_installs_and_service_is_ready(machine: Machine) -> None:
    """The installed unit is active only after READY=1, runs as a user of its own, and keeps its state from others."""
    assert machine.shown("ActiveState") == "active"
    assert machine.shown("Type") == "notify"
    pid = machine.shown("MainPID")
    uid = machine.run("stat", "-c", "%u", f"/proc/{pid}").strip()
    assert 61184 <= int(uid) <= 65519, "a dynamic user"
    assert machine.run("stat", "-c", "%a %u", "/var/lib/private/edgeseq").split() == ["700", uid]
    assert machine.run("stat", "-c", "%a %G", "/etc/edgeseq").split() == ["2750", "edgeseq-config"]
    assert machine.run("edgeseq", "--version").startswith("edgeseq")
    assert "edgeseq-run" in machine.run("ls", "/usr/share/man/man1")


def test_installed_unit_exposure_at_most_one(machine: Machine) -> None:
    """Systemd's own judgement of the running unit, drop-ins and all, is at most 1.0 of 10."""
    assert (
        machine.status("systemd-analyze", "security", "--threshold=10", "--no-pager", "edgeseq.service") == 0
    )


def test_zigbee_message_gives_forecast(machine: Machine) -> None:
    """What a sensor reports through the broker comes back as a forecast."""
    listener = machine.start(
        "mosquitto_sub", "-p", str(machine.port), "-W", "30", "-C", "1",
        "-t", "edgeseq/cellar/zigbee2mqtt-attic-temperature/forecast",
    )  # fmt: skip
    time.sleep(0.5)
    publish(machine, "attic", range(40))
    told, _ = listener.communicate(timeout=60)
    forecast = json.loads(told)
    assert forecast["stream"] == "zigbee2mqtt-attic-temperature"
    assert forecast["source"] == "baseline"
    machine.wait(lambda: stream_count(machine) == 2, "two streams")


def test_killed_service_comes_back_with_its_state(machine: Machine) -> None:
    """Killed at any time systemd starts it again, and it knows its streams; the times are printed."""
    times_s = []
    for _ in range(KILLS):
        restarts, pid = int(machine.shown("NRestarts")), machine.shown("MainPID")
        begun_s = time.monotonic()
        machine.run("kill", "-KILL", pid)
        machine.wait(lambda n=restarts: int(machine.shown("NRestarts")) > n, "a restart")  # type: ignore[misc]
        machine.wait(lambda: machine.shown("ActiveState") == "active", "READY again")
        times_s.append(time.monotonic() - begun_s)
    machine.wait(lambda: is_online(machine), "the connection")
    assert stream_count(machine) == 2
    tell(times_s)


def tell(times_s: list[float]) -> None:
    """Print what the kills took, and keep every time."""
    told = {
        "kills": len(times_s), "median_s": round(statistics.median(times_s), 2), "worst_s": round(max(times_s), 2),
        "times_s": [round(t, 3) for t in times_s],
    }  # fmt: skip
    BENCH.parent.mkdir(parents=True, exist_ok=True)
    BENCH.write_text(json.dumps(told), encoding="utf-8")
    print(f"\n{KILLS} kills: READY again after {told['median_s']} s (median), {told['worst_s']} s (worst)")


def test_hanging_service_is_restarted_by_watchdog(machine: Machine) -> None:
    """A process that is stopped feeds no watchdog, and systemd replaces it."""
    machine.write("/etc/systemd/system/edgeseq.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "edgeseq")
    pid, restarts = machine.shown("MainPID"), int(machine.shown("NRestarts"))
    machine.run("kill", "-STOP", pid)
    machine.wait(lambda: int(machine.shown("NRestarts")) > restarts, "the watchdog")
    machine.wait(lambda: machine.shown("ActiveState") == "active", "READY again")
    assert machine.shown("MainPID") != pid
    assert "Watchdog timeout" in machine.journal()
    machine.run("rm", "/etc/systemd/system/edgeseq.service.d/watchdog.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "edgeseq")


def test_reload_takes_new_configuration_and_refuses_wrong_one(machine: Machine) -> None:
    """SIGHUP by systemctl: a right configuration is taken, a wrong one leaves the old one at work."""
    pid = machine.shown("MainPID")
    machine.write("/etc/edgeseq/edgeseq.toml", configuration(machine).replace('"10m"', '"ten"'))
    machine.run("systemctl", "reload", "edgeseq")
    machine.wait(lambda: "config.rejected" in machine.journal(), "the refusal in the log")
    assert machine.shown("MainPID") == pid
    machine.write("/etc/edgeseq/edgeseq.toml", configuration(machine))
    machine.run("systemctl", "reload", "edgeseq")
    machine.wait(lambda: is_online(machine), "the connection")
    assert machine.shown("ActiveState") == "active"


def test_wrong_configuration_is_not_restarted(machine: Machine) -> None:
    """A start with a configuration that a human must mend fails with 78 and stays down."""
    machine.write("/etc/edgeseq/edgeseq.toml", "[mqtt]\nhots = 'x'\n")
    machine.status("systemctl", "restart", "edgeseq")
    machine.wait(lambda: machine.shown("ActiveState") == "failed", "a failed unit")
    assert machine.shown("ExecMainStatus") == "78"
    configure(machine)


SECRET = "canary-7f3a9"


def test_password_comes_as_credential_and_shows_nowhere(machine: Machine) -> None:
    """The broker's password is handed over by systemd, and is in no log, argument, environment or state."""
    machine.write("/etc/mosquitto/plain", f"edgeseq:{SECRET}\n", 0o600)
    machine.run("mosquitto_passwd", "-U", "/etc/mosquitto/plain")
    machine.run("chown", "mosquitto", "/etc/mosquitto/plain")
    settings = machine.root / "etc/mosquitto/conf.d/edgeseq.conf"
    open_to_all = settings.read_text(encoding="utf-8")
    closed = open_to_all.replace(
        "allow_anonymous true", "allow_anonymous false\npassword_file /etc/mosquitto/plain"
    )
    settings.write_text(closed, encoding="utf-8")
    machine.run("systemctl", "restart", "mosquitto")
    machine.write("/etc/credstore/edgeseq.mqtt-password", SECRET, 0o600)
    machine.write("/etc/edgeseq/edgeseq.toml", configuration(machine, 'username = "edgeseq"\n'))
    machine.run("systemctl", "restart", "edgeseq")
    machine.wait(
        lambda: "broker.connected" in machine.journal().rsplit("daemon.started", 1)[-1], "the connection"
    )
    pid = machine.shown("MainPID")
    shown = (
        machine.run("cat", f"/proc/{pid}/cmdline", f"/proc/{pid}/environ", check=False) + machine.journal()
    )
    assert SECRET not in shown
    state = machine.root / "var/lib/private/edgeseq"
    assert not [f for f in state.rglob("*") if f.is_file() and SECRET.encode() in f.read_bytes()]
    settings.write_text(open_to_all, encoding="utf-8")
    machine.run("systemctl", "restart", "mosquitto")
    configure(machine)


def test_upgrade_keeps_state_and_configuration(machine: Machine, newer: Path) -> None:
    """An upgrade restarts the service with what it knew and was told."""
    before = stream_count(machine)
    machine.run("dpkg", "--install", "--force-confold", machine.put(newer))
    machine.wait(lambda: is_online(machine), "the connection")
    assert machine.run("dpkg-query", "--show", "--showformat=${Version}", "edgeseq").endswith("+1")
    assert stream_count(machine) == before
    assert (machine.root / "etc/edgeseq/edgeseq.toml").read_text(encoding="utf-8") == configuration(machine)


def test_stop_is_clean(machine: Machine) -> None:
    """Systemctl stop ends it with 0, and subscribers hear that it stopped."""
    machine.run("systemctl", "stop", "edgeseq")
    assert machine.shown("Result") == "success"
    assert machine.shown("ExecMainStatus") == "0"
    heard = machine.run(
        "mosquitto_sub", "-p", str(machine.port), "-W", "2", "-C", "1", "-t", "edgeseq/cellar/bridge/state", check=False
    )  # fmt: skip
    assert '"stopped"' in heard
    machine.run("systemctl", "start", "edgeseq")


def test_remove_keeps_state_and_purge_takes_all(machine: Machine) -> None:
    """Removed, the service is gone and its state stays; purged, nothing of it is left."""
    machine.run("dpkg", "--remove", "edgeseq")
    assert machine.shown("ActiveState") in ("inactive", "failed")
    assert (machine.root / "var/lib/private/edgeseq").is_dir()
    assert (machine.root / "etc/edgeseq/edgeseq.toml").exists()
    machine.run("dpkg", "--purge", "edgeseq")
    left = machine.run(
        "find", "/etc", "/usr", "/var/lib", "-name", "*edgeseq*", "-not", "-path", "*/dpkg/*", check=False
    )
    assert [line for line in left.split() if "mosquitto" not in line] == []
    assert machine.status("getent", "group", "edgeseq-config") != 0
