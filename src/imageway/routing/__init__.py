"""Which candidates serve a request, in which order, and which of them are healthy. Decisions only, no I/O."""
