"""Documents made of a report: CSV, JSON, timeline, the text summary; and the `Exporter` protocol.

Owns: formats and how files are written. Must not know a run in progress.
"""

from chaperon_engine.export.exporter import Exporter, check_options, find, formats, write
from chaperon_engine.export.files import Destination, ExportError, write_file

__all__ = [
    "Destination",
    "ExportError",
    "Exporter",
    "check_options",
    "find",
    "formats",
    "write",
    "write_file",
]
