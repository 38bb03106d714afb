"""The demo: real recordings trained, served by the real daemon, watched, checked and reported."""
