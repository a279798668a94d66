"""HTTP itself: requests in, errors out, keys, ids, the client's connection."""
