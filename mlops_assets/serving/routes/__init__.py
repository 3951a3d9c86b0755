"""The addresses of the service: what each takes and answers, one module for each subject.

Put here a route. Keep out what holds for all of them (``http``, ``identity``) and how an answer is found (``exports``).
"""
