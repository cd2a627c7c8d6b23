"""Numbers that say how good a generator is, each with its protocol. `METRICS` is the table, `evaluate` takes them."""
