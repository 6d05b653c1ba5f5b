"""The life of a request: it alone brings routing, ledger, tasks, media and the outside world together."""
