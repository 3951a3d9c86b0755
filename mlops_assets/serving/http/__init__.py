"""What holds for every request and answer, whatever it is about: bodies, problems, headers, logs, figures.

Put here what a route of any subject needs of HTTP. Keep out who asks (``identity``), what is answered from
(``exports``) and the routes.
"""
