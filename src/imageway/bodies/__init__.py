"""Bodies: JSON lifted off the wire and spliced back, forms, streams of events, and the blobs that large strings become
on the way. Nothing here opens a socket; the only files are those of the spool."""

from imageway.bodies.base64_text import InvalidBase64
from imageway.bodies.blobs import StoredBlob, base64_blob, blob_of
from imageway.bodies.budget import Budget, SpoolFull
from imageway.bodies.event_reader import EventLimits, read_events
from imageway.bodies.event_writer import event_chunks, stream_payload
from imageway.bodies.files import Run
from imageway.bodies.form_heads import boundary_of
from imageway.bodies.form_reader import FormLimits, FormReader, read_form
from imageway.bodies.formats import is_complete, sniff_format
from imageway.bodies.forms import form_payload
from imageway.bodies.headers import HeaderReader
from imageway.bodies.lift import JsonLifter, lift_json, lift_small
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.payload import Payload, whole
from imageway.bodies.splice import json_payload
from imageway.bodies.spool import Scope, Spool
from imageway.bodies.streams import BlobTooLarge, decoded, digest, encoded, read_decoded
from imageway.bodies.writer import BlobWriter

__all__ = [
    "BlobTooLarge",
    "BlobWriter",
    "Budget",
    "EventLimits",
    "FormLimits",
    "FormReader",
    "HeaderReader",
    "InvalidBase64",
    "JsonLifter",
    "LiftError",
    "LiftLimits",
    "Payload",
    "Run",
    "Scope",
    "Spool",
    "SpoolFull",
    "StoredBlob",
    "base64_blob",
    "blob_of",
    "boundary_of",
    "decoded",
    "digest",
    "encoded",
    "event_chunks",
    "form_payload",
    "is_complete",
    "json_payload",
    "lift_json",
    "lift_small",
    "read_decoded",
    "read_events",
    "read_form",
    "sniff_format",
    "stream_payload",
    "whole",
]
