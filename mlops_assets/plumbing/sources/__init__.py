"""Sources by declaration: the kinds of system that extracts come from, each a Dagster component.

Put here a kind of source that any domain may have, and what several kinds share. Keep out what one domain's source
means: its contract, its names, its layouts.

A kind is a ``Source`` (``source``) that reads what it is asked for into rows (``delivered``). What becomes of them is
the same for all (``extraction``): they are kept as they came (``incoming``), brought into the contract's columns
(``layout``, ``text_rules``) and perhaps merged (``increments``). Kinds are in ``files``, ``http``, ``sql``, ``command``
and ``dlt``.
"""
