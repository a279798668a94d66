"""A family that compares all images of a job, and gets more than a prompt."""

from collections.abc import Sequence

from PIL import Image

from shared.messages import Result
from tests.toy.toy_task import COMPARE, Comparison
from workers.model.family import LoadContext, PreparedJob
from workers.preparing.pixels import squash
from workers.preparing.preparation import Prepared


class Toy:
    """Answers whether the images of a job have the same colour."""

    preparation = squash((1, 1), Image.Resampling.BICUBIC)

    def __init__(self, context: LoadContext) -> None:
        del context

    def prepare(self, image: Prepared) -> bytes:
        return image.content

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
