"""Who may read what on the hub, and how it says that somebody may not."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Refusal(NamedTuple):
    """A reply that refuses."""

    status: int
    code: str
    """For the header ``X-Error-Code``; empty: the hub sends none."""
    message: str
    """For the header ``X-Error-Message``."""


NO_REPOSITORY = "Repository not found"


@dataclass
class Access:
    """The tokens that the hub knows, and repositories that are not for everyone."""

    tokens: set[str] = field(default_factory=set)
    private: dict[str, set[str]] = field(default_factory=dict)
    """Repository → tokens that may know of it."""
    gated: dict[str, set[str]] = field(default_factory=dict)
    """Repository → tokens of those who have accepted its licence."""
    narrow: set[str] = field(default_factory=set)
    """Fine-grained tokens that may not read contents."""

    def refusal(self, repo: str, token: str, *, is_known: bool, contents: bool) -> Refusal | None:
        """Return why a request is refused, if it is.

        Args:
            repo: its repository.
            token: of its sender; empty: none.
            is_known: whether there is such a repository.
            contents: whether a file is asked for; what files there are is public if they are gated.
        """
        if token and token not in self.tokens:
            return Refusal(401, "", "Invalid credentials in Authorization header")
        if not is_known or token not in self.private.get(repo, {token}):
            return Refusal(404 if token else 401, "RepoNotFound", NO_REPOSITORY)
        if not contents or token in self.gated.get(repo, {token}) - self.narrow:
            return None
        if token in self.narrow:
            return Refusal(403, "", "Your token may not read the contents of repositories")
        if token:
            return Refusal(
                403,
                "GatedRepo",
                f"Access to model {repo} is restricted and you are not in the authorized list",
            )
        return Refusal(
            401,
            "GatedRepo",
            f"Access to model {repo} is restricted. You must be authenticated to access it",
        )
