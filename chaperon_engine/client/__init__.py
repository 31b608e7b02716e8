"""What front doors use: find and describe scenarios, launch and attach to runs, read their reports.

Everything here works without a terminal and from inside or outside of an event loop as its
signature says. Must not know: who draws what it answers.

Nothing is imported here: who looks for scenarios need not load what speaks with a run.
"""
