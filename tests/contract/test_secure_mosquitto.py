"""The shipped secure broker: its certificates, listeners and access list in a real mosquitto."""

from __future__ import annotations

import getpass
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.doctor.broker import check_broker
from tests.support.broker import free_port, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
USERS = ("zigbee2mqtt", "edgeseq", "operator", "workstation", "dashboard")
PORTS = ("1883", "8883", "8884")
ROOT = "edgeseq/cellar"
INPUT, REQUEST, RESULT = "zigbee2mqtt/stove", f"{ROOT}/bridge/request/health", f"{ROOT}/stove/forecast"
UPDATE = f"{ROOT}/bridge/update/release"
TOPICS = (INPUT, REQUEST, UPDATE, RESULT)


class Secured:
    """The running broker: its folder, and the port that stands for each of the file's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = folder / "certs"
        self.ports = {port: free_port() for port in PORTS}
        script = str(DEPLOY / "security/make-certificates")
        subprocess.run([script, str(self.certificates), "localhost", *USERS], check=True, capture_output=True)
        for user in USERS:
            made = ["mosquitto_passwd", *([] if (folder / "passwd").exists() else ["-c"]), "-b"]
            subprocess.run([*made, str(folder / "passwd"), user, f"{user}-secret"], check=True)
        (folder / "edgeseq.acl").write_bytes((DEPLOY / "security/edgeseq.acl").read_bytes())
        for name in ("passwd", "edgeseq.acl"):
            (folder / name).chmod(0o600)
        text = (DEPLOY / "mosquitto-secure.conf").read_text(encoding="utf-8")
        for port, ours in self.ports.items():
            text = re.sub(rf"^listener {port}$", f"listener {ours} 127.0.0.1", text, flags=re.MULTILINE)
            text = text.replace(f"listener {port} ", f"listener {ours} ")
        text = text.replace("/etc/mosquitto/", f"{folder}/")
        self.conf = folder / "mosquitto.conf"
        self.conf.write_text(
            f"{text}\nuser {getpass.getuser()}\npersistence_location {folder}/\n", encoding="utf-8"
        )

    def client(self, user: str | None, *, password: str | None = None, port: str = "1883") -> Guest:
        """Connect as a user: by password, or on 8884 by certificate."""
        files = (
            [self.certificates / f"{user}{end}" for end in (".pem", ".key")]
            if port == "8884" and user
            else None
        )
        ca = self.certificates / "ca.pem" if port != "1883" else None
        return Guest(self.ports[port], None if files else user, password or f"{user}-secret", ca, files)


class Guest:
    """A client that says what it was told."""

    def __init__(
        self, port: int, user: str | None, password: str, ca: Path | None, files: list[Path] | None
    ) -> None:
        self.reason: ReasonCode | None = None
        self.fault: Exception | None = None
        self.heard: list[MQTTMessage] = []
        self.granted = 0
        self._client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: setattr(self, "reason", reason)
        self._client.on_message = lambda _c, _d, message: self.heard.append(message)
        self._client.on_subscribe = lambda *_: setattr(self, "granted", self.granted + 1)
        if user:
            self._client.username_pw_set(user, password)
        if ca:
            certificate, key = (str(file) for file in files) if files else (None, None)
            self._client.tls_set(str(ca), certificate, key)
        try:
            self._client.connect("localhost", port)
        except (OSError, ssl.SSLError) as fault:
            self.fault = fault
            return
        self._client.loop_start()
        wait_until(
            lambda: self.reason is not None or (not self._client.is_connected() and self._gone()), "an answer"
        )

    def _gone(self) -> bool:
        return self._client.socket() is None

    def is_in(self) -> bool:
        """Tell whether the broker took it."""
        return self.fault is None and self.reason is not None and not self.reason.is_failure

    def listen(self, *filters: str) -> None:
        """Subscribe, whatever the broker then delivers."""
        before = self.granted
        self._client.subscribe([(one, 1) for one in filters])
        wait_until(lambda: self.granted > before, "an answer to the subscription")

    def say(self, topic: str) -> None:
        """Publish, and wait for the broker's acknowledgement, which says nothing of rights."""
        info = self._client.publish(topic, b"1", 1)
        assert info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        wait_until(info.is_published, "an acknowledgement")

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Run a mosquitto with the shipped files."""
    made = Secured(tmp_path_factory.mktemp("secured"))
    log = (made.folder / "log").open("wb")
    with log, subprocess.Popen(["mosquitto", "-c", str(made.conf)], stdout=log, stderr=log) as broker:
        try:
            wait_until(lambda: _listens(made, broker), "the broker listens")
            yield made
        finally:
            broker.kill()


def _listens(made: Secured, broker: subprocess.Popen[bytes]) -> bool:
    assert broker.poll() is None, (made.folder / "log").read_text()
    guest = made.client("edgeseq")
    guest.close()
    return guest.is_in()


def entered(secured: Secured, user: str | None, **how: str) -> bool:
    """Tell whether a client gets in."""
    guest = secured.client(user, **how)
    guest.close()
    return guest.is_in()


@pytest.mark.parametrize("port", PORTS)
def test_each_listener_takes_its_users_and_nobody_else(secured: Secured, port: str) -> None:
    """With its password, within TLS, or with its certificate; never without a name."""
    assert entered(secured, "edgeseq", port=port)
    assert not entered(secured, None, port=port)
    if port != "8884":
        assert not entered(secured, "edgeseq", port=port, password="wrong")


def test_certificate_of_another_authority_is_refused(secured: Secured, tmp_path: Path) -> None:
    """Who signs himself gets in nowhere, whatever name he takes."""
    script = str(DEPLOY / "security/make-certificates")
    subprocess.run([script, str(tmp_path / "own"), "localhost", "operator"], check=True, capture_output=True)
    files = [tmp_path / "own/operator.pem", tmp_path / "own/operator.key"]
    guest = Guest(secured.ports["8884"], None, "", secured.certificates / "ca.pem", files)
    guest.close()
    assert not guest.is_in()


MAY_WRITE = {
    "zigbee2mqtt": {INPUT},
    "edgeseq": {REQUEST, UPDATE, RESULT},
    "operator": {REQUEST},
    "workstation": {UPDATE},
    "dashboard": set[str](),
}
MAY_READ = {
    "zigbee2mqtt": set[str](),
    "edgeseq": {INPUT, REQUEST, UPDATE, RESULT},
    "operator": {REQUEST, UPDATE, RESULT},
    "workstation": {REQUEST, UPDATE, RESULT},
    "dashboard": {REQUEST, UPDATE, RESULT},
}


@pytest.mark.parametrize("port", ["1883", "8884"])
def test_access_list_lets_each_user_do_its_part_and_no_more(secured: Secured, port: str) -> None:
    """What each may publish and read, of an input, a request, an update and a result; a certificate is its name."""
    guests = {user: secured.client(user, port=port) for user in USERS}
    try:
        for guest in guests.values():
            guest.listen(*TOPICS)
        for user, guest in guests.items():
            for topic in TOPICS:
                guest.say(topic)
            wanted = {reader: MAY_READ[reader] & MAY_WRITE[user] for reader in USERS}
            wait_until(lambda wanted=wanted: _heard(guests) >= _pairs(wanted), f"what {user} published")  # type: ignore[misc]
            # A message behind all others, on each reader's own way, says that nothing more is coming.
            guests["edgeseq"].say(RESULT)
            wait_until(lambda: guests["dashboard"].heard[-1:] != [], "the last word")
            assert _heard(guests) - {(r, RESULT) for r in USERS if RESULT in MAY_READ[r]} <= _pairs(wanted), (
                user
            )
            for other in guests.values():
                other.heard.clear()
    finally:
        for guest in guests.values():
            guest.close()


def _heard(guests: dict[str, Guest]) -> set[tuple[str, str]]:
    return {(user, message.topic) for user, guest in guests.items() for message in list(guest.heard)}


def _pairs(wanted: dict[str, set[str]]) -> set[tuple[str, str]]:
    return {(user, topic) for user, topics in wanted.items() for topic in topics}


def configured(secured: Secured, folder: Path, mqtt: str) -> Resolved:
    """Resolve a configuration as the recipes have it."""
    (folder / "password").write_text("edgeseq-secret\n", encoding="utf-8")
    text = f"""[node]
name = "cellar"
requests = true
[mqtt]
host = "localhost"
{mqtt}
[[streams]]
topic = "zigbee2mqtt/+"
field = "temperature"
every = "10m"
"""
    return resolve(parse_config(text), folder, environment={"HOME": "/nowhere"})


@pytest.mark.parametrize("port", ["8883", "8884"])
def test_doctor_finds_nothing_wrong_with_the_recipes(secured: Secured, tmp_path: Path, port: str) -> None:
    """As the node itself: subscriptions, session and longest message pass; strangers do not."""
    files = secured.certificates
    own = (
        'username = "edgeseq"\npassword_file = "password"'
        if port == "8883"
        else f'cert_file = "{files}/edgeseq.pem"\nkey_file = "{files}/edgeseq.key"'
    )
    mqtt = f'port = {secured.ports[port]}\ntls = true\nca_file = "{files}/ca.pem"\n{own}'
    found = {one.check: one for one in check_broker(configured(secured, tmp_path, mqtt))}
    told = "\n".join(map(str, found.values()))
    for check in ("broker", "subscriptions", "session", "strangers", "longest message"):
        assert found[check].verdict == "ok", told
    assert all(one.verdict != "fail" for one in found.values()), told


def test_limits_are_those_of_the_other_file() -> None:
    """Beyond who may connect the two files say the same."""
    mark = "# --- what survives"
    plain, secure = (
        (DEPLOY / name).read_text(encoding="utf-8").partition(mark)[2]
        for name in ("mosquitto.conf", "mosquitto-secure.conf")
    )
    assert plain
    assert secure == plain
