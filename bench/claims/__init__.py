"""Claims in a drop beside the cheapest request that the same server answers."""
