"""Bodies without I/O of their own: lift JSON off the wire, splice blobs back in, keep large strings as blobs."""
