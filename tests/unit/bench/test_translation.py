"""The benchmark of translation measures what it says: every case's stream is translated to its end."""

from __future__ import annotations

import pytest

from bench.translation import CASES, Case, measure, report
from processor.dialects.base import Asked
from processor.vendors import VENDORS
from processor.wire.json import decode_fields


def test_every_case_has_its_row() -> None:
    costs = measure(rounds=1)
    assert [cost.name for cost in costs] == [case.name for case in CASES]
    assert all(0 < cost.best_us <= cost.median_us for cost in costs)
    assert all(case.name in report(costs) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_a_whole_stream_with_its_usage(case: Case) -> None:
    translator = VENDORS[case.vendor].translator(case.operation)
    assert translator is not None
    fields = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":9,"input":"Hi"}'
    asked = Asked(fields=decode_fields(fields), model="m", stream=True, include_usage=True, drop_params=True)
    stream = translator.stream(asked)
    out = b"".join(map(stream.feed, case.events())) + stream.close()
    assert stream.usage is not None
    assert (stream.usage.input_tokens, stream.usage.output_tokens) == (12, 400)
    assert out.count("上海".encode()) >= 50
