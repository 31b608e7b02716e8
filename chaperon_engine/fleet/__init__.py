"""Placing agents on other hosts with an engine that exists: dask, ssh, Kubernetes.

It starts agents and hears of their ends; what they measure goes over their own connection.
"""
