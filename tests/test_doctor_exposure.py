"""What the doctor says of strangers at the broker and of who may ask the node for things."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.doctor.exposure import check_exposure, judge_requests, judge_strangers, public_listeners
from edgeseq.doctor.finding import Finding
from edgeseq.doctor.mosquitto import read_options
from tests.support.broker import free_port, running_broker

DEPLOY = Path(__file__).parents[1] / "deploy"


@pytest.mark.parametrize(
    ("is_open", "places", "verdict"),
    [
        (False, None, "ok"),
        (False, ["*:1883"], "ok"),
        (True, [], "ok"),
        (True, None, "warn"),
        (True, ["*:1883"], "fail"),
    ],
)
def test_strangers_judged_by_where_the_broker_listens(
    is_open: bool, places: list[str] | None, verdict: str
) -> None:
    """Open on this machine only is well, elsewhere it is not; where it cannot be seen it is told."""
    finding = judge_strangers(is_open=is_open, places=places)
    assert finding.verdict == verdict
    assert bool(finding.do) == (verdict != "ok")


@pytest.mark.parametrize(
    ("is_on", "is_open", "has_list", "verdict"),
    [
        (False, True, False, "ok"),
        (True, False, True, "ok"),
        (True, True, True, "warn"),
        (True, False, False, "warn"),
        (True, False, None, "warn"),
    ],
)
def test_requests_need_an_access_list(
    is_on: bool, is_open: bool, has_list: bool | None, verdict: str
) -> None:
    """Where they are on, only a list that is seen, and a broker that knows who speaks, are well."""
    assert judge_requests(is_on=is_on, is_open=is_open, has_list=has_list).verdict == verdict


def test_shipped_files_listen_where_they_say() -> None:
    """The plain one on this machine alone; the secure one on the network, too."""
    assert public_listeners(read_options(DEPLOY / "mosquitto.conf")) == []
    assert public_listeners(read_options(DEPLOY / "mosquitto-secure.conf")) == ["*:8883", "*:8884"]


def resolved(port: int, folder: Path, more: str = "") -> Resolved:
    """Resolve a configuration for a broker on this machine."""
    node = f'[node]\nname = "n"\nrequests = true\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{more}'
    text = f'{node}[[streams]]\ntopic = "a"\nevery = "1s"\n'
    return resolve(parse_config(text), folder, environment={"HOME": "/nowhere"})


def found(settled: Resolved, conf: Path) -> dict[str, Finding]:
    """Check it as a broker of this machine whose configuration lies in a file."""
    return {one.check: one for one in check_exposure(settled, "doctor", is_here=True, conf=conf)}


@pytest.mark.system
def test_stranger_is_tried_at_a_real_broker(tmp_path: Path) -> None:
    """A broker that lets anybody in is told, by its file also where; one that asks for names is well."""
    conf = tmp_path / "seen.conf"
    conf.write_text("listener 1883\nallow_anonymous true\n", encoding="utf-8")
    with running_broker(tmp_path / "open") as broker:
        told = found(resolved(broker.port, tmp_path), conf)
    assert told["strangers"].verdict == "fail"
    assert "*:1883" in told["strangers"].found
    assert told["requests"].verdict == "warn"

    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    conf.write_text("listener 1883\nacl_file /etc/mosquitto/acl\n", encoding="utf-8")
    with running_broker(tmp_path / "closed", "allow_anonymous false", f"password_file {passwords}") as broker:
        told = found(resolved(broker.port, tmp_path), conf)
    assert {one.verdict for one in told.values()} == {"ok"}


def test_broker_that_is_not_there_lets_nobody_in(tmp_path: Path) -> None:
    """No answer is no open door."""
    assert found(resolved(free_port(), tmp_path), tmp_path / "none")["strangers"].verdict == "ok"
