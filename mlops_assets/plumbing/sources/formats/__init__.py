"""Formats: what is in a file, from its bytes to rows of text or typed columns.

Put here a format, and what it needs to be read. Keep out where files come from, and what text means (``text_rules``).
"""
