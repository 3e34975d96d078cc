"""Taking one's data along and closing one's account: the face of the slice."""
