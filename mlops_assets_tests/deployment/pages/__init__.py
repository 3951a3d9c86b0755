"""Tests of the pages: what each role may do at a real web server, before real code locations."""
