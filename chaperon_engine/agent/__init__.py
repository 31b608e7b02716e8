"""A host's process in a run on several machines: dials in, runs its share, sends frames."""
