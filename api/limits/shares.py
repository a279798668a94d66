"""How much of a room requests may take, by their priority."""

from shared.vocabulary import Priority

SHARES = {Priority.PERSON: 1.0, Priority.BULK: 0.75}
"""Which part may be taken, by whomsoever, when a request of this priority gets some: bulk work
leaves the rest to persons."""
