"""A daemon without a broker, for what people do about alerts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core.types import Message, Outgoing, Tick
from edgeseq.daemon import Daemon, read_config
from edgeseq.daemon.life import start

S = 10**9
T0 = 1_772_359_200 * S
ROOT = "edgeseq/attic/bridge/request"

CONFIG = """
[node]
name = "attic"
state_dir = "s"
clock = "readings"
requests = true
[journal]
durability = "{mode}"
[[streams]]
topic = "t/+"
field = "v"
time = "time"
every = "10s"
limits = {{ max = 9 }}
silent_after = "90d"
alerts_per_week = 2
"""


class Bench:
    """A daemon without a broker: what it is given and what it hands over. It may be killed and made again."""

    def __init__(self, folder: Path, mode: str = "strict", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "edgeseq.toml"
        self.path.write_text(CONFIG.format(mode=mode) + more, encoding="utf-8")
        self.log: list[str] = []
        self.sent: list[Outgoing] = []
        self.now_ns = T0
        self.mid = 0
        self.start()

    def start(self) -> None:
        """Begin, or go on with what the last one left."""
        resolved = read_config(self.path)
        node = open_node(resolved, state_dir=resolved.state_dir, log=self._say)
        self.daemon = Daemon(self.path, node, open_log("error"), Notifier(None))
        self.daemon.log = self._say
        self.daemon.link.publish = self.sent.extend  # type: ignore[assignment, method-assign]
        self.daemon.link.unacknowledged = list  # type: ignore[method-assign]
        start(self.daemon)
        self.daemon.schedule.stop()

    def _say(self, event: str, **_: Any) -> None:
        self.log.append(event)

    def kill(self) -> None:
        """Let it end without a word, as a crash would."""
        node = self.daemon.node
        assert node.store
        node.store.close()
        if node.desk:
            node.desk.ledger.close()
        self.daemon.link.close()
        self.daemon.inbox.close()

    def read(self, step: int, value: float, topic: str = "t/a") -> None:
        """Give a reading of a step."""
        self.now_ns = T0 + 10 * step * S
        self._take(topic, {"v": value, "time": self.now_ns / S})

    def ask(self, verb: str, **asked: Any) -> dict[str, Any]:
        """Ask something; gives the answer."""
        before = len(self.sent)
        self._take(f"{ROOT}/{verb}", asked)
        answers = [out for out in self.sent[before:] if "/bridge/response/" in out.topic]
        assert len(answers) == 1
        content: dict[str, Any] = json.loads(answers[0].payload)
        return content

    def tick(self) -> None:
        """Let a second go by."""
        self.daemon.take([Tick(self.now_ns)])

    def _take(self, topic: str, content: dict[str, Any]) -> None:
        self.mid = self.mid % 60_000 + 1
        message = Message(topic, json.dumps(content).encode(), self.now_ns, mid=self.mid)
        self.daemon.take([Deliveries([message], self.daemon.link.generation)])
        self.daemon.commit_all()

    def told(self) -> set[bytes]:
        """Give all alert events, each once."""
        return {out.payload for out in self.sent if out.topic.endswith("/alert")}

    def kinds(self) -> list[str]:
        """List the alert events' types in the order in which they were first told."""
        seen = dict.fromkeys(out.payload for out in self.sent if out.topic.endswith("/alert"))
        return [json.loads(payload)["event_type"] for payload in seen]

    def last(self, topic: str) -> Any:
        """Give what a topic says."""
        payload = [out.payload for out in self.sent if out.topic == f"edgeseq/attic/{topic}"][-1]
        return json.loads(payload) if payload[:1] == b"{" else payload.decode()

    def open_id(self) -> str:
        """Give the id of the only open alert."""
        (alert,) = self.last("bridge/alerts")["alerts"]
        return str(alert["id"])


def history(bench: Bench) -> list[Any]:
    """Give the history, without numbers."""
    bench.tick()
    entries = bench.ask("alerts", limit=50)["alerts"]
    return [{key: value for key, value in entry.items() if key != "number"} for entry in entries]
