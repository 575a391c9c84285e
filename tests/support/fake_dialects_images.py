"""Fakes of the vendors' image generation: at once, or in tasks to ask about; in base64, or by URL."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from processor.wire.json import JSON
from tests.support.fake_dialects_model import check_fields
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

_IMAGE = (("content-type", "image/png"),)


def drawn(number: int) -> bytes:
    """A picture, the first, the second, and so on of an answer."""
    return b"\x89PNG\r\n\x1a\n" + bytes([number]) * 99


@dataclass(slots=True)
class Painters:
    """Every vendor that draws, behind one address: `vendor.default = Painters()`."""

    asked_after: Counter[str] = field(default_factory=Counter)
    """How often each of DashScope's tasks was asked about."""
    fetched: Counter[str] = field(default_factory=Counter)
    """How often each picture was fetched, by its path."""
    _ordered: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: Received) -> Reply:
        """The reply of whoever has such a path."""
        for path, painter in self._PAINTERS.items():
            if re.fullmatch(path, request.path):
                return painter(self, request)
        raise AssertionError(f"nobody has a path {request.path}")

    def _openai(self, request: Received) -> Reply:
        body = request.json()
        if "image_size" in body:
            return self._siliconflow(request, body)
        check_fields(
            body,
            "n size quality style background output_format response_format user",
            "the body",
            required="model prompt",
        )
        if body["model"].startswith("gpt-image"):
            assert "response_format" not in body, "unknown parameter: 'response_format'"
        usage = {
            "input_tokens": 4,
            "input_tokens_details": {"text_tokens": 4, "image_tokens": 0},
            "output_tokens": 8,
            "total_tokens": 12,
        }
        inline = body["model"].startswith("gpt-image") or body.get("response_format") == "b64_json"
        numbers = range(body.get("n", 1))
        data = [{"b64_json": _base64(n)} if inline else {"url": _url(request, n)} for n in numbers]
        return Reply.json({"created": 1_700_000_000, "data": data, **({"usage": usage} if inline else {})})

    def _siliconflow(self, request: Received, body: JSON) -> Reply:
        optional = "batch_size seed num_inference_steps guidance_scale negative_prompt"
        check_fields(body, optional, "the body", required="model prompt image_size")
        assert re.fullmatch(r"\d+x\d+", body["image_size"]), body["image_size"]
        images = [{"url": _url(request, n)} for n in range(body.get("batch_size", 1))]
        return Reply.json({"images": images, "timings": {"inference": 1.0}, "seed": 7})

    def _minimax(self, request: Received) -> Reply:
        body = request.json()
        optional = "aspect_ratio width height n response_format seed prompt_optimizer"
        check_fields(body, optional, "the body", required="model prompt")
        assert body.get("aspect_ratio", "1:1") in ("1:1", "16:9", "4:3", "3:2", "2:3", "3:4", "9:16", "21:9")
        count, form = body.get("n", 1), body.get("response_format", "url")
        assert form in ("url", "base64"), form
        found: JSON = {
            "url": {"image_urls": [_url(request, n) for n in range(count)]},
            "base64": {"image_base64": [_base64(n) for n in range(count)]},
        }[form]
        counts = {"success_count": str(count), "failed_count": "0"}
        wellness = {"status_code": 0, "status_msg": "success"}
        return Reply.json({"id": "i1", "data": found, "metadata": counts, "base_resp": wellness})

    def _imagen(self, request: Received) -> Reply:
        body = request.json()
        check_fields(body, "", "the body", required="instances parameters")
        check_fields(body["instances"][0], "", "an instance", required="prompt")
        parameters = body["parameters"]
        check_fields(parameters, "sampleCount aspectRatio sampleImageSize personGeneration outputOptions", "parameters")
        assert parameters.get("aspectRatio", "1:1") in ("1:1", "3:4", "4:3", "9:16", "16:9"), parameters
        count = parameters.get("sampleCount", 4)
        assert 1 <= count <= 4, "sampleCount"
        found = [{"mimeType": "image/png", "bytesBase64Encoded": _base64(n)} for n in range(count)]
        return Reply.json({"predictions": found})

    def _task(self, request: Received) -> Reply:
        assert request.header("x-dashscope-async") == "enable", "current user api does not support synchronous calls"
        body = request.json()
        check_fields(body, "parameters", "the body", required="model input")
        check_fields(body["input"], "negative_prompt", "input", required="prompt")
        check_fields(body["parameters"], "size n seed prompt_extend watermark", "parameters")
        assert re.fullmatch(r"\d+\*\d+", body["parameters"].get("size", "1024*1024")), body["parameters"]
        task = f"t-{len(self._ordered)}"
        self._ordered[task] = body["parameters"].get("n", 4)
        return Reply.json({"output": {"task_id": task, "task_status": "PENDING"}, "request_id": "q"})

    def _asked_about(self, request: Received) -> Reply:
        assert request.method == "GET", request.method
        task = request.path.rpartition("/")[2]
        self.asked_after[task] += 1
        output: JSON = {"task_id": task, "task_status": "RUNNING"}
        if self.asked_after[task] > 1:
            results = [{"url": _url(request, n), "actual_prompt": "more of it"} for n in range(self._ordered[task])]
            output |= {"task_status": "SUCCEEDED", "results": results}
        return Reply.json({"output": output, "request_id": "q"})

    def _picture(self, request: Received) -> Reply:
        assert (request.method, request.query) == ("GET", "sign=a%2Fb%3D"), request.target
        assert request.header("authorization") is None, "a credential for a stranger"
        self.fetched[request.path] += 1
        number = int(request.path.removeprefix("/drawn/").removesuffix(".png"))
        return Reply.of(drawn(number), headers=_IMAGE)

    _PAINTERS: ClassVar[Mapping[str, Callable[[Painters, Received], Reply]]] = {
        "/v1/images/generations": _openai,
        "/v1/image_generation": _minimax,
        "/v1beta/models/imagen-.*:predict": _imagen,
        "/api/v1/services/aigc/text2image/image-synthesis": _task,
        "/api/v1/tasks/.*": _asked_about,
        r"/drawn/\d+\.png": _picture,
    }


def _url(request: Received, number: int) -> str:
    return f"http://{request.header('host')}/drawn/{number}.png?sign=a%2Fb%3D"


def _base64(number: int) -> str:
    return base64.b64encode(drawn(number)).decode()
