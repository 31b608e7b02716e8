"""Machines as network namespaces: the product between hosts, over cables that can be pulled."""
