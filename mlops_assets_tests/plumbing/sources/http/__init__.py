"""Tests of ``plumbing.sources.http``."""
