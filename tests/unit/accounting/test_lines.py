from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.accounting.lines import NUMBERS, TEXTS, Observation, UnreadableLine, access_line, observation
from processor.wire.json import encode
from tests.unit.accounting.logs import access, observed


def test_an_access_line_is_read_with_envoys_spellings_of_nothing_undone() -> None:
    line = access_line(access("r1", attempts=None, flags="-", gateway=None), 0)
    assert line is not None
    assert (line.request_id, line.time, line.route, line.status) == ("r1", 1795438442.115587, "openai.chat", 200)
    assert (line.attempts, line.flags, line.facts) == (0, "", {})


def test_flags_are_kept_as_envoy_names_them() -> None:
    line = access_line(access(flags="UF,URX"), 0)
    assert line is not None
    assert line.flags == "UF,URX"


def test_an_error_is_envoys_own_and_not_what_a_vendor_put_into_a_header_of_that_name() -> None:
    errors = {}
    for details in ("no_healthy_upstream", "direct_response", "via_upstream"):
        line = access_line(access(details=details, error="upstream_unavailable"), 0)
        assert line is not None
        errors[details] = line.error
    assert errors == {
        "no_healthy_upstream": "upstream_unavailable",
        "direct_response": "upstream_unavailable",
        "via_upstream": "",
    }


def test_the_time_may_be_a_number() -> None:
    line = access_line(access(time=1795438442.5), 0)
    assert line is not None
    assert line.time == 1795438442.5


def test_health_checks_are_not_recorded() -> None:
    assert access_line(access(route="local.health"), 0) is None


def test_a_query_never_gets_into_a_record() -> None:
    line = access_line(access(path="/gemini/v1beta/models?key=secret"), 0)
    assert line is not None
    assert line.path == "/gemini/v1beta/models"


def test_a_request_without_an_id_is_named_by_its_place_and_time_so_that_reading_it_again_gives_the_same() -> None:
    first, again, other = (access_line(access(None), offset) for offset in (70, 70, 210))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.request_id == again.request_id != other.request_id


def test_a_request_that_envoy_refused_before_routing_is_a_line_too() -> None:
    line = access_line(access(None, route=None, method=None, path=None, gateway=None, status=400, flags="DPE"), 3)
    assert line is not None
    assert (line.route, line.method, line.path, line.status, line.flags) == ("", "", "", 400, "DPE")


def test_metadata_keeps_known_names_of_the_right_type_only() -> None:
    gateway = {
        "provider": "deepseek",
        "input_tokens": 12.0,
        "output_tokens": "many",
        "ttft_ms": -1,
        "key": 7,
        "path": "/x",
        "reasoning_tokens": 1e300,
    }
    line = access_line(access(gateway=gateway), 0)
    assert line is not None
    assert line.facts == {"provider": "deepseek", "input_tokens": 12.0}


def test_an_observation_is_its_request_and_its_facts() -> None:
    data = observed("r1", input_tokens=12, usage_source="partial", colour="red")
    assert observation(data) == Observation("r1", {"input_tokens": 12.0, "usage_source": "partial"})


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[1]", b'"route"', b"\xff\xfe", b"[" * 5000, b"{}", access()[:-20], access()[20:]],
    ids=["empty", "open", "null", "list", "text", "no-utf8", "deep", "no-fields", "torn-end", "torn-start"],
)
def test_what_is_not_an_access_line_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableLine):
        access_line(data, 0)


@pytest.mark.parametrize("time", [None, "", "soon", "inf", "nan", -1, 1e40, [], "1" * 5000])
def test_a_line_without_a_time_is_not_one_of_envoys(time: object) -> None:
    with pytest.raises(UnreadableLine):
        access_line(access(time=time), 0)


@pytest.mark.parametrize("request_id", [None, "", 7, {}])
def test_an_observation_that_names_no_request_is_refused(request_id: object) -> None:
    with pytest.raises(UnreadableLine):
        observation(encode({"request_id": request_id, "input_tokens": 1}))


def test_a_line_glued_to_the_piece_a_killed_writer_left_is_still_read() -> None:
    whole = access("r2", gateway={"provider": "ali", "request_id": "r2"})
    for cut in range(1, len(whole) - 1):
        torn = access("r1", gateway={"provider": "ali"})[:cut].rstrip(b"\n")
        line = access_line(torn + whole.rstrip(b"\n"), 0)
        assert line is not None
        assert line.request_id == "r2", cut


def test_a_glued_observation_is_still_read() -> None:
    whole = observed("r2", input_tokens=3)
    for cut in range(1, len(observed("r1", model="x")) - 1):
        assert observation(observed("r1", model="x")[:cut] + whole.rstrip()) == Observation("r2", {"input_tokens": 3.0})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ("attempts", "duration_ms", "flags", "gateway", "method", "path", "request_id", "route", "status", "time")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(_KEYS), _json), st.dictionaries(st.sampled_from([*TEXTS, *NUMBERS]), _json))
def test_whatever_a_line_holds_it_is_read_into_its_types_or_refused(
    fields: dict[str, object], gateway: dict[str, object]
) -> None:
    try:
        line = access_line(access("r1", **{"gateway": gateway, **fields}), 0)
    except UnreadableLine:
        return
    if line is not None:
        assert all(isinstance(line.facts[name], str) for name in line.facts if name in TEXTS)
        assert all(0 <= float(line.facts[name]) <= 2**53 for name in line.facts if name in NUMBERS)
        assert all(0 <= count <= 2**53 for count in (line.status, line.attempts, line.bytes_sent))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read_but_never_break_the_reader(data: bytes) -> None:
    for read in (lambda: access_line(data, 0), lambda: observation(data)):
        with contextlib.suppress(UnreadableLine):
            read()
