"""What a vision task is, and the registry of all tasks. No task is named in this module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class TaskSpec:
    """One vision task; everything that API and workers do with it follows from these fields."""

    name: str
    """Name in routes, rows of the catalogue, queues, metrics and replies."""
    payload: Any
    """Type of the answer to a job, validated and documented by pydantic."""
    combine: Callable[[Sequence[Any]], Any]
    """Combines the answers for a job's images, in order, into the payload.

    An answer is ``None`` where the model gave none; a payload of ``None`` is left out of the reply.
    """
    as_text: Callable[[Any], str]
    """Renders a payload as text, for clients of Ollama's API."""
    as_data: Callable[[Any], Any] | None = None
    """Renders a payload as JSON, for such clients that request a format; default: as in a reply."""
    for_unreadable: Callable[[str], Any] | None = None
    """Makes the entry of an image that could not be read from the reason, in a payload that has one
    entry per image; by default such images do not appear in the payload."""
    is_structured: bool = False
    """The answer is data rather than a sentence: preferred where a client requests a format."""
    is_verbatim: bool = False
    """The answer is what the model wrote: its text is the reply to clients of Ollama's API, also if
    they request a format."""
    aliases: tuple[str, ...] = ()
    """Other names in routes."""
    on_base_route: bool = True
    """Requests that name no task get its answer."""
    needs_image: bool = True
    needs_text: bool = False
    """It has no answer without a prompt."""
    max_images: int = 0
    """Most images of a request, where that is more than VISION_MAX_IMAGES: of tasks whose images
    are small and many."""
    field_name: str = ""
    """Name of the answer in ``result`` of a reply; default: the task's."""
    advice: str = ""
    """What to do where no model here does it, as whole sentences."""
    adapter: "TypeAdapter[Any]" = field(init=False, repr=False, compare=False)
    """Reads and writes payloads."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "adapter", TypeAdapter(self.payload))
        object.__setattr__(self, "field_name", self.field_name or self.name)

    def with_unreadable(self, payload: Any, reasons: Mapping[int, str]) -> Any:  # noqa: ANN401 - the payload
        """Return a payload that also has the images that could not be read.

        Args:
            payload: combined from the answers for the images that could be read.
            reasons: why the others could not be, by their positions among all images.
        """
        if self.for_unreadable is None:
            return payload
        entries = iter(payload)
        return tuple(
            self.for_unreadable(reasons[position]) if position in reasons else next(entries)
            for position in range(len(payload) + len(reasons))
        )

    def combine_payloads(self, payloads: Sequence[Any]) -> Any:  # noqa: ANN401 - the payload
        """Combine payloads, each of a single image, as :attr:`combine` does the answers."""
        if self.for_unreadable is not None:  # one entry per image
            payloads = [payload and payload[0] for payload in payloads]
        return self.combine(payloads)

    def to_data(self, payload: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a payload as JSON for clients of Ollama's API that request a format."""
        if self.as_data:
            return self.as_data(payload)
        return self.adapter.dump_python(payload, mode="json", by_alias=True, exclude_none=True)


_tasks: dict[str, TaskSpec] = {}
_names: dict[str, str] = {}


def register(spec: TaskSpec) -> TaskSpec:
    """Register a task; tasks keep the order of the calls.

    Raises:
        ValueError: one of its names is taken.
    """
    for name in (spec.name, *spec.aliases):
        if name in _names:
            msg = f"the task {_names[name]!r} is called {name!r} already"
            raise ValueError(msg)
    _names.update(dict.fromkeys((spec.name, *spec.aliases), spec.name))
    _tasks[spec.name] = spec
    return spec


def all_tasks() -> tuple[TaskSpec, ...]:
    """Return all tasks, in order."""
    return tuple(_tasks.values())


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, in order."""
    return tuple(_tasks)


def base_tasks() -> tuple[str, ...]:
    """Return the tasks of a request that names none, in order."""
    return tuple(spec.name for spec in _tasks.values() if spec.on_base_route)


def path_words() -> tuple[str, ...]:
    """Return all path segments that name a task: names, then aliases."""
    return (*_tasks, *(word for word in _names if word not in _tasks))


def find_task(word: str) -> TaskSpec:
    """Return the task with this name or alias.

    Raises:
        ValueError: there is none.
    """
    try:
        return _tasks[_names[word]]
    except KeyError:
        msg = f"there is no task {word!r}; tasks: {', '.join(_tasks)}"
        raise ValueError(msg) from None


class _KnownTask:
    """Has pydantic check names of tasks against the registry when it validates them."""

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_after_validator_function(
            lambda word: find_task(word).name, core_schema.str_schema()
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(_tasks)}


Task = Annotated[str, _KnownTask()]
"""Name of a registered task."""
