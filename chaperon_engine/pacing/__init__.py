"""Intended start times and the exact partition of work among workers. Pure."""

from chaperon_engine.pacing.partition import count_share, share, start_offset_s

__all__ = ["count_share", "share", "start_offset_s"]
