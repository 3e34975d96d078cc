"""The demo: an invented neighbourhood in which something goes on, for a first look at Linli."""
