"""Adapters: each wraps one outside thing and knows no other adapter."""
