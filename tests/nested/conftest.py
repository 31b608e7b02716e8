"""A real target for each test."""

from tests.session.conftest import target

__all__ = ["target"]
