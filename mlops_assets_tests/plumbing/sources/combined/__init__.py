"""Tests of ``plumbing.sources.combined``."""
