"""What every slice stands on: settings, clock, ids, database, outbox, live topics, secrets."""
