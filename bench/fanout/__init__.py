"""Live updates to many sockets: what a message costs, and how late the last one is."""
