"""Who asks, and what they may: tokens, client certificates, scopes, limits.

Put here a way to prove who one is, or a rule about what somebody may do. Keep out what is answered.
"""
