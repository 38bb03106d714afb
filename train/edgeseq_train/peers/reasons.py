"""Why a peer cannot be used."""

from __future__ import annotations

NO_SEASON = "the recording has no room for three days or three weeks"
