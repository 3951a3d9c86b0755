"""The audit: staged rows judged against their contract, and failing rows set aside where it allows that.

Put here running the rules and what came of it. Keep out declaring them (``contracts``).
"""
