"""The admin API, /admin/v1: what operators do, for programs. Its keys are its own; what it does, the functions of
server.administration do, as for the command line."""
