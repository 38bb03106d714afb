"""What the doctor makes of what it finds: each verdict, with what was found, wanted and to be done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import MQTTMessage

from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.types import ChannelSource, StreamRule
from edgeseq.doctor import away, broker, examine, files, machine, models, mosquitto
from edgeseq.doctor.away import KEPT, Away
from edgeseq.doctor.broker import Granted
from edgeseq.doctor.finding import Finding
from edgeseq.doctor.streams import check_streams, judge_rule

DAY_NS = 86_400 * 10**9
CONF = Path(__file__).parents[1] / "deploy" / "mosquitto.conf"
STREAM = '[[streams]]\ntopic = "a/+"\nevery = "1s"\n'
RULE = StreamRule(key="r", period_ns=10**9, topics=("t",))


def resolved(text: str = "", folder: Path = Path("/etc/edgeseq")) -> Resolved:
    """Resolve a configuration."""
    return resolve(parse_config(text), folder, environment={"HOME": "/nowhere"})


def verdicts(findings: Iterator[Finding]) -> dict[str, str]:
    """Map what was looked at to the verdict, the worst where there are several; advice is never missing."""
    found: dict[str, str] = {}
    rank = ["ok", "warn", "fail"]
    for one in findings:
        assert one.found
        assert one.verdict == "ok" or (one.wanted and one.do), one
        found[one.check] = max(found.get(one.check, "ok"), one.verdict, key=rank.index)
    return found


@pytest.mark.parametrize(
    ("state", "now_ns", "verdict"),
    [
        (0, 9 * DAY_NS, "ok"),
        (1, 9 * DAY_NS, "ok"),
        (5, 9 * DAY_NS, "warn"),
        (None, 9 * DAY_NS, "warn"),
        (0, DAY_NS, "fail"),
    ],
)
def test_clock_judged_by_kernel_and_files(state: int | None, now_ns: int, verdict: str) -> None:
    """A synchronised clock is well, one behind our own files is not, whatever the kernel says."""
    finding = machine.judge_clock(state, now_ns, newest_file_ns=8 * DAY_NS)
    assert finding.verdict == verdict
    assert finding.do or verdict == "ok"


def test_clock_is_compared_with_our_files(tmp_path: Path) -> None:
    """A file of next month says that the clock lies in the past; one that does not exist says nothing."""
    path = tmp_path / "file"
    path.touch()
    (today,) = machine.check_clock([path, tmp_path / "none"])
    assert today.verdict != "fail"
    os.utime(path, ns=(0, time.time_ns() + 31 * DAY_NS))
    (behind,) = machine.check_clock([path])
    assert behind.verdict == "fail"


TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw
23 22 0:20 / /run rw - tmpfs tmpfs rw
24 22 0:21 / /var/my\040data rw - nfs4 nas:/data rw
25 22 8:3 / /srv rw - ext4 /dev/sda3 rw
26 25 8:4 / /srv rw - xfs /dev/nvme0n1 rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind", "verdict"),
    [
        ("/var/lib/edgeseq", "ext4", "warn"),
        ("/run/edgeseq", "tmpfs", "fail"),
        ("/runner", "ext4", "warn"),
        ("/var/my data/edgeseq", "nfs4", "warn"),
        ("/srv", "xfs", "ok"),
    ],
)
def test_file_system_of_a_folder_found_and_judged(path: str, kind: str, verdict: str) -> None:
    """The nearest mount counts, of two at one point the later; memory, network and cards are told."""
    mount = machine.mount_of(Path(path), TABLE)
    assert mount is not None
    assert mount.kind == kind
    assert machine.judge_mount(mount, is_durable=True).verdict == verdict


def test_file_system_of_memory_only_warns_where_nothing_is_promised() -> None:
    """With durability none the state may live in memory, but that is still told."""
    mount = machine.Mount("/run", "tmpfs", "tmpfs")
    assert machine.judge_mount(mount, is_durable=False).verdict == "warn"
    assert machine.judge_mount(machine.Mount("/", "overlay", "overlay"), is_durable=True).verdict == "warn"
    assert machine.judge_mount(None, is_durable=True).verdict == "warn"


def test_free_space_judged_by_streams() -> None:
    """What suffices for few streams does not for many; less than the journals need fails."""
    assert machine.judge_space(200 * 2**20, 1000).verdict == "ok"
    assert machine.judge_space(200 * 2**20, 100_000).verdict == "warn"
    assert machine.judge_space(2**20, 10).verdict == "fail"


def test_slow_writes_told_with_the_rate_they_allow() -> None:
    """The broker sends no more than `inflight` messages while one write is under way: 100 in 200 ms are 500/s."""
    assert machine.judge_writes([1.0, 2.0, 900.0], 100).verdict == "ok"
    slow = machine.judge_writes([200.0, 200.0, 100.0], 100)
    assert slow.verdict == "warn"
    assert "500 readings a second" in slow.found


@pytest.mark.parametrize(
    ("mode", "verdict"), [(0o600, "ok"), (0o640, "ok"), (0o660, "warn"), (0o604, "fail"), (0o646, "fail")]
)
def test_secret_judged_by_its_mode(tmp_path: Path, mode: int, verdict: str) -> None:
    """A password or key that everybody may read is none; the mode and the cure are told."""
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)
    finding = files.judge_secret("password file", path)
    assert finding.verdict == verdict
    assert verdict == "ok" or (
        f"{mode:04o}" in finding.found and f"chmod 6{'4' if verdict == 'warn' else '0'}0" in finding.do
    )


def test_files_that_others_may_change_are_told(tmp_path: Path) -> None:
    """The state folder, the configuration and a trusted key, each with rights that are too wide."""
    config = tmp_path / "edgeseq.toml"
    config.write_text(f'[node]\nstate_dir = "s"\n{STREAM}', encoding="utf-8")
    state, keys = tmp_path / "s", tmp_path / "trusted_keys"
    state.mkdir(mode=0o700)
    keys.mkdir(mode=0o755)
    (keys / "a.pub").touch(0o644)
    settled = resolved(config.read_text(encoding="utf-8"), tmp_path)
    wanted = ("state files", "configuration file", "keys' rights")

    def judged() -> list[str]:
        found = verdicts(files.check_files(config, settled))
        return [found[check] for check in wanted]

    config.chmod(0o644)
    assert judged() == ["ok", "ok", "ok"]
    state.chmod(0o755)
    config.chmod(0o664)
    (keys / "a.pub").chmod(0o646)
    assert judged() == ["warn", "warn", "fail"]
    state.chmod(0o777)
    assert judged()[0] == "fail"


def test_granted_limits_of_a_poor_broker_all_told() -> None:
    """No QoS 1, no retained messages, no wildcards, small packets, a short session: each is told."""
    settled = resolved(STREAM)
    assert [one.verdict for one in broker.judge_limits(Granted(), settled)] == ["ok"]
    poor = Granted(0, False, False, 1000, 10, 60)
    found = list(broker.judge_limits(poor, settled))
    assert [one.verdict for one in found] == ["fail", "fail", "fail", "warn", "warn", "ok"]
    assert ["1,000" in found[3].found, "65,536" in found[3].wanted, "60 s" in found[4].found] == [True] * 3


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Away(True, True, KEPT, KEPT), {"session": "ok", "queue": "ok", "window": "ok"}),
        (Away(True, True, 20, KEPT), {"session": "ok", "queue": "ok", "window": "warn"}),
        (Away(True, True, 1000, 1000), {"session": "ok", "queue": "warn", "window": "ok"}),
        (Away(True, False, 0, 0), {"session": "fail"}),
        (Away(True, True, 0, 0), {"session": "fail"}),
        (Away(False), {"session": "warn"}),
    ],
)
def test_what_waited_while_away_judged(found: Away, expected: dict[str, str]) -> None:
    """A session that is forgotten fails, a short queue or window warns, and what cannot be told is said to be."""
    assert verdicts(away.judge_away(found, 1000, "e/n/bridge/doctor")) == expected


def told(**fields: object) -> MQTTMessage:
    """Make a retained message."""
    message = MQTTMessage(topic=b"t")
    message.payload = msgspec.json.encode(fields)
    return message


def test_account_of_the_running_daemon_must_be_even() -> None:
    """The daemon's own counters are shown as the equation that they must fulfil."""
    counts = {
        "received": 12,
        "applied": 6,
        "late": 1,
        "duplicate": 2,
        "rejected": {"no_field": 1, "late": 1},
        "shed": 1,
    }
    health = {"time": "2026-03-01T10:00:00Z", "uptime_s": 1, "streams": 1, "open_alerts": 0, **counts}
    finding = broker.judge_daemon(told(state="online"), told(**health))
    assert finding.verdict == "ok"
    assert "online; 12 received = 6 applied + 1 late + 2 duplicate + 2 rejected + 1 shed" in finding.found
    assert broker.judge_daemon(told(state="online"), told(**{**health, "received": 13})).verdict == "fail"
    refusing = {**health, "rejected": {"no_field": 1, "too_many_streams": 1}}
    crowded = broker.judge_daemon(told(state="online"), told(**refusing))
    assert crowded.verdict == "warn"
    assert "1 readings of further ones refused" in crowded.found
    assert broker.judge_daemon(None, None).found == "not seen yet"
    assert broker.judge_daemon(told(state="dancing"), None).verdict == "warn"


def test_mosquitto_of_this_machine_judged_by_its_files(tmp_path: Path) -> None:
    """The file we ship is well; without it, or for another port, nothing can be seen; persistence off fails."""
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"# Debian\ninclude_dir {CONF.parent}\n", encoding="utf-8")
    (shipped,) = mosquitto.check_mosquitto(1883, is_here=True, conf=conf)
    assert shipped.verdict == "ok", shipped
    unseen = [
        *mosquitto.check_mosquitto(1884, is_here=True, conf=conf),
        *mosquitto.check_mosquitto(1883, is_here=False, conf=conf),
        *mosquitto.check_mosquitto(1883, is_here=True, conf=tmp_path / "none"),
    ]
    assert [one.verdict for one in unseen] == ["warn"] * 3
    judged = [
        mosquitto.judge_options([("listener", "1883"), *options]).verdict
        for options in (
            [],
            [("persistence", "true")],
            [("persistence", "true"), ("autosave_interval", "0")],
            [("persistence", "true"), ("autosave_interval", "60"), ("autosave_on_changes", "true")],
            [("persistence", "true"), ("autosave_interval", "60")],
        )
    ]
    assert judged == ["fail", "warn", "warn", "warn", "ok"]


def test_runtimes_judged_by_what_is_configured() -> None:
    """With auto numpy is a way out, worth a word; a runtime that was asked for by name must work."""
    assert models.judge_runtimes("auto", {"litert": None, "tflite": "broken"}).verdict == "ok"
    assert models.judge_runtimes("auto", {"litert": "absent", "tflite": "absent"}).verdict == "warn"
    assert models.judge_runtimes("numpy", {}).verdict == "ok"
    refused = models.judge_runtimes("tflite", {"tflite": "absent"})
    assert (refused.verdict, "edgeseq[tflite]" in refused.do) == ("fail", True)


def test_runtime_that_is_absent_is_said_to_be() -> None:
    """The child answers for a runtime that works and for a name that is none."""
    assert models.runtime_answer("numpy") is None
    assert models.runtime_answer("no such") is not None


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({"fields": ("v",), "time_field": "t"}, "ok", "t and value"),
        ({"fields": ("v",), "time_field": "t", "id_field": "n"}, "ok", "recognised by n"),
        ({"fields": ("v",), "id_field": "n"}, "warn", "dated by its arrival"),
        ({"fields": ("v",)}, "warn", "neither time nor id"),
        ({}, "warn", "let the sensor send JSON"),
        (
            {"topics": (), "channels": {"a": ChannelSource("x", "v")}, "name": "p"},
            "warn",
            "neither time nor id",
        ),
    ],
)
def test_rule_judged_by_what_identifies_its_readings(
    changes: dict[str, object], verdict: str, said: str
) -> None:
    """What comes again after a crash is recognised by id, or by time and value, or hardly."""
    finding = judge_rule(msgspec.structs.replace(RULE, **changes))
    assert finding.verdict == verdict
    assert said in str(finding)


def test_settings_that_lose_readings_are_told() -> None:
    """No journal, QoS 0; with the defaults neither is a matter."""
    text = f'[journal]\ndurability = "none"\n[mqtt]\nqos = 0\n{STREAM}'
    expected = dict.fromkeys(("durability", "quality of service", "streams a/+"), "warn")
    assert verdicts(check_streams(resolved(text))) == expected
    assert verdicts(check_streams(resolved(STREAM))) == {"durability": "ok", "streams a/+": "warn"}


def test_configuration_that_cannot_be_read_is_the_only_finding(tmp_path: Path) -> None:
    """Where nothing is known nothing else is looked at."""
    (finding,) = examine(tmp_path / "none.toml")
    assert (finding.verdict, finding.check) == ("fail", "configuration")
    assert "edgeseq config show --defaults" in finding.do
