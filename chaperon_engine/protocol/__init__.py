"""What the processes of a run say to each other: messages, framing, leases. Sans-I/O."""
