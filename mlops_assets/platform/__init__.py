"""The platform: lakes, the audit gate, the published-asset decorator, automation, alerts, settings and security.

Put here what any domain would need. Keep out anything that knows about voters, districts or elections.
"""
