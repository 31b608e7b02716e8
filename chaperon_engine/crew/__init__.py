"""The worker processes of one host: forked, pinned, talked to, watched. For whoever leads them."""
