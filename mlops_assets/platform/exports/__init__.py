"""Exports: signed, immutable folders by which tables and models reach the service.

Put here their making, verifying and history. Keep out what of a domain goes into them, and serving it.
"""
