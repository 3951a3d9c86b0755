"""Pages: Dagster's web server, in which each person may do what the person's role may.

Put here what a role may do, and what holds people to it. Keep out who has which role (``people``), and how a person
proves who it is (``deploy/proxy/nginx.conf``).
"""
