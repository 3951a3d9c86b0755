"""Security: keys, tokens, revocations and signatures.

Put here making and verifying them. Keep out who may do what (the service) and where secrets come from (``settings``).
"""
