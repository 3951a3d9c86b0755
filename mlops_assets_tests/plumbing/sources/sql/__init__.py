"""Tests of ``plumbing.sources.sql``."""
