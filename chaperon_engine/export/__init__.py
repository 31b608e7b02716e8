"""What becomes of a finished report: documents in files, points and objects in the network, text.

Owns: formats, how each is written or sent, what a person can say to it. Must not know a run in
progress.
"""

from chaperon_engine.export.exporter import (
    Encoded,
    Exporter,
    FileExporter,
    Option,
    Output,
)
from chaperon_engine.export.files import Destination, ExportError, write_file
from chaperon_engine.export.registry import ExportFormat, describe, find, formats
from chaperon_engine.export.writing import Written, check, write, write_all

__all__ = [
    "Destination",
    "Encoded",
    "ExportError",
    "ExportFormat",
    "Exporter",
    "FileExporter",
    "Option",
    "Output",
    "Written",
    "check",
    "describe",
    "find",
    "formats",
    "write",
    "write_all",
    "write_file",
]
