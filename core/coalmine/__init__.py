"""The shared kernel of Coalmine: the pure model, and the only way to the API server."""
