"""Work outside requests: the outbox relay, the schedule, and one module of jobs a slice."""
