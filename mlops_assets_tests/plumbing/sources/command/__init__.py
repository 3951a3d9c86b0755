"""Tests of ``plumbing.sources.command``."""
