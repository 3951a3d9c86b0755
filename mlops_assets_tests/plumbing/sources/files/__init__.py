"""Tests of ``plumbing.sources.files``."""
