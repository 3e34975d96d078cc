"""Two members who are one person: the face of the slice."""
