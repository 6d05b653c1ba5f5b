"""Tasks, parts and attempts: their states, their durable changes, their questions. No SQL here, and no money."""
