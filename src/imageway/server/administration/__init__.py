"""What operators do, as functions: the command line and the admin API say the same with them. Each change is one commit
together with its row in the audit log."""
