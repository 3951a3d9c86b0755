"""Code location 2: cleaned and pseudonymous tables, features, and the variance of both over time.

Put here transforms as pure functions of Ibis tables, and their assets. Keep out SQL of one engine,
connectors and models.
"""
