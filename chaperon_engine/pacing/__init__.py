"""Intended start times and the exact partition of work among workers. Pure."""

from chaperon_engine.pacing.partition import count_share, place, share, start_offset_s

__all__ = ["count_share", "place", "share", "start_offset_s"]
