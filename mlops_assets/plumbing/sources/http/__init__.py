"""HTTP: services, files and pages that are asked for by address.

Put here what holds for HTTP alone: clients, answers, faults, accounts, and the kinds that ask so (``rest``, ``file``).
Keep out what is in an answer (``formats``) and what all kinds share.
"""
