"""How many alerts each table raises in a week, beside its budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from edgeseq.adapters.log import Log
from edgeseq.core.budget import EXCEEDED, Rate, counted, per_week
from edgeseq.core.payloads import AlertRate
from edgeseq.core.types import StreamRule


class Rates:
    """A decayed count for each table; kept in the ledger."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._rates: dict[str, Rate] = {}
        self._exceeded: set[str] = set()

    def begin(self, tables: Iterable[str], now_ns: int) -> None:
        """Count from now on where nothing was counted yet."""
        for table in tables:
            self._rates.setdefault(table, Rate(now_ns, now_ns))

    def count(self, table: str, group: str, time_ns: int) -> None:
        """Count an alert that has opened."""
        self.begin([table], time_ns)
        self._rates[table] = counted(self._rates[table], group, time_ns)

    def dump(self) -> dict[str, str]:
        """Write all for the ledger."""
        return {name: msgspec.json.encode(rate).decode() for name, rate in self._rates.items()}

    def load(self, kept: Mapping[str, str]) -> None:
        """Go on with what was kept."""
        self._rates |= {name: msgspec.json.decode(text, type=Rate) for name, text in kept.items()}

    def told(self, rules: Iterable[StreamRule], now_ns: int) -> list[AlertRate]:
        """Tell what each table raises."""
        return [
            AlertRate(
                table=rule.key,
                per_week=None if (found := self._per_week(rule.key, now_ns)) is None else round(found, 3),
                budget=rule.alerts_per_week or None,
            )
            for rule in rules
        ]

    def tell_exceeded(self, rules: Iterable[StreamRule], now_ns: int) -> None:
        """Log which tables have begun to raise far more than their budget."""
        for rule in rules:
            budget, found = rule.alerts_per_week, self._per_week(rule.key, now_ns)
            if not budget or found is None or found <= EXCEEDED * budget:
                self._exceeded.discard(rule.key)
            elif rule.key not in self._exceeded:
                self._exceeded.add(rule.key)
                self.log("budget.exceeded", table=rule.key, per_week=round(found, 2), budget=budget)

    def _per_week(self, table: str, now_ns: int) -> float | None:
        rate = self._rates.get(table)
        return None if rate is None else per_week(rate, now_ns)
