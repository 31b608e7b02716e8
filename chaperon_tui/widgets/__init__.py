"""Widgets that only draw: they turn view models into lines and keys into messages."""
