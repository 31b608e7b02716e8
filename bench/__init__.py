"""Measures what a request, an idle session and a start cost, beside other load generators.

`python -m bench peers|memory|startup|setup`; the method is told in `docs/performance.md`.
"""
