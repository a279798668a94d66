"""Train the tiny checkpoints of `tests/checkpoints`.

Usage:
    python -m tools.tiny_checkpoints.train --model all --out tests/checkpoints

Shapes are hard to learn from captions alone: training stays for long at the right colour with a
wrong shape. So the vision tower is trained first, with a linear head that is thrown away, and
then the whole model on captions. Numbers of steps are fixed, so that a run can be repeated; one
thread is used, for the same reason and because more do not make such small models faster.
"""

# transformers leaves much of what it offers without types
# mypy: allow-untyped-calls

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.models.kosmos2.processing_kosmos2 import coordinate_to_patch_index
from transformers.utils import logging

from tools.tiny_checkpoints.build import BUILDERS, WIDTH, Parts, save
from tools.tiny_checkpoints.evaluate import PROMPT, chunks, measure
from tools.tiny_checkpoints.shapes import LABELS, Picture, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Loss = Callable[[Tensor], Tensor]
    """The loss on the pictures with the given indices."""

IGNORED = -100  # a target that the loss leaves out
GRID = 32  # Kosmos-2 has a token for each of 32 x 32 places
COARSE = 2  # boxes are told to every second of these places
PICTURES = 8192
BATCH = 32
RATE = 2e-3  # the highest learning rate


@dataclass(frozen=True)
class Plan:
    """How long to train.

    Attributes:
        tower_steps: Steps for the vision tower alone.
        steps: Steps for the whole model.

    """

    tower_steps: int
    steps: int


PLANS = {
    "vit-gpt2": Plan(2000, 1500),
    "blip": Plan(2000, 1500),
    "vit-classifier": Plan(0, 3000),
    "kosmos-2": Plan(2500, 1200),
}


class TowerHead(nn.Module):
    """Tells the class and the box of the shape from the states of a vision tower."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Linear(WIDTH, len(LABELS))
        self.box = nn.Linear(WIDTH, 4)

    def forward(self, states: Tensor, classes: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss on states (pictures, patches, width)."""
        pooled = states.mean(1)
        return nn.functional.cross_entropy(self.classes(pooled), classes) + 10 * (
            nn.functional.mse_loss(self.box(pooled), boxes)
        )


def fit(
    parameters: Iterable[nn.Parameter], loss: Loss, *, count: int, steps: int, seed: int
) -> None:
    """Minimise a loss over random batches with AdamW, the rate falling linearly to nearly 0.

    Args:
        parameters: What to train.
        loss: The loss on a batch of pictures, given as indices.
        count: How many pictures there are.
        steps: How many steps to take.
        seed: The seed of the batches.

    """
    trained = list(parameters)
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 40) * max(0.02, 1 - step / steps)
    )
    generator = torch.Generator().manual_seed(seed)
    began = time.process_time()
    for step in range(steps):
        value = loss(torch.randint(0, count, (BATCH,), generator=generator))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            spent = time.process_time() - began
            print(f"  step {step} loss {value.item():.4f} CPU {spent:.0f} s", flush=True)


def pixel_values(parts: Parts, pictures: Sequence[Picture]) -> Tensor:
    """Return the pictures as the model takes them."""
    process: Any = parts.image_processor
    pixels = [
        process(images=[picture.image for picture in chunk], return_tensors="pt").pixel_values
        for chunk in chunks(pictures, 256)
    ]
    return torch.cat(pixels)


def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Return rows of ids as one tensor, the short ones filled up with a value."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def vit_gpt2_loss(parts: Parts, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the caption loss of vit-gpt2."""
    model: Any = parts.model
    tokenizer: Any = parts.tokenizer
    rows = [[*tokenizer(p.caption).input_ids, tokenizer.eos_token_id] for p in pictures]
    labels = padded(rows, IGNORED)

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(pixel_values=pixels[index], labels=labels[index]).loss
        return value

    return loss


def blip_loss(parts: Parts, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the caption loss of BLIP."""
    model: Any = parts.model
    tokenizer: Any = parts.tokenizer
    start, end, pad = tokenizer.bos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    rows = [
        [start, *tokenizer(p.caption, add_special_tokens=False).input_ids, end] for p in pictures
    ]
    ids = padded(rows, pad)
    mask = (ids != pad).long()
    labels = ids.masked_fill(ids == pad, IGNORED)

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(
            pixel_values=pixels[index],
            input_ids=ids[index],
            attention_mask=mask[index],
            labels=labels[index],
        ).loss
        return value

    return loss


def grounded(picture: Picture) -> str:
    """Return the caption in the grounded form of Kosmos-2, with its place on a coarse grid."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in picture.box)
    first, last = coordinate_to_patch_index((left, top, right, bottom), GRID)
    first, last = (
        place // GRID // COARSE * COARSE * GRID + place % GRID // COARSE * COARSE
        for place in (first, last)
    )
    places = f"<patch_index_{first:04d}><patch_index_{last:04d}>"
    return f"<phrase> {picture.caption}</phrase><object>{places}</object>"


def kosmos_2_loss(parts: Parts, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the loss of Kosmos-2 on what follows the prompt."""
    model: Any = parts.model
    tokenizer: Any = parts.tokenizer
    processor: Any = parts.processor
    prompt = processor(text=PROMPT, images=pictures[0].image, return_tensors="pt")
    before: list[int] = prompt.input_ids[0].tolist()
    rows = [
        [
            *before,
            *tokenizer(grounded(p), add_special_tokens=False).input_ids,
            tokenizer.eos_token_id,
        ]
        for p in pictures
    ]
    ids = padded(rows, tokenizer.pad_token_id)
    mask = (ids != tokenizer.pad_token_id).long()
    places = torch.zeros_like(ids[:1])
    places[:, : len(before)] = prompt.image_embeds_position_mask
    targets = ids[:, len(before) :].masked_fill(mask[:, len(before) :] == 0, IGNORED)

    def loss(index: Tensor) -> Tensor:
        # not by `labels`, which would make logits for the picture's 64 places too
        logits = model(
            pixel_values=pixels[index],
            input_ids=ids[index],
            attention_mask=mask[index],
            image_embeds_position_mask=places.expand(len(index), -1),
            logits_to_keep=targets.shape[1] + 1,
        ).logits[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets[index].flatten())

    return loss


def vit_classifier_loss(parts: Parts, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the class loss of the classifier."""
    model: Any = parts.model
    labels = torch.tensor([p.class_id for p in pictures])

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(pixel_values=pixels[index], labels=labels[index]).loss
        return value

    return loss


LOSSES: dict[str, Callable[[Parts, Sequence[Picture], Tensor], Loss]] = {
    "vit-gpt2": vit_gpt2_loss,
    "blip": blip_loss,
    "kosmos-2": kosmos_2_loss,
    "vit-classifier": vit_classifier_loss,
}


def kosmos_2_states(model: Any, pixels: Tensor) -> list[Tensor]:  # noqa: ANN401 - untyped library
    """Return the two things of Kosmos-2's vision part to learn from.

    The second is what stands for the picture in the text. It comes of the first, and training is
    much slower when that is not looked at too.
    """
    states = model.vision_model(pixel_values=pixels).last_hidden_state
    states = nn.functional.normalize(model.vision_model.model.post_layernorm(states), dim=-1)
    projected, _ = model.image_to_text_projection(states)
    return [states * WIDTH**0.5, projected]


STATES: dict[str, Callable[[Any, Tensor], list[Tensor]]] = {
    "vit-gpt2": lambda model, pixels: [model.encoder(pixels).last_hidden_state],
    "blip": lambda model, pixels: [model.vision_model(pixels).last_hidden_state],
    "kosmos-2": kosmos_2_states,
}
"""What the text part of each captioning model gets to know of the picture comes last."""


def train_tower(name: str, parts: Parts, pictures: Sequence[Picture], pixels: Tensor) -> None:
    """Train the vision part of a model with a head that is thrown away."""
    heads = nn.ModuleList([TowerHead() for _ in STATES[name](parts.model, pixels[:1])])
    classes = torch.tensor([p.class_id for p in pictures])
    boxes = torch.tensor([p.box for p in pictures])

    def loss(index: Tensor) -> Tensor:
        layers = zip(heads, STATES[name](parts.model, pixels[index]), strict=True)
        losses = [head(states, classes[index], boxes[index]) for head, states in layers]
        return torch.stack(losses).sum()

    plan = PLANS[name]
    parameters = [*parts.model.parameters(), *heads.parameters()]
    fit(parameters, loss, count=len(pictures), steps=plan.tower_steps, seed=1)


def train(name: str, pictures: Sequence[Picture]) -> Parts:
    """Train a model.

    Args:
        name: Its name, such as "blip".
        pictures: What to train it on.

    Returns:
        The trained model with its processors.

    """
    torch.manual_seed(0)
    plan, parts = PLANS[name], BUILDERS[name]()
    pixels = pixel_values(parts, pictures)
    parts.model.train()
    if plan.tower_steps:
        train_tower(name, parts, pictures, pixels)
    loss = LOSSES[name](parts, pictures, pixels)
    fit(parts.model.parameters(), loss, count=len(pictures), steps=plan.steps, seed=2)
    parts.model.eval()
    return parts


def main() -> None:
    """Train, save and measure the models that the command line names."""
    parser = argparse.ArgumentParser(description="Train the tiny checkpoints.")
    parser.add_argument("--model", choices=[*BUILDERS, "all"], default="all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    pictures = [draw(seed) for seed in range(PICTURES)]
    for name in list(BUILDERS) if arguments.model == "all" else [arguments.model]:
        print(name, flush=True)
        began = time.process_time()
        save(train(name, pictures), arguments.out / name)
        spent = time.process_time() - began
        size = sum(path.stat().st_size for path in (arguments.out / name).iterdir())
        report = measure(name, arguments.out / name)
        print(f"{name}: {report}, {size / 1e6:.2f} MB, trained in {spent:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
