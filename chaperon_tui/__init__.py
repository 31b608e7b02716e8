"""The terminal UI of Chaperon."""
