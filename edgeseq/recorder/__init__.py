"""Recordings: messages as they came (for replay and tuning), or their readings (for training), compressed.

files.py   the file: whole up to its last flush, whatever happens      messages.py  messages ↔ JSON lines
readings.py  messages → readings by a configuration; CSV, a row each   past.py      what a running node remembers
"""
