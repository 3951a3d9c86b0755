"""Tests of anybody's files."""
