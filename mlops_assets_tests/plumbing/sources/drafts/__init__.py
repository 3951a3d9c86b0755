"""Tests of ``plumbing.sources.drafts``."""
