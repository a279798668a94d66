"""One limit in pixels, in the words of each type's image processor."""

from typing import Any

import pytest
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from workers.runtime.image_budget import limits

SMOLVLM: dict[str, Any] = {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}}
QWEN: dict[str, Any] = {"size": {"shortest_edge": 3136, "longest_edge": 12_845_056}}
TILES: dict[str, Any] = {"size": {"height": 448, "width": 448}, "max_patches": 12}


@pytest.mark.parametrize(
    ("kind", "settings", "max_pixels", "expected"),
    [
        (SmolVLMImageProcessorPil, SMOLVLM, 645_120, {"size": {"longest_edge": 512}}),
        (SmolVLMImageProcessorPil, SMOLVLM, 1024**2, {"size": {"longest_edge": 1024}}),
        (SmolVLMImageProcessorPil, SMOLVLM, 10**9, {"size": {"longest_edge": 2048}}),
        (
            Qwen2VLImageProcessorPil, QWEN, 645_120,
            {"size": {"shortest_edge": 3136, "longest_edge": 645_120}},
        ),
        (
            Qwen2VLImageProcessorPil, QWEN, 1,
            {"size": {"shortest_edge": 3136, "longest_edge": 3136}},
        ),
        (Gemma4ImageProcessorPil, {}, 645_120, {"max_soft_tokens": 280}),
        (Gemma4ImageProcessorPil, {}, 645_119, {"max_soft_tokens": 140}),
        (Gemma4ImageProcessorPil, {}, 1, {"max_soft_tokens": 70}),
        (
            LlavaNextImageProcessorPil, {}, 672 * 336,
            {"image_grid_pinpoints": [[336, 672], [672, 336]]},
        ),
        (LlavaNextImageProcessorPil, {}, 1, {"image_grid_pinpoints": [[336, 672]]}),
        (GotOcr2ImageProcessorPil, TILES, 645_120, {"max_patches": 3, "min_patches": 1}),
        (MiniCPMV4_6ImageProcessorPil, {}, 645_120, {"max_slice_nums": 3}),
        (SiglipImageProcessorPil, {}, 645_120, {}),
    ],
)  # fmt: skip
def test_each_type_has_the_limit_in_its_own_words(
    kind: Any, settings: dict[str, Any], max_pixels: int, expected: dict[str, Any]
) -> None:
    assert limits(kind(**settings), max_pixels) == expected
