"""The same examples in each run, and no deadline that a busy machine could miss."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
