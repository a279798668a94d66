"""Looks at each part of a set-up, and says what is wrong with it and what to do."""
