"""Panels: what many units of several groups measured over time, and one named cause for each group and time.

Put here what is concluded from counts and measures alone. Keep out entities that are
followed from one snapshot to the next (``linked``).
"""
