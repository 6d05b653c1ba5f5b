"""Everything outbound: upstream calls with credentials, and the safe fetcher for URLs that strangers wrote."""

from imageway.core.failures import FetchRefused, TransportFailed
from imageway.transport.client import Transport

__all__ = ["FetchRefused", "Transport", "TransportFailed"]
