"""Tests of the Python driver: `python3 -m unittest discover -s drivers/python/tests`."""
