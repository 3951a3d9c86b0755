"""Tests of ``plumbing.sources.formats``."""
