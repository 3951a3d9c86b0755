"""Random faults of sources: rounds that break one thing each, for the campaign ``make chaos NAME=sources`` and a test.

Put here what is broken, by kind of source, and what must hold then. Keep out processes and summaries (``chaos``).
"""
