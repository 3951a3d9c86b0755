"""Tests of the assets of wrangling."""
