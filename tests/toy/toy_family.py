"""A family that compares all images of a job, and gets more than a prompt."""

from collections.abc import Sequence

from PIL import Image

from shared.messages import Result
from tests.toy.toy_task import COMPARE, Comparison
from workers.model.family import LoadContext, PreparedJob


class Toy:
    """Answers whether the images of a job have the same colour."""

    def __init__(self, context: LoadContext) -> None:
        del context

    def prepare(self, image: Image.Image) -> bytes:
        return image.resize((1, 1)).tobytes()

    def predict(self, jobs: Sequence[PreparedJob], max_images: int) -> list[Result]:
        del max_images
        return [Result({COMPARE: compare(job)}) for job in jobs]


def compare(job: PreparedJob) -> Comparison:
    asked = job.instructions
    schema = sorted(asked.output_schema or {})
    return Comparison(
        same=len(set(job.images)) == 1,
        instructions=f"{asked.prompt}|{asked.system}|{','.join(schema)}",
    )
