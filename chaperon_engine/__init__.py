"""The headless engine of Chaperon. Front doors import from here only."""
