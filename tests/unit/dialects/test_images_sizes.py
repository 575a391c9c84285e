from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.image_sizes import RatioOrSides, Sides

LISTED = Sides(between="*", choices=("1664*928", "1472*1140", "1328*1328", "1140*1472", "928*1664"))
LARGE = Sides(choices=("2048x2048", "2496x1664", "1440x2560"), below=2560 * 1440)


@pytest.mark.parametrize(
    ("form", "size", "fields"),
    [
        (Sides(), "1024x1024", {"size": "1024x1024"}),
        (Sides(), "1024*768", {"size": "1024x768"}),
        (Sides(between="*"), "1536x1024", {"size": "1536*1024"}),
        (Sides(name="resolution", between=":"), "1024x1024", {"resolution": "1024:1024"}),
        (Sides(), "2K", {"size": "2K"}),
        (Sides(), "", {}),
        (Sides(name="image_size", default="512x512"), "", {"image_size": "512x512"}),
        (LISTED, "1024x1024", {"size": "1328*1328"}),
        (LISTED, "1536x1024", {"size": "1472*1140"}),
        (LISTED, "1024x1792", {"size": "928*1664"}),
        (LISTED, "1664x928", {"size": "1664*928"}),
        (LISTED, "", {}),
        (LARGE, "1024x1024", {"size": "2048x2048"}),
        (LARGE, "1024x1792", {"size": "1440x2560"}),
        (LARGE, "2560x1440", {"size": "2560x1440"}),
        (LARGE, "4096x4096", {"size": "4096x4096"}),
        (LARGE, "2K", {"size": "2K"}),
        (RatioOrSides(), "1536x1024", {"aspect_ratio": "3:2"}),
        (RatioOrSides(), "1280x720", {"width": 1280, "height": 720}),
        (RatioOrSides(), "21:9", {"aspect_ratio": "21:9"}),
        (RatioOrSides(), "", {}),
    ],
)
def test_a_size_is_written_as_the_vendor_has_it(
    form: Sides | RatioOrSides, size: str, fields: dict[str, object]
) -> None:
    assert form.fields(size) == fields


@given(st.text(max_size=12) | st.from_regex(r"\d{1,5}[xX*:]\d{1,5}", fullmatch=True))
def test_every_size_is_one_of_the_choices_or_as_it_was_written(size: str) -> None:
    sent = LISTED.fields(size)
    assert sent.get("size", "") in (*LISTED.choices, size)
