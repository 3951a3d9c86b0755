"""Tests of the demonstrations' own parts; what they demonstrate is tested where it lives."""
