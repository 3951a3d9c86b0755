"""Sources by declaration: the kinds of system that extracts come from, each a Dagster component.

Put here a kind of source that any domain may have, and what several kinds share. Keep out what one domain's source
means: its contract, its names, its layouts.
"""
