"""One file per model family; imported in the model process only."""
